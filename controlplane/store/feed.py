"""The feed: every commit to every watcher, in order, through queues that have an end."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence

from controlplane.store.port import WATCH_COMMITS_MAX, Commit


class QueuedWatch:
    """A `Watch`: the commits since it was taken."""

    def __init__(self, commits_max: int) -> None:
        self._commits: deque[Commit] = deque()
        self._commits_max = commits_max
        self._arrived = asyncio.Event()
        self.is_open = True

    def __aiter__(self) -> "QueuedWatch":
        return self

    async def __anext__(self) -> Commit:
        if not await self._come():
            raise StopAsyncIteration
        return self._commits.popleft()

    async def bursts(self) -> AsyncIterator[Sequence[Commit]]:
        while await self._come():
            burst, self._commits = self._commits, deque()
            yield burst

    async def _come(self) -> bool:
        while self.is_open and not self._commits:
            self._arrived.clear()
            await self._arrived.wait()
        return bool(self._commits)

    def close(self) -> None:
        """Stop watching. What has arrived and was not taken is dropped."""
        self._commits.clear()
        self._end()

    def offer(self, burst: Sequence[Commit]) -> None:
        """Hand over commits; a watcher that is full is ended once it has read what it has."""
        room = self._commits_max - len(self._commits)
        self._commits.extend(burst[:room])
        if len(burst) > room:
            self._end()
        else:
            self._arrived.set()

    def _end(self) -> None:
        self.is_open = False
        self._arrived.set()


class Feed:
    """The watchers of one store."""

    def __init__(self, commits_max: int = WATCH_COMMITS_MAX) -> None:
        self._commits_max = commits_max
        self._watches: list[QueuedWatch] = []

    def watch(self) -> QueuedWatch:
        """A new watcher, from the next commit on."""
        watch = QueuedWatch(self._commits_max)
        self._watches.append(watch)
        return watch

    def publish(self, burst: Sequence[Commit]) -> None:
        """Tell every watcher of commits that became true together."""
        for watch in self._watches:
            watch.offer(burst)
        self._watches = [watch for watch in self._watches if watch.is_open]

    def close(self) -> None:
        """End every watcher, once it has read what it has."""
        for watch in self._watches:
            watch._end()  # noqa: SLF001 - the feed owns its watches
        self._watches.clear()
