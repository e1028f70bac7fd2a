"""The ACS session: a websocket that is always there, or soon again. What the frames mean is `responders.py`'s.

Source: amazon-ecs-agent `ecs-agent/acs/session/session.go` (timers, back-off).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import aiohttp
import msgspec

from agent.backend.backoff import Backoff
from agent.backend.desk import Desk
from agent.backend.ecsclient import BackendUnreachableError, EcsClient
from agent.backend.endpoints import Endpoints
from agent.backend.responders import KNOWN_TYPES, RESPONDERS
from agent.backend.websocket import InactiveInstanceError, UnknownInstanceError, address, dial, hang_up, listen
from wire.envelope import decode_frame
from wire.errors import AwsError

log = logging.getLogger(__name__)

PROTOCOL_VERSION = "2"
INACTIVE_SECONDS = 3600.0
"""After `InactiveInstanceException` Amazon's agent stays away for an hour."""
BRIEF_SECONDS = 1.0
"""A session that ends sooner counts as a failed try, or two programs would shake hands as fast as they can."""
_OUT_OF_REACH = (UnknownInstanceError, BackendUnreachableError, AwsError, aiohttp.ClientError, TimeoutError, OSError)


class AcsSession:
    """Keeps one websocket to the control plane."""

    def __init__(
        self,
        client: EcsClient,
        endpoints: Endpoints,
        desk: Desk,
        *,
        cluster: str,
        instance: str,
        agent_version: str,
        docker_version: str,
        renew: Callable[[], Awaitable[None]],
    ) -> None:
        """`instance` is the container instance's ARN; `renew` registers it again where it is not known any more."""
        self._client = client
        self._endpoints = endpoints
        self._desk = desk
        self._renew = renew
        self._query = {
            "agentHash": "berth",
            "agentVersion": agent_version,
            "clusterArn": cluster,
            "containerInstanceArn": instance,
            "dockerVersion": f"DockerVersion: {docker_version}",
            "protocolVersion": PROTOCOL_VERSION,
            "seqNum": "1",
        }
        self._send_credentials = True

    async def run(self) -> None:
        """Connect, listen, and connect again, until cancelled."""
        backoff = Backoff(0.25, 120, 1.5)
        task = asyncio.current_task()
        while True:
            began = time.monotonic()
            try:
                await self._session_anew(backoff)
                if time.monotonic() - began > BRIEF_SECONDS:
                    continue  # the server closed in an orderly way: back at once
            except InactiveInstanceError:
                log.warning("This instance is no longer registered; the agent looks again in an hour.")
                await asyncio.sleep(INACTIVE_SECONDS)
                continue
            except _OUT_OF_REACH as error:
                log.info("The control plane is out of reach: %s", error or type(error).__name__)
            if task is not None and task.cancelling():
                return  # the client can answer a cancellation with an error of its own
            await asyncio.sleep(backoff.wait_seconds())

    async def _session_anew(self, backoff: Backoff) -> None:
        try:
            await self._session(backoff)
        except UnknownInstanceError:
            log.warning("The control plane does not know this instance any more: it registers again.")
            self._send_credentials = True
            await self._renew()
            await self._session(backoff)

    async def _session(self, backoff: Backoff) -> None:
        credentials = "true" if self._send_credentials else "false"
        endpoint = await self._endpoints.of("endpoint")
        try:
            socket = await dial(self._client, address(endpoint, {**self._query, "sendCredentials": credentials}))
        except aiohttp.WSServerHandshakeError:
            self._endpoints.doubt()
            raise
        self._send_credentials = False
        log.info("Connected to the control plane.")

        async def take(text: str) -> bool:
            backoff.reset()
            return await self._respond(socket, text)

        try:
            await listen(socket, take)
        finally:
            await hang_up(socket)

    async def _respond(self, socket: aiohttp.ClientWebSocketResponse, text: str) -> bool:
        try:
            frame = decode_frame(text)
            respond = RESPONDERS.get(frame.type)
            answers = await respond(frame, self._desk) if respond else []
        except msgspec.MsgspecError as error:
            log.warning("A frame that cannot be read was passed over: %s", error)
            return False
        for answer in answers:
            await socket.send_str(answer)
        return frame.type in KNOWN_TYPES
