"""The door of the control plane: how many connections there may be, TLS, and which paths ask for a signature.

It knows no operation; what a signature is worth is `api/auth`'s.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from controlplane.api import neighbours
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
    """Makes the protocol of each new connection, as long as there are not too many.

    Calls of the API, `POST /`, go straight to `serve_call`: they are most of what comes, and no route, middleware or
    signal has a say in them. The rest goes the application's way.
    """

    def __init__(
        self, server: web.Server, serve_call: Handler | None = None, connections_max: int = CONNECTIONS_MAX
    ) -> None:
        self._server = server
        self._connections_max = connections_max
        if serve_call is not None:
            server.request_handler = _forked(serve_call, server.request_handler)

    def __call__(self) -> asyncio.BaseProtocol:
        if len(self._server.connections) >= self._connections_max:
            return Refusal()
        protocol: asyncio.BaseProtocol = self._server()
        return protocol


def _forked(serve_call: Handler, serve_other: Any) -> Any:
    def handle(request: web.Request) -> Awaitable[web.StreamResponse]:
        is_call = request.raw_path == "/" and request.method == "POST"
        answer: Awaitable[web.StreamResponse] = serve_call(request) if is_call else serve_other(request)
        return answer

    return handle


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
            if neighbours.is_foreign(request.headers):
                return await neighbours.elsewhere(request)
            try:
                await authenticate(request)
            except AwsError as error:
                body = envelope.encode_error(error)
                return web.Response(status=error.status, body=body, content_type=envelope.CONTENT_TYPE)
        return await handler(request)

    return check
