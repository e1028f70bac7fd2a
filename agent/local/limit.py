"""So many requests per second and no more: a container that asks in a loop must not cost its neighbours anything.

Source: amazon-ecs-agent README (`ECS_TASK_METADATA_RPS_LIMIT`: steady rate and burst, over all paths together).
"""

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TOO_MANY = "You have reached maximum request limit."
"""The words of the library that Amazon's agent uses (tollbooth)."""


class Bucket:
    """A token bucket. It knows the time only as it is told."""

    def __init__(self, per_second: int, burst: int, now: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float) -> bool:
        """Whether one more is let in at `now` (seconds of a monotonic clock)."""
        self._tokens = min(float(self._burst), self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def limited(bucket: Bucket, clock: Callable[[], float]) -> Middleware:
    """A middleware that answers 429 beyond the limit."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not bucket.take(clock()):
            return web.Response(status=429, text=TOO_MANY)
        return await handler(request)

    return middleware
