"""The door of the control plane: how many connections there may be, TLS, and which paths ask for a signature.

It knows no operation; what a signature is worth is `api/auth`'s.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from controlplane.api import neighbours
from controlplane.api.http import lower
from controlplane.connection import Connection, Serve
from wire import envelope
from wire.errors import AwsError

CONNECTIONS_MAX = 12_000
"""Above what 10,000 agents hold, below what a process can open on most systems. Assumed."""
HEADERS_SECONDS_MAX = 60.0
"""A connection on which no headers have come whole for so long is closed: an idle one, or one that sends them byte by
byte. Clients that keep connections find out and open another; websockets and streams are not idle."""
UNSIGNED_PATHS = frozenset({"/_berth/health", "/metrics"})
"""Nothing that asks for these can sign: a health check, a scraper. They tell counts, and no names."""
CHANNEL_PATHS = "/v1/data-channel/"
"""Sessions of ExecuteCommand: what lets a client in is the token that the API has given it."""
SIGNED_ELSEWHERE = frozenset({"/", "/acs/ws", "/tcs/ws"})
"""Their handlers verify by themselves: the first needs the body for it, the others refuse in the agents' words."""
_TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

Authenticate = Callable[[web.Request], Awaitable[None]]


class Refusal(asyncio.Protocol):
    """The answer to one connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(_TOO_MANY)
        transport.close()


class Door:
    """Makes the protocol of each new connection, as long as there are not too many."""

    def __init__(self, serve: Serve, other: Callable[[], asyncio.Protocol], *, idle_seconds_max: float) -> None:
        """`serve` answers calls of the API; `other` makes aiohttp's protocol for whatever else comes."""
        self._connections: set[Connection] = set()
        self._connection = partial(Connection, serve, other, idle_seconds_max=idle_seconds_max, among=self._connections)

    def __call__(self) -> asyncio.BaseProtocol:
        return self._connection() if len(self._connections) < CONNECTIONS_MAX else Refusal()

    async def close(self, seconds: float) -> None:
        """Take no further call; let what is under way be answered for so long, then cut it off."""
        for connection in self._connections:
            connection.close()
        under_way = [each.answering for each in self._connections if each.answering is not None]
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=seconds)
            for answering in late:
                answering.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS with this certificate (its chain behind it) and key, both PEM.

    Raises:
        ValueError: one sentence.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise ValueError(f"{certificate} and {key} are no certificate and its key: {error.reason}.") from None
    except OSError as error:
        raise ValueError(f"{certificate} or {key} cannot be read: {error.strerror}.") from None
    return context


def signed_only(authenticate: Authenticate) -> Middleware:
    """Asks for a signature on every path, also on those that are added later. `authenticate` raises AwsError."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_open = request.path in UNSIGNED_PATHS or request.path.startswith(CHANNEL_PATHS)
        if request.path not in SIGNED_ELSEWHERE and not is_open:
            if neighbours.is_foreign(lower(request.headers)):
                return await neighbours.elsewhere(request)
            try:
                await authenticate(request)
            except AwsError as error:
                body = envelope.encode_error(error)
                return web.Response(status=error.status, body=body, content_type=envelope.CONTENT_TYPE)
        return await handler(request)

    return check
