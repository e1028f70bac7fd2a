"""The ACS session: a websocket that is always there, or soon again. What the frames mean is `responders.py`'s.

Source: amazon-ecs-agent `ecs-agent/acs/session/session.go` (timers, back-off).
"""

import logging
from collections.abc import Awaitable, Callable

import aiohttp
import msgspec

from agent.backend.backoff import Backoff
from agent.backend.desk import Desk
from agent.backend.ecsclient import EcsClient
from agent.backend.endpoints import Endpoints
from agent.backend.responders import KNOWN_TYPES, RESPONDERS
from agent.backend.websocket import Speaker, UnknownInstanceError, address, dial, hang_up, listen, stay_connected
from wire.envelope import decode_frame

log = logging.getLogger(__name__)

PROTOCOL_VERSION = "2"
INACTIVE_SECONDS = 3600.0
"""After `InactiveInstanceException` Amazon's agent stays away for an hour."""


class AcsSession:
    """Keeps one websocket to the control plane."""

    def __init__(
        self,
        client: EcsClient,
        endpoints: Endpoints,
        desk: Desk,
        speaker: Speaker,
        *,
        renew: Callable[[], Awaitable[None]],
    ) -> None:
        """`renew` registers the instance again where it is not known any more."""
        self._client = client
        self._endpoints = endpoints
        self._desk = desk
        self._renew = renew
        self._query = {
            "agentHash": "berth",
            "agentVersion": speaker.agent_version,
            "clusterArn": speaker.cluster,
            "containerInstanceArn": speaker.instance,
            "dockerVersion": f"DockerVersion: {speaker.docker_version}",
            "protocolVersion": PROTOCOL_VERSION,
            "seqNum": "1",
        }
        self._send_credentials = True

    async def run(self) -> None:
        """Connect, listen, and connect again, until cancelled."""
        await stay_connected(
            self._session_anew, Backoff(0.25, 120, 1.5), name="The control plane", inactive_seconds=INACTIVE_SECONDS
        )

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
        url = address(endpoint, {**self._query, "sendCredentials": credentials})
        socket = await dial(self._client, self._endpoints, url)
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
