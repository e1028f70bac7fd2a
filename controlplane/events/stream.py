"""`GET /events?after=N`: a page of events as JSON, or all of them from a number on, live, as server-sent events.

A sequence number is the store's revision; events of one commit share it. In the stream the number stands at the last of
them, so who was cut off in between gets the whole commit again: at least once, in order. Who asks for what is no longer
kept is told so (410).
"""

import msgspec
from aiohttp import web

from controlplane.events.feed import Serial, as_json, refused, wants_stream
from controlplane.store.port import EventPage

PAGE_EVENTS = 500
PAGE_EVENTS_MAX = 5000
_GONE = 410


class EventStream(Serial):
    """Serves it."""

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
        if wants_stream(request):
            return await self.stream(request, after)
        rows = [{"sequence": number, "event": msgspec.Raw(body)} for number, body in page.rows]
        return as_json({"events": rows, "newest": page.newest})

    async def more(self, after: int) -> tuple[int, bytes] | None:
        """The next events; None: too slow, what is missing has gone, and the next request is told so."""
        page = await self._store.events(after, PAGE_EVENTS)
        if after < page.forgotten:
            return None
        return (page.rows[-1][0], b"".join(_lines(page))) if page.rows else (after, b"")


def _lines(page: EventPage) -> list[bytes]:
    following = [number for number, _ in page.rows[1:]] + [None]
    return [
        (b"data: %s\n\n" % body) if number == next_number else (b"id: %d\ndata: %s\n\n" % (number, body))
        for (number, body), next_number in zip(page.rows, following, strict=True)
    ]
