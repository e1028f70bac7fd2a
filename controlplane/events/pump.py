"""The pump: every event to one sink, in order, at least once, from where it was. What a sink does is its own matter.

Where it was is a small file beside the store, written after what it counts was delivered. A sink that is new begins
with what comes next; one that was away for longer than events are kept misses some, and the log says which.
"""

import asyncio
from pathlib import Path
from typing import Protocol

import structlog

from controlplane.events.feed import Bell
from controlplane.store.port import Store, StoreClosed

PAGE_EVENTS = 200

_log = structlog.get_logger(__name__)


class Sink(Protocol):
    """Takes events. It tries as hard as it may, and returns; it does not raise."""

    name: str

    def is_idle(self) -> bool:
        """Whether it has no use for events now; those that come while it is idle pass it by."""
        ...

    async def deliver(self, sequence: int, event: bytes) -> None:
        """One event, JSON, with its sequence number."""
        ...

    async def close(self) -> None:
        """Take no more."""
        ...


class Cursor:
    """The sequence number up to which a sink has everything; without a path it is forgotten with the process."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self) -> int | None:
        """None: there is none yet."""
        try:
            return int(self._path.read_text()) if self._path is not None else None
        except (FileNotFoundError, ValueError):
            return None

    def write(self, sequence: int) -> None:
        """Replace it, whole."""
        if self._path is not None:
            fresh = self._path.with_suffix(".new")
            fresh.write_text(str(sequence))
            fresh.replace(self._path)


class Pump(Bell):
    """One sink's."""

    def __init__(self, store: Store, sink: Sink, cursor: Cursor) -> None:
        super().__init__()
        self._store = store
        self._sink = sink
        self._cursor = cursor
        known = cursor.read()
        newest = store.view().revision
        self._at = newest if known is None else min(known, newest)

    async def run(self) -> None:
        """Deliver until cancelled or the store is closed."""
        self._cursor.write(self._at)
        try:
            while True:
                moved = self.moved
                if self._sink.is_idle():
                    self._at = self._store.view().revision
                    await moved.wait()
                elif not await self._deliver_page():
                    await moved.wait()
        except StoreClosed:
            _log.debug("the store is closed; a sink ends", sink=self._sink.name)

    async def _deliver_page(self) -> bool:
        page = await self._store.events(self._at, PAGE_EVENTS)
        if self._at < page.forgotten:
            _log.error("events are no longer kept and lost", sink=self._sink.name, after=self._at, to=page.forgotten)
            self._at = page.forgotten
        for sequence, event in page.rows:
            await self._sink.deliver(sequence, event)
        if page.rows:
            self._at = page.rows[-1][0]
            await asyncio.to_thread(self._cursor.write, self._at)
        return bool(page.rows)
