"""The sweeper: the one timer. Deadlines of holds, services to look at again, retention of what has ended.

A task on an instance whose agent stays away is not touched: ECS waits for the agent too (ECS Developer Guide,
"Container instance draining"; an instance that has gone is deregistered by somebody).
"""

from collections.abc import Awaitable, Callable, Iterator
from itertools import islice

import structlog

from controlplane.core import lifecycle, retention
from controlplane.core.model import Cluster, Task
from controlplane.core.placement.ledger import ends_at_deadline
from controlplane.core.plan import Conflict
from controlplane.core.state import State
from controlplane.core.view import Draft
from controlplane.scheduling.worker import Clock, Worker
from controlplane.store.port import Store, StoreClosed

Sleep = Callable[[float], Awaitable[None]]
"""Seconds."""

SWEEP_SECONDS = 1.0
RETENTION_SECONDS = 60.0
"""Between two looks for what may be dropped."""
CHANGES_MAX = 500
"""Records that one pass changes at most."""

log = structlog.get_logger()


class Sweeper:
    """Sweeps every second, or sooner where something is due."""

    def __init__(self, store: Store, worker: Worker, *, clock: Clock, sleep: Sleep) -> None:
        self._store = store
        self._worker = worker
        self._clock = clock
        self._sleep = sleep
        self._retain_at = 0.0

    async def run(self) -> None:
        """Sweep until cancelled or the store is closed."""
        while True:
            try:
                await self.sweep()
            except StoreClosed:
                return
            except Exception:
                log.exception("a sweep broke")
            next_due = self._worker.look_due()
            pause = SWEEP_SECONDS if next_due is None else next_due - self._clock()
            await self._sleep(min(SWEEP_SECONDS, max(pause, 0.01)))

    async def sweep(self) -> None:
        """One pass over everything that time brings."""
        self._worker.look_due()
        await self._pass_deadlines()
        if self._clock() >= self._retain_at:
            self._retain_at = self._clock() + RETENTION_SECONDS
            await self._drop_old()

    async def _pass_deadlines(self) -> None:
        view = self._store.view()
        if not any(ends_at_deadline(cluster.policy) for cluster in view.records(Cluster)):
            return
        for task in list(islice(_overdue(view, self._clock()), CHANGES_MAX)):
            # What led here is what stopped the task; the time that has gone by is no event of its own.
            draft = Draft(self._store.view(), now=self._clock(), cause=task.cause)
            current = draft.task(task.arn)
            if current is not None:
                lifecycle.pass_deadline(draft, current)
            await self._commit(draft)

    async def _drop_old(self) -> None:
        view = self._store.view()
        draft = Draft(view, now=self._clock(), cause="retention")
        for record in islice(retention.expired(view, draft.now), CHANGES_MAX):
            retention.drop(draft, record)
        await self._commit(draft)

    async def _commit(self, draft: Draft) -> None:
        try:
            await self._store.commit(draft.plan())
        except Conflict:
            return  # the next pass looks again


def _overdue(view: State, now: float) -> Iterator[Task]:
    for task in view.records(Task):
        if task.hold is not None and task.hold.until is not None and task.hold.until <= now:
            yield task
