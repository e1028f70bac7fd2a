"""A websocket to the control plane, as both sessions use it: always there, or soon again.

It is signed, given up when the other side is silent, and renewed after half an hour. What its frames mean is the
sessions' business. Source: amazon-ecs-agent `ecs-agent/wsclient/client.go`, `ecs-agent/acs/session/session.go`.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from agent.backend.backoff import Backoff
from agent.backend.ecsclient import BackendUnreachableError, EcsClient
from agent.backend.endpoints import Endpoints
from wire.errors import AwsError

log = logging.getLogger(__name__)

SILENCE_SECONDS = 60.0
"""Without a known message for this long, plus up to as much again, the connection is given up."""
LIFE_SECONDS = 30 * 60.0
"""After this, plus up to LIFE_JITTER_SECONDS, a connection is renewed."""
LIFE_JITTER_SECONDS = 5 * 60.0
BRIEF_SECONDS = 1.0
"""A session that ends sooner counts as a failed try, or two programs would shake hands as fast as they can."""
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


_OUT_OF_REACH = (UnknownInstanceError, BackendUnreachableError, AwsError, aiohttp.ClientError, TimeoutError, OSError)


class Speaker(msgspec.Struct, frozen=True, kw_only=True):
    """Who connects."""

    cluster: str
    instance: str
    """ARN of the container instance."""
    agent_version: str
    docker_version: str


async def stay_connected(
    session: Callable[[Backoff], Awaitable[None]], backoff: Backoff, *, name: str, inactive_seconds: float
) -> None:
    """Have one session after the other, until cancelled. Nothing in them ends the agent.

    `name` is the log's; after `InactiveInstanceException` the next try is `inactive_seconds` away.
    """
    task = asyncio.current_task()
    while True:
        began = time.monotonic()
        try:
            await session(backoff)
            if time.monotonic() - began > BRIEF_SECONDS:
                continue  # the server closed in an orderly way: back at once
        except InactiveInstanceError:
            log.warning("%s: this instance is no longer registered.", name)
            await asyncio.sleep(inactive_seconds)
        except _OUT_OF_REACH as error:
            log.info("%s is out of reach: %s", name, str(error) or type(error).__name__)
        if task is not None and task.cancelling():
            return  # the client can answer a cancellation with an error of its own
        await asyncio.sleep(backoff.wait_seconds())


def address(endpoint: str, query: dict[str, str]) -> str:
    """The websocket's URL: keys sorted, everything percent-encoded."""
    return f"{endpoint}/ws?{urlencode(sorted(query.items()), quote_via=quote, safe='')}"


async def dial(client: EcsClient, endpoints: Endpoints, url: str) -> aiohttp.ClientWebSocketResponse:
    """Connect. An address that refuses is asked for anew before the next try.

    Raises:
        InactiveInstanceError, UnknownInstanceError: refused, and for that.
        aiohttp.ClientError, TimeoutError, OSError: refused, or out of reach.
    """
    try:
        return await connect(client, url)
    except aiohttp.WSServerHandshakeError as error:
        why = await _why_refused(client, url)
        if "InactiveInstanceException" in why:
            raise InactiveInstanceError from error
        if "InvalidInstanceException" in why:
            raise UnknownInstanceError from error
        endpoints.doubt()
        raise


async def connect(client: EcsClient, url: str) -> aiohttp.ClientWebSocketResponse:
    """Connect, once and signed. Raises aiohttp.ClientError, TimeoutError, OSError: refused, or out of reach."""
    headers = client.signer.sign("GET", url, {}, b"", time.time())
    async with asyncio.timeout(DIAL_SECONDS):
        closing = aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS)
        return await client.session.ws_connect(url, headers=headers, max_msg_size=FRAME_BYTES_MAX, timeout=closing)


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
