"""A websocket to the control plane, as both sessions use it: signed, given up when silent, renewed after half an hour.

What its frames mean is the sessions' business. Source: amazon-ecs-agent `ecs-agent/wsclient/client.go`,
`ecs-agent/acs/session/session.go`.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from urllib.parse import quote, urlencode

import aiohttp

from agent.backend.ecsclient import BackendUnreachableError, EcsClient

SILENCE_SECONDS = 60.0
"""Without a known message for this long, plus up to as much again, the connection is given up."""
LIFE_SECONDS = 30 * 60.0
"""After this, plus up to LIFE_JITTER_SECONDS, a connection is renewed."""
LIFE_JITTER_SECONDS = 5 * 60.0
DIAL_SECONDS = 30.0
CLOSE_SECONDS = 2.0
FRAME_BYTES_MAX = 4 << 20
EXPIRED = b"ConnectionExpired: Reconnect to continue"
HTTP_ERROR = 400

Take = Callable[[str], Awaitable[bool]]
"""Takes a text frame in; whether it is of a known type (others do not count as a sign of life)."""


class InactiveInstanceError(Exception):
    """The control plane says that this instance is no longer registered."""


class UnknownInstanceError(Exception):
    """The control plane has never heard of this instance, or has forgotten it."""


def address(endpoint: str, query: dict[str, str]) -> str:
    """The websocket's URL: keys sorted, everything percent-encoded."""
    return f"{endpoint}/ws?{urlencode(sorted(query.items()), quote_via=quote, safe='')}"


async def dial(client: EcsClient, url: str) -> aiohttp.ClientWebSocketResponse:
    """Connect.

    Raises:
        InactiveInstanceError, UnknownInstanceError: refused, and for that.
        aiohttp.ClientError, TimeoutError, OSError: refused, or out of reach.
    """
    headers = client.signer.sign("GET", url, {}, b"", time.time())
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            closing = aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS)
            return await client.session.ws_connect(url, headers=headers, max_msg_size=FRAME_BYTES_MAX, timeout=closing)
    except aiohttp.WSServerHandshakeError as error:
        why = await _why_refused(client, url)
        if "InactiveInstanceException" in why:
            raise InactiveInstanceError from error
        if "InvalidInstanceException" in why:
            raise UnknownInstanceError from error
        raise


async def listen(socket: aiohttp.ClientWebSocketResponse, take: Take) -> None:
    """Hand every frame on until the other side closes, or the connection has lived long enough.

    Raises:
        TimeoutError: the other side has fallen silent.
        BackendUnreachableError: the connection broke.
    """
    clock = asyncio.get_running_loop().time
    expires = clock() + LIFE_SECONDS + LIFE_JITTER_SECONDS * random.random()  # noqa: S311 - jitter
    silent_at = clock() + _silence_seconds()
    while True:
        try:
            message = await socket.receive(timeout=max(min(expires, silent_at) - clock(), 0))
        except TimeoutError:
            if clock() < expires:
                raise
            await socket.close(code=aiohttp.WSCloseCode.OK, message=EXPIRED)
            return
        if message.type is aiohttp.WSMsgType.TEXT:
            if await take(message.data):
                silent_at = clock() + _silence_seconds()
        elif message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED):
            return
        elif message.type is aiohttp.WSMsgType.ERROR:
            raise BackendUnreachableError(str(message.data))


async def hang_up(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Close. A failure to close must not take the place of a cancellation."""
    with contextlib.suppress(aiohttp.ClientError, OSError):
        await socket.close()


def _silence_seconds() -> float:
    return SILENCE_SECONDS * (1 + random.random())  # noqa: S311 - jitter


async def _why_refused(client: EcsClient, url: str) -> str:
    """The library keeps no body of a refused upgrade: ask once more, plainly."""
    headers = client.signer.sign("GET", url, {}, b"", time.time())
    headers |= {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    headers["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
    timeout = aiohttp.ClientTimeout(total=DIAL_SECONDS)
    async with client.session.get(url, headers=headers, timeout=timeout) as response:
        return await response.text() if response.status >= HTTP_ERROR else ""
