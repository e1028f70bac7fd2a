"""`GET /events?after=N`: a page of events as JSON, or all of them from a number on, live, as server-sent events.

A sequence number is the store's revision; events of one commit share it. In the stream the number stands at the last of
them, so who was cut off in between gets the whole commit again: at least once, in order. Who asks for what is no longer
kept is told so (410).
"""

import msgspec
from aiohttp import web

from controlplane.events.feed import COMMENT_SECONDS, Bell, as_json, happens, refused, write
from controlplane.metrics import Metrics
from controlplane.store.port import EventPage, Store

PAGE_EVENTS = 500
PAGE_EVENTS_MAX = 5000
_GONE = 410


class EventStream(Bell):
    """Serves it."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        super().__init__()
        self._store = store
        self._metrics = metrics

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """A page, or the stream where it is asked for. Without `after`: from the oldest that is kept."""
        asked = request.headers.get("Last-Event-ID") or request.query.get("after")
        try:
            after = int(asked) if asked is not None else (await self._store.events(0, 0)).forgotten
            limit = int(request.query.get("limit", PAGE_EVENTS))
        except ValueError:
            return refused("after and limit are numbers.")
        if after < 0 or not 1 <= limit <= PAGE_EVENTS_MAX:
            return refused(f"after is 0 or more, limit is 1 to {PAGE_EVENTS_MAX}.")
        page = await self._store.events(after, limit)
        if after < page.forgotten:
            sentence = f"Events up to {page.forgotten} are no longer kept; ask with after={page.forgotten} or more."
            return refused(sentence, status=_GONE, forgotten=page.forgotten)
        if "text/event-stream" in request.headers.get("Accept", "") or request.query.get("stream") == "1":
            return await self._stream(request, after)
        rows = [{"sequence": number, "event": msgspec.Raw(body)} for number, body in page.rows]
        return as_json({"events": rows, "newest": page.newest})

    async def _stream(self, request: web.Request, after: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        try:
            while not self.is_closed:
                moved = self.moved
                page = await self._store.events(after, PAGE_EVENTS)
                if after < page.forgotten:
                    break  # too slow: what is missing has gone, and the next request is told so
                if page.rows:
                    after = page.rows[-1][0]
                    await write(response, b"".join(_lines(page)))
                elif not await happens(moved, COMMENT_SECONDS):
                    await write(response, b": still here\n\n")
        except TimeoutError:
            self._metrics.readers_cut.inc()
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass
        return response


def _lines(page: EventPage) -> list[bytes]:
    following = [number for number, _ in page.rows[1:]] + [None]
    return [
        (b"data: %s\n\n" % body) if number == next_number else (b"id: %d\ndata: %s\n\n" % (number, body))
        for (number, body), next_number in zip(page.rows, following, strict=True)
    ]
