"""What scripted containers say, in order, to the log store of `awslogs`. Other drivers' lines are heard by nobody."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from agent.runtime.port import LogLine, LogSink

log = logging.getLogger(__name__)

LINES_WAITING_MAX = 2_000
"""Of one stream; while the store is away the oldest are lost, with one warning."""
LINES_AT_ONCE = 500
LAST_WORDS_SECONDS = 2.0
"""Lines that are still on their way when the agent ends have so long."""
_NANOSECONDS = 1_000_000_000


class Stream(NamedTuple):
    """Where a container's lines go."""

    group: str
    name: str


class Sayings:
    """One agent's. Lines of a stream go out in the order in which they were said, each once."""

    def __init__(self, sink: LogSink, clock: Callable[[], float]) -> None:
        self._sink = sink
        self._clock = clock
        self._waiting: dict[Stream, deque[LogLine]] = {}
        self._writing: dict[Stream, asyncio.Task[None]] = {}
        self._losing: set[Stream] = set()
        self._last_ns = 0

    def say(self, stream: Stream, text: str) -> None:
        """Each line of `text`, now."""
        waiting = self._waiting.setdefault(stream, deque(maxlen=LINES_WAITING_MAX))
        for message in text.splitlines():
            if len(waiting) == LINES_WAITING_MAX and stream not in self._losing:
                self._losing.add(stream)
                log.warning("Log stream %s of %s: its oldest lines are lost", stream.name, stream.group)
            waiting.append(self._line(message))
        if stream not in self._writing:
            self._writing[stream] = asyncio.get_running_loop().create_task(self._write(stream))

    async def close(self) -> None:
        """Let the last words arrive, if the store is there."""
        writing = list(self._writing.values())
        if writing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_SECONDS):
                    await asyncio.gather(*writing, return_exceptions=True)
        for each in writing:
            each.cancel()

    def _line(self, message: str) -> LogLine:
        self._last_ns = max(self._last_ns + 1, int(self._clock() * _NANOSECONDS))
        seconds, rest = divmod(self._last_ns, _NANOSECONDS)
        stamp = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
        return LogLine(stamp, self._last_ns // 1_000_000, message)

    async def _write(self, stream: Stream) -> None:
        waiting = self._waiting[stream]
        try:
            await self._sink.newest(*stream)  # which makes the stream
            while waiting:
                lines = [waiting.popleft() for _ in range(min(len(waiting), LINES_AT_ONCE))]
                await self._sink.put(*stream, lines)
                self._losing.discard(stream)
        finally:
            self._losing.discard(stream)
            del self._writing[stream], self._waiting[stream]
