"""Story lines of the sessions: those of one turn of the loop go to the store together, and nobody waits for them.

A line says what was sent, it decides nothing: what had to be durable before the sending was so with its commit. The
lines still come before whatever the agent answers, as the store keeps the order in which it was asked.
"""

import asyncio
from collections.abc import Iterable

import structlog

from controlplane.store.port import Store, StoreClosed
from wire.story import StoryLine

LINES_MAX = 10_000
"""Lines on their way to the store; more of them go untold, and the log says so. Assumed."""
PATIENCE_SECONDS = 0.02
"""So long a line waits for a commit that it can go along with: by itself it would cost the disk as much as that."""

_log = structlog.get_logger(__name__)


class Teller:
    """Tells for all sessions; use it from one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lines: list[StoryLine] = []
        self._on_their_way = 0
        self._writes: set[asyncio.Task[None]] = set()

    def tell(self, lines: Iterable[StoryLine]) -> None:
        """Append to the story, soon."""
        if self._on_their_way + len(self._lines) >= LINES_MAX:
            _log.warning("the store is too slow for the story", lines_max=LINES_MAX)
            return
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._write)
        self._lines.extend(lines)

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        write = asyncio.ensure_future(self._keep(lines))
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)

    async def _keep(self, lines: list[StoryLine]) -> None:
        self._on_their_way += len(lines)
        try:
            await self._store.tell(lines, patience_seconds=PATIENCE_SECONDS)
        except StoreClosed:
            _log.debug("lines end with the store", lines=len(lines))
        except Exception:  # noqa: BLE001 - a full disk: whoever commits is told of it
            _log.exception("lines of the story are lost", lines=len(lines))
        finally:
            self._on_their_way -= len(lines)
