"""The worker: commits -> evaluations -> reconcile -> commit. It decides nothing; a lost wake-up costs time only.

One evaluation of a service at a time, several services at once. A service that is asked for while it is being looked
at is looked at again.
"""

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from controlplane.core.evaluations import all_services, services_to_look_at
from controlplane.core.names import Dice, Names
from controlplane.core.plan import Conflict
from controlplane.core.reconcile.service import reconcile
from controlplane.core.view import ACTOR, Draft
from controlplane.store.port import Store, StoreClosed
from wire.story import Kind, StoryLine

Clock = Callable[[], float]
"""Epoch seconds."""

EVALUATIONS_AT_ONCE = 4
TRIES_MAX = 5
"""Conflicts in a row, after which a service waits for a while: this is no race any more."""
PAUSE_SECONDS = 0.5
PAUSE_SECONDS_MAX = 60.0
"""The first such wait, which doubles with each round of tries, and the longest."""
AFTER_FAULT_SECONDS = 60.0
"""When a service whose evaluation broke is looked at again."""

log = structlog.get_logger()


class Evaluation(msgspec.Struct, frozen=True):
    """Look at a service because of something."""

    service: str
    why: str
    cause: str


class Worker:
    """Looks at services. The queue holds each service at most once, so it is as long as there are services."""

    def __init__(self, store: Store, *, clock: Clock, names: Names, dice: Dice) -> None:
        self._store = store
        self._clock = clock
        self._names = names
        self._dice = dice
        self._waiting: dict[str, Evaluation] = {}
        self._busy: set[str] = set()
        self._due: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        """The last wait (seconds) of services that meet nothing but conflicts."""
        self._asked = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled or the store is closed. At the start every service is looked at once."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen())
                for _ in range(EVALUATIONS_AT_ONCE):
                    group.create_task(self._work())
        except* StoreClosed:
            log.debug("the store is closed; the worker ends")

    def look(self, service: str, *, why: str, cause: str = "") -> None:
        """Ask for an evaluation of `service` (ARN); asked twice is done once."""
        self._waiting.setdefault(service, Evaluation(service, why, cause))
        self._asked.set()

    def look_due(self) -> float | None:
        """Ask for every evaluation whose time has come; returns when the next one is due (epoch seconds)."""
        now = self._clock()
        for service in [service for service, at in self._due.items() if at <= now]:
            del self._due[service]
            self.look(service, why="its time has come")
        return min(self._due.values(), default=None)

    async def _listen(self) -> None:
        while True:
            watch = self._store.watch()
            for service in all_services(self._store.view()):
                self.look(service, why="the control plane looks at everything")
            try:
                async for burst in watch.bursts():
                    view = self._store.view()
                    for commit in burst:
                        for service, why in services_to_look_at(view, commit.changed).items():
                            self.look(service, why=why, cause=commit.cause)
            finally:
                watch.close()

    async def _work(self) -> None:
        while True:
            evaluation = await self._next()
            self._busy.add(evaluation.service)
            try:
                await self._evaluate(evaluation)
            except StoreClosed:
                raise
            except Exception:
                log.exception("an evaluation broke", service=evaluation.service)
                self._due[evaluation.service] = self._clock() + AFTER_FAULT_SECONDS
            finally:
                self._busy.discard(evaluation.service)
                self._asked.set()

    async def _next(self) -> Evaluation:
        while True:
            for service in self._waiting:
                if service not in self._busy:
                    return self._waiting.pop(service)
            self._asked.clear()
            await self._asked.wait()

    async def _evaluate(self, evaluation: Evaluation) -> None:
        for _ in range(TRIES_MAX):
            if await self._try(evaluation):
                self._pauses.pop(evaluation.service, None)
                return
        pause = min(2 * self._pauses.get(evaluation.service, PAUSE_SECONDS / 2), PAUSE_SECONDS_MAX)
        self._pauses[evaluation.service] = pause
        self._due[evaluation.service] = self._clock() + pause
        log.warning("other changes came first, again and again", service=evaluation.service, pause_seconds=pause)

    async def _try(self, evaluation: Evaluation) -> bool:
        """One look and one commit; false where the world moved in between."""
        id_ = self._names.uuid()
        draft = Draft(self._store.view(), now=self._clock(), cause=id_)
        look_again_at = reconcile(draft, evaluation.service, names=self._names, dice=self._dice)
        plan = draft.plan()
        if plan:
            line = StoryLine(
                draft.now,
                ACTOR,
                evaluation.service,
                str(Kind.EVALUATION),
                evaluation.cause,
                {"why": evaluation.why},
                id_,
            )
            try:
                await self._store.commit(msgspec.structs.replace(plan, story=(line, *plan.story)))
            except Conflict:
                return False
        self._due.pop(evaluation.service, None)
        if look_again_at is not None:
            self._due[evaluation.service] = look_again_at
        return True
