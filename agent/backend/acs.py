"""The ACS session: a websocket that is always there, or soon again. What the frames mean is `responders.py`'s.

Source: amazon-ecs-agent `ecs-agent/acs/session/session.go`, `ecs-agent/wsclient/client.go` (timers, back-off).
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
from agent.backend.responders import RESPONDERS, Submit
from wire.envelope import decode_frame
from wire.errors import AwsError

log = logging.getLogger(__name__)

PROTOCOL_VERSION = "2"
SILENCE_SECONDS = 60.0
"""Without a known message for this long, plus up to as much again, the connection is given up."""
DIAL_SECONDS = 30.0
INACTIVE_SECONDS = 3600.0
"""After `InactiveInstanceException` Amazon's agent stays away for an hour."""
ENDPOINT_SECONDS = 12 * 3600.0
BRIEF_SECONDS = 1.0
"""A session that ends sooner counts as a failed try, or two programs would shake hands as fast as they can."""
CLOSE_SECONDS = 2.0
FRAME_BYTES_MAX = 4 << 20


class InactiveInstanceError(Exception):
    """The control plane says that this instance is no longer registered."""


class AcsSession:
    """Keeps one websocket to the control plane."""

    def __init__(
        self,
        client: EcsClient,
        *,
        cluster: str,
        instance: str,
        agent_version: str,
        docker_version: str,
        submit: Submit,
        on_connected: Callable[[], None] = lambda: None,
    ) -> None:
        """`instance` is the container instance's ARN."""
        self._client = client
        self._cluster = cluster
        self._instance = instance
        self._query = {
            "agentHash": "berth",
            "agentVersion": agent_version,
            "clusterArn": cluster,
            "containerInstanceArn": instance,
            "dockerVersion": f"DockerVersion: {docker_version}",
            "protocolVersion": PROTOCOL_VERSION,
            "seqNum": "1",
        }
        self._submit = submit
        self._on_connected = on_connected
        self._endpoint = ""
        self._endpoint_until = 0.0
        self._send_credentials = True

    async def run(self) -> None:
        """Connect, listen, and connect again, until cancelled."""
        backoff = Backoff(0.25, 120, 1.5)
        task = asyncio.current_task()
        while True:
            began = time.monotonic()
            try:
                await self._session(backoff)
                if time.monotonic() - began > BRIEF_SECONDS:
                    continue  # the server closed in an orderly way: back at once
            except InactiveInstanceError:
                log.warning("This instance is no longer registered; the agent looks again in an hour.")
                await asyncio.sleep(INACTIVE_SECONDS)
                continue
            except (BackendUnreachableError, AwsError, aiohttp.ClientError, TimeoutError, OSError) as error:
                log.info("The control plane is out of reach: %s", error or type(error).__name__)
            if task is not None and task.cancelling():
                return  # the client can answer a cancellation with an error of its own
            await asyncio.sleep(backoff.wait_seconds())

    async def _session(self, backoff: Backoff) -> None:
        url = await self._url()
        headers = self._client.signer.sign("GET", url, {}, b"", time.time())
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                closing = aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS)
                socket = await self._client.session.ws_connect(
                    url, headers=headers, max_msg_size=FRAME_BYTES_MAX, timeout=closing
                )
        except aiohttp.WSServerHandshakeError as error:
            self._endpoint = ""
            if "InactiveInstanceException" in await self._why_refused(url):
                raise InactiveInstanceError from error
            raise
        self._send_credentials = False
        log.info("Connected to the control plane.")
        self._on_connected()
        try:
            await self._listen(socket, backoff)
        finally:
            # A failure to close must not take the place of a cancellation.
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await socket.close()

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse, backoff: Backoff) -> None:
        limit = SILENCE_SECONDS * (1 + random.random())  # noqa: S311 - jitter
        while True:
            message = await socket.receive(timeout=limit)
            if message.type is aiohttp.WSMsgType.TEXT:
                backoff.reset()
                await self._respond(socket, message.data)
            elif message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED):
                return
            elif message.type is aiohttp.WSMsgType.ERROR:
                raise BackendUnreachableError(str(message.data))

    async def _respond(self, socket: aiohttp.ClientWebSocketResponse, text: str) -> None:
        try:
            frame = decode_frame(text)
            responder: Callable[..., Awaitable[str | None]] | None = RESPONDERS.get(frame.type)
            answer = await responder(frame, self._submit) if responder else None
        except msgspec.MsgspecError as error:
            log.warning("A frame that cannot be read was passed over: %s", error)
            return
        if answer is not None:
            await socket.send_str(answer)

    async def _url(self) -> str:
        now = time.monotonic()
        if not self._endpoint or now >= self._endpoint_until:
            request = {"containerInstance": self._instance, "cluster": self._cluster, "zoneId": ""}
            answer = await self._client.call("DiscoverPollEndpoint", request)
            if not answer.get("endpoint"):
                raise BackendUnreachableError("DiscoverPollEndpoint named no endpoint")
            self._endpoint, self._endpoint_until = answer["endpoint"].rstrip("/"), now + ENDPOINT_SECONDS
        credentials = "true" if self._send_credentials else "false"
        query = dict(sorted({**self._query, "sendCredentials": credentials}.items()))
        return f"{self._endpoint}/ws?{urlencode(query, quote_via=quote, safe='')}"

    async def _why_refused(self, url: str) -> str:
        """The client keeps no body of a refused upgrade: ask once more, plainly."""
        headers = self._client.signer.sign("GET", url, {}, b"", time.time())
        headers |= {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        headers["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
        timeout = aiohttp.ClientTimeout(total=DIAL_SECONDS)
        async with self._client.session.get(url, headers=headers, timeout=timeout) as response:
            return await response.text() if response.status >= 400 else ""  # noqa: PLR2004
