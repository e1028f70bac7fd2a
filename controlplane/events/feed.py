"""The story over HTTP: a page of it as JSON, or all of it from a number on, live, as server-sent events.

A reader that is too slow is cut off and comes back with the last number it has: nothing is kept for it here, the store
has the lines. The feed adds nothing to the story and leaves nothing out.
"""

import asyncio
from abc import ABC, abstractmethod
from typing import Any

import msgspec
from aiohttp import web

from controlplane.metrics import Metrics
from controlplane.store.port import Store
from wire.story import StoryLine

PAGE_LINES = 500
PAGE_LINES_MAX = 5000
COMMENT_SECONDS = 10
"""A comment line at least this often, so that both sides notice a dead connection."""
WRITE_SECONDS_MAX = 10
"""A reader that takes no bytes for so long is cut off."""


class Bell:
    """Tells whoever waits that there may be news, or that there will be none any more."""

    def __init__(self) -> None:
        self._moved: asyncio.Event | None = None
        """None: nobody has taken it."""
        self.is_closed = False

    @property
    def moved(self) -> asyncio.Event:
        """Take it before you look, wait for it afterwards."""
        if self._moved is None:
            self._moved = asyncio.Event()
        return self._moved

    def wake(self) -> None:
        """There may be news."""
        if self._moved is not None:
            self._moved.set()
            self._moved = None

    def close(self) -> None:
        """There will be none."""
        self.is_closed = True
        self.wake()


class Serial(Bell, ABC):
    """Serves something numbered: a page of it as JSON, or the stream. What it is, a subclass says."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        super().__init__()
        self._store = store
        self._metrics = metrics

    @abstractmethod
    async def more(self, after: int) -> tuple[int, bytes] | None:
        """What follows a number, as server-sent events, and the number behind it; None: the stream ends here."""

    async def stream(self, request: web.Request, after: int) -> web.StreamResponse:
        """Everything from a number on, and what comes, until the reader goes or is too slow."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        try:
            while not self.is_closed:
                moved = self.moved
                news = await self.more(after)
                if news is None:
                    break
                after, chunk = news
                if chunk:
                    await write(response, chunk)
                elif not await happens(moved, COMMENT_SECONDS):
                    await write(response, b": still here\n\n")
        except TimeoutError:
            self._metrics.readers_cut.inc()
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass
        return response


class Feed(Serial):
    """Serves `GET /_berth/story`."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """A page, or the stream where it is asked for."""
        try:
            after = int(request.headers.get("Last-Event-ID") or request.query.get("after", "0"))
            limit = int(request.query.get("limit", PAGE_LINES))
        except ValueError:
            return refused("after and limit are numbers.")
        if after < 0 or not 1 <= limit <= PAGE_LINES_MAX:
            return refused(f"after is 0 or more, limit is 1 to {PAGE_LINES_MAX}.")
        if wants_stream(request):
            return await self.stream(request, after)
        lines, newest = await self._store.story(after, limit)
        return as_json({"lines": lines, "newest": newest})

    async def more(self, after: int) -> tuple[int, bytes]:
        """The next lines."""
        lines, _ = await self._store.story(after, PAGE_LINES)
        return lines[-1][0] if lines else after, b"".join(_event(number, line) for number, line in lines)


def wants_stream(request: web.Request) -> bool:
    """Whether a reader stays."""
    return "text/event-stream" in request.headers.get("Accept", "") or request.query.get("stream") == "1"


def _event(number: int, line: StoryLine) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (number, msgspec.json.encode(line))


async def write(response: web.StreamResponse, chunk: bytes) -> None:
    """Hand bytes to a reader.

    Raises:
        TimeoutError: it does not take them.
    """
    async with asyncio.timeout(WRITE_SECONDS_MAX):
        await response.write(chunk)


async def happens(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, but no longer; whether it came."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def as_json(shape: Any) -> web.Response:
    """A good answer."""
    return web.Response(body=msgspec.json.encode(shape), content_type="application/json")


def refused(sentence: str, status: int = 400, **members: int) -> web.Response:
    """An answer that says what was wrong."""
    body = msgspec.json.encode({"message": sentence, **members})
    return web.Response(status=status, body=body, content_type="application/json")
