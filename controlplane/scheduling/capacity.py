"""The capacity loop: commits and time -> looks at what waits, what is protected, the scalers, the groups. No decisions.

One look at one matter, one commit. Whatever is missed is seen at the next look, one second later at the latest.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator

import aiohttp
import structlog

from controlplane.core.capacity.matters import Decide, matters
from controlplane.core.capacity.model import CapacityProvider, Group, Machine
from controlplane.core.capacity.pace import Pace
from controlplane.core.model import Cluster, Instance, Service, Task
from controlplane.core.names import Dice, Names
from controlplane.core.plan import Conflict, Key
from controlplane.core.state import State
from controlplane.core.view import Draft
from controlplane.scheduling.worker import Clock
from controlplane.store.port import Store, StoreClosed

LOOK_SECONDS = 1.0
"""Between two looks at most."""
LOOK_SECONDS_MIN = 0.05
"""Between two looks at least: commits come in crowds."""
WEBHOOK_SECONDS = 5.0
WEBHOOKS_AT_ONCE = 8

_CONCERNS = frozenset(kind.table for kind in (Task, Instance, Service, Cluster, CapacityProvider, Group, Machine))

log = structlog.get_logger()


class Capacity:
    """Looks at capacity. `run` until cancelled."""

    def __init__(self, store: Store, *, clock: Clock, names: Names, dice: Dice, pace: Pace) -> None:
        self._store = store
        self._clock = clock
        self._names = names
        self._dice = dice
        self._pace = pace
        self._asked = asyncio.Event()
        self._hooks_told: set[str] = set()
        self._hooks_free = asyncio.Semaphore(WEBHOOKS_AT_ONCE)

    async def run(self) -> None:
        """Look until cancelled or the store is closed."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen())
                group.create_task(self._work(group))
        except* StoreClosed:
            log.debug("the store is closed; the capacity loop ends")

    async def look(self) -> float:
        """One look at everything. Returns when the next one is due (epoch seconds)."""
        again = [self._clock() + LOOK_SECONDS]
        due = matters(self._store.view(), now=self._clock(), names=self._names, dice=self._dice, pace=self._pace)
        for cause, decide in list(due):
            at = await self._decide(cause, decide)
            if at is not None:
                again.append(at)
        return min(again)

    async def _decide(self, cause: str, decide: Decide) -> float | None:
        draft = Draft(self._store.view(), now=self._clock(), cause=cause)
        try:
            at = decide(draft)
            await self._store.commit(draft.plan())
        except Conflict:
            return draft.now  # the next look sees what came first
        except StoreClosed:
            raise
        except Exception:
            log.exception("a look at capacity broke", matter=cause)
            return None
        return at

    async def _listen(self) -> None:
        while True:
            watch = self._store.watch()
            self._asked.set()
            try:
                async for burst in watch.bursts():
                    if any(_concerns(commit.changed) for commit in burst):
                        self._asked.set()
            finally:
                watch.close()

    async def _work(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._asked.clear()
            next_at = await self.look()
            for url, body in self._new_hooks(self._store.view()):
                group.create_task(self._tell_hook(url, body))
            await asyncio.sleep(LOOK_SECONDS_MIN)
            with contextlib.suppress(TimeoutError):
                # Not wait_for: in Python 3.11 it may lose a cancellation that comes together with the event.
                async with asyncio.timeout(max(0.0, next_at - self._clock())):
                    await self._asked.wait()

    def _new_hooks(self, view: State) -> Iterator[tuple[str, dict[str, str]]]:
        """Lifecycle actions whose webhook has not been told in this life of ours: told at least once."""
        standing = {wait.token for machine in view.records(Machine) for wait in machine.waits if wait.token}
        self._hooks_told &= standing
        for machine in view.records(Machine):
            group = view.record(Group, machine.group)
            hooks = {hook.name: hook for hook in group.hooks} if group is not None else {}
            for wait in machine.waits:
                hook = hooks.get(wait.hook)
                if hook is None or not hook.webhook or wait.result or wait.token in self._hooks_told:
                    continue
                self._hooks_told.add(wait.token)
                yield (
                    hook.webhook,
                    {
                        "LifecycleHookName": hook.name,
                        "AutoScalingGroupName": machine.group,
                        "EC2InstanceId": machine.id,
                        "LifecycleTransition": f"autoscaling:EC2_INSTANCE_{hook.transition.upper()}",
                        "LifecycleActionToken": wait.token,
                    },
                )

    async def _tell_hook(self, url: str, body: dict[str, str]) -> None:
        """One attempt: an action that nobody heard of ends with its heartbeat."""
        timeout = aiohttp.ClientTimeout(total=WEBHOOK_SECONDS)
        try:
            async with (
                self._hooks_free,
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(url, json=body) as answer,
            ):
                answer.raise_for_status()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            log.warning("a lifecycle hook was not told", url=url, error=str(error), **body)


def _concerns(changed: Iterable[Key]) -> bool:
    return any(table in _CONCERNS for table, _ in changed)
