"""What makes rules start tasks: the clock, and events. Both end in an ordinary RunTask, with a token of the occasion.

A tick or an event is looked at until what it leads to is committed, so it is never lost within its time; its token
makes that happen once, also where the process was killed in between. What a target then answers (an error, or failures
for want of room) is in the story, and is not tried again, as with EventBridge.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
import structlog

from controlplane.api.call import Account, Call
from controlplane.api.tasks import run_task
from controlplane.committing import Committer
from controlplane.core.rules import Rule
from controlplane.core.view import Draft
from controlplane.rules import pattern, targets, timing
from controlplane.rules.api import ENABLED
from controlplane.store.port import Store, StoreClosed
from wire import ecs_shapes
from wire.errors import AwsError
from wire.story import Kind

CATCH_UP_SECONDS = 60.0
"""A tick that is later than this (the control plane was away) is missed: the next one counts. EventBridge's own
precision is a minute (EventBridge User Guide, "Schedule types"); it catches nothing up either."""
LOOK_SECONDS, LOOK_SECONDS_MIN = 1.0, 0.01
EVENT_WAITS_SECONDS = (0.5, 2.0, 8.0)
"""Between the tries of one event, where the store is too busy. Events behind it wait."""
PATTERNS_KEPT = 1000
"""Patterns that stay read."""

_log = structlog.get_logger(__name__)


class Firing:
    """Starts what the targets of one rule name."""

    def __init__(self, store: Store, committer: Committer, account: Account, clock: Callable[[], float]) -> None:
        self._store = store
        self._committer = committer
        self._account = account
        self._clock = clock

    async def fire(self, rule: Rule, occasion: str) -> None:
        """Call every target; `occasion` names the tick or the event.

        Raises:
            ServerException: the store is too busy; try the same occasion again.
        """
        for target in rule.targets:
            token = targets.token_of(rule.arn, target["Id"], occasion)
            try:
                await self._run(rule, target, token)
            except AwsError as error:
                if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
                _log.warning("a rule's target was refused", rule=rule.name, target=target["Id"], error=str(error))
                refused = partial(_tell, rule=rule, target=target, id_=token[:32], error=str(error))
                await self._committer.commit(refused, cause="")

    async def _run(self, rule: Rule, target: dict[str, Any], token: str) -> None:
        body = ecs_shapes.check_request("RunTask", targets.run_task(target, rule=rule.name, token=token))
        id_ = token[:32]

        def decide(draft: Draft) -> None:
            call = Call(operation="RunTask", body=body, id=id_, now=draft.now, account=self._account, url="")
            answer = run_task(draft, call)
            plan = draft.plan()
            if plan.puts or not answer["tasks"]:  # else it was started before, under the same token
                arns = [task.task_arn for task in answer["tasks"]]
                _tell(draft, rule=rule, target=target, id_=id_, tasks=arns, failures=answer["failures"])

        await self._committer.commit(decide, cause=id_)


def _tell(draft: Draft, *, rule: Rule, target: dict[str, Any], id_: str, **data: Any) -> None:
    draft.tell(Kind.RULE_FIRED, rule.arn, id=id_, target=target["Id"], **data)


class Ticker:
    """Fires rules by their schedules."""

    def __init__(
        self,
        store: Store,
        committer: Committer,
        firing: Firing,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._store = store
        self._committer = committer
        self._firing = firing
        self._clock = clock
        self._sleep = sleep

    async def run(self) -> None:
        """Look every second, or sooner where something is due, until cancelled or the store is closed."""
        while True:
            try:
                due = await self.look()
            except StoreClosed:
                return
            pause = LOOK_SECONDS if due is None else due - self._clock()
            await self._sleep(min(LOOK_SECONDS, max(pause, LOOK_SECONDS_MIN)))

    async def look(self) -> float | None:
        """Fire what is due; a rule that breaks keeps no other waiting. Returns the next tick (epoch seconds)."""
        for rule in list(self._store.view().records(Rule)):
            if rule.next_at is not None and rule.next_at <= self._clock():
                try:
                    await self._tick(rule, rule.next_at)
                except StoreClosed:
                    raise
                except Exception:  # noqa: BLE001 - the next look tries again
                    _log.exception("a rule was not fired", rule=rule.name)
        ahead = [rule.next_at for rule in self._store.view().records(Rule) if rule.next_at is not None]
        return min(ahead, default=None)

    async def _tick(self, rule: Rule, at: float) -> None:
        is_late = self._clock() - at > CATCH_UP_SECONDS
        if not is_late:
            await self._firing.fire(rule, f"{at:.0f}")
        behind = max(at, self._clock() - CATCH_UP_SECONDS) if is_late else at

        def decide(draft: Draft) -> None:
            current = draft.record(Rule, rule.name)
            if current is None or current.next_at != at:
                return  # changed meanwhile: it has a time of its own
            due = timing.next_after(current.schedule, behind, since=at)
            draft.put(msgspec.structs.replace(current, next_at=due))
            if is_late:
                draft.tell(Kind.RULE_FIRED, rule.arn, missed=at)

        await self._committer.commit(decide, cause="")


class EventRules:
    """A sink of events: fires rules whose pattern an event matches."""

    name = "rules"

    def __init__(self, store: Store, firing: Firing, *, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._store = store
        self._firing = firing
        self._sleep = sleep
        self._patterns: dict[str, dict[str, Any]] = {}

    def is_idle(self) -> bool:
        """No rule waits for events."""
        return not self._waiting()

    async def deliver(self, sequence: int, event: bytes) -> None:
        """Fire what waits for this event. A rule waits for what is committed after its own last change."""
        shape = msgspec.json.decode(event)
        for rule in self._waiting():
            if sequence > rule.waits_from and pattern.matches(self._pattern(rule.pattern), shape):
                await self._fire(rule, shape["id"])

    async def _fire(self, rule: Rule, occasion: str) -> None:
        for wait in (*EVENT_WAITS_SECONDS, None):
            try:
                await self._firing.fire(rule, occasion)
            except StoreClosed:
                raise
            except Exception as error:  # noqa: BLE001 - a rule that breaks ends neither the events nor the process
                if wait is None or not isinstance(error, AwsError):
                    _log.exception("a rule was not fired", rule=rule.name, event_id=occasion)
                    return
                await self._sleep(wait)
            else:
                return

    def _waiting(self) -> list[Rule]:
        rules = self._store.view().records(Rule)
        return [rule for rule in rules if rule.pattern and rule.state == ENABLED and rule.targets]

    async def close(self) -> None:
        """Nothing is open."""

    def _pattern(self, text: str) -> dict[str, Any]:
        if text not in self._patterns:
            if len(self._patterns) >= PATTERNS_KEPT:
                self._patterns.clear()
            self._patterns[text] = msgspec.json.decode(text.encode())
        return self._patterns[text]
