"""The balancer: commits and ticks -> what is due for targets -> the picture -> the proxy -> what its checks say.

It decides nothing and remembers nothing that the store does not have: a proxy that has died is shown the picture again.
A proxy that cannot be run changes no task; targets stay as they are until it can.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from itertools import chain

import structlog

from controlplane.balancing.proxy import Proxy, ProxyError
from controlplane.committing import Committer
from controlplane.core.balancing import picture, targets
from controlplane.core.balancing.records import Listener, TargetGroup
from controlplane.core.model import Service, Task
from controlplane.core.names import Names
from controlplane.core.plan import Key
from controlplane.core.rollouts import ServiceDeployment
from controlplane.core.view import Draft
from controlplane.store.port import Store, StoreClosed
from wire.errors import AwsError

TICK_SECONDS = 0.25
"""Between two looks while there are targets: how exact the ends of delays are, and how soon a passed check counts."""
AFTER_FAULT_SECONDS = 1.0
_TABLES = frozenset({kind.table for kind in (TargetGroup, Listener, Service, ServiceDeployment)})

log = structlog.get_logger()


class Balancer:
    """Balances for as long as `run` runs."""

    def __init__(
        self, store: Store, committer: Committer, proxy: Proxy, names: Names, clock: Callable[[], float]
    ) -> None:
        self.trouble = ""
        """What keeps the proxy from serving, one sentence; "": nothing does."""
        self._store = store
        self._committer = committer
        self._proxy = proxy
        self._names = names
        self._clock = clock
        self._open: dict[str, None] = {}
        self._stirred = asyncio.Event()

    @property
    def requests(self) -> Mapping[str, int]:
        """Requests that targets of each group (name) have been sent, as the proxy counts; it never falls."""
        return self._proxy.requests

    async def run(self) -> None:
        """Balance until cancelled or the store is closed; the proxy ends then."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen())
                group.create_task(self._work())
        except* StoreClosed:
            log.debug("the store is closed; the balancer ends")
        finally:
            await self._proxy.close()

    async def step(self) -> None:
        """One look: what is due, then the picture, then what the checks say."""
        await self._committer.commit(self._settle, cause="balancing")
        for arn in [arn for arn in self._open if not self._is_open(arn)]:
            del self._open[arn]
        try:
            await self._show()
        except ProxyError as error:
            if str(error) != self.trouble:
                log.warning("the proxy does not serve", why=str(error))
            self.trouble = str(error)
            await asyncio.sleep(AFTER_FAULT_SECONDS)
        else:
            self.trouble = ""

    async def _listen(self) -> None:
        while True:
            watch = self._store.watch()
            self._open = {task.arn: None for task in self._store.view().records(Task) if targets.is_open(task)}
            self._stirred.set()
            try:
                async for burst in watch.bursts():
                    self._note(chain.from_iterable(commit.changed for commit in burst))
            finally:
                watch.close()

    def _note(self, changed: Iterable[Key]) -> None:
        view = self._store.view()
        for table, key in changed:
            if table == Task.table:
                task = view.task(key)
                if task is not None and targets.is_open(task):
                    self._open[key] = None
                    self._stirred.set()
            elif table in _TABLES:
                self._stirred.set()

    async def _work(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS if self._open else None):
                    await self._stirred.wait()
            self._stirred.clear()
            try:
                await self.step()
            except AwsError as error:  # others commit faster: the next look is a fresh one
                log.warning("a look of the balancer was in vain", why=str(error))
                self._stirred.set()
                await asyncio.sleep(TICK_SECONDS)

    def _is_open(self, arn: str) -> bool:
        task = self._store.view().task(arn)
        return task is not None and targets.is_open(task)

    def _settle(self, draft: Draft) -> None:
        targets.settle(draft, list(self._open), self._names)

    async def _show(self) -> None:
        view = self._store.view()
        tasks = [task for task in map(view.task, self._open) if task is not None]
        drawn = picture.draw(view, tasks, self._clock())
        if not drawn.fronts:
            await self._proxy.close()
            return
        await self._proxy.show(drawn)
        seen = await self._proxy.look()

        def note(draft: Draft) -> None:
            for task in filter(None, map(draft.task, list(self._open))):
                targets.change(draft, task, picture.next_targets(draft, task, seen, draft.now))

        await self._committer.commit(note, cause="balancing")
