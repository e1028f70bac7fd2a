"""The TCS session: a second websocket, over which the agent publishes every 20 s. Acks are taken, not awaited.

Source: amazon-ecs-agent `ecs-agent/tcs/handler/handler.go`, `ecs-agent/tcs/client/client.go`; recorded traffic.
"""

import asyncio
import logging
import time
from urllib.parse import urlsplit

import aiohttp
import msgspec

from agent.backend.backoff import Backoff
from agent.backend.ecsclient import EcsClient
from agent.backend.endpoints import Endpoints
from agent.backend.telemetry import SAMPLE_SECONDS, Telemetry
from agent.backend.websocket import Speaker, address, dial, hang_up, listen, stay_connected
from wire.envelope import decode_frame
from wire.tcs_shapes import ACKS, Publication, encode_publication, publication_json

log = logging.getLogger(__name__)

PUBLISH_SECONDS = 20.0
SEND_SECONDS_MAX = 10.0
KNOWN_TYPES = frozenset(ACKS.values()) | {"HeartbeatMessage", "StopTelemetrySessionMessage"}


class TcsSession:
    """Keeps one telemetry websocket to the control plane."""

    def __init__(self, client: EcsClient, endpoints: Endpoints, telemetry: Telemetry, speaker: Speaker) -> None:
        self._client = client
        self._endpoints = endpoints
        self._telemetry = telemetry
        self._query = {
            "agentHash": "berth",
            "agentVersion": speaker.agent_version,
            "cluster": speaker.cluster,
            "containerInstance": speaker.instance,
            "dockerVersion": speaker.docker_version,
        }

    async def run(self) -> None:
        """Sample, publish, and connect again, until cancelled."""
        sampling = asyncio.create_task(self._sample_for_ever())
        try:
            await stay_connected(self._session, Backoff(1, 60, 2), name="Telemetry", inactive_seconds=0)
        finally:
            sampling.cancel()
            await asyncio.gather(sampling, return_exceptions=True)

    async def _session(self, backoff: Backoff) -> None:
        url = address(await self._endpoints.of("telemetryEndpoint"), self._query)
        socket = await dial(self._client, self._endpoints, url)

        async def take(text: str) -> bool:
            backoff.reset()
            return _is_known(text)

        publishing = asyncio.create_task(self._publish_for_ever(socket, url))
        try:
            await listen(socket, take)
        finally:
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
            await hang_up(socket)

    async def _publish_for_ever(self, socket: aiohttp.ClientWebSocketResponse, url: str) -> None:
        """Metrics and health at once and then every 20 s; the state of the runtime from the second round on."""
        messages: list[Publication] = self._telemetry.round()
        try:
            while True:
                for message in messages:
                    await self._publish(socket, url, message)
                await asyncio.sleep(PUBLISH_SECONDS)
                messages = [*self._telemetry.round(), *self._telemetry.instance_status()]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.debug("Telemetry was cut off: %s", error)
            await hang_up(socket)

    async def _publish(self, socket: aiohttp.ClientWebSocketResponse, url: str, message: Publication) -> None:
        body = publication_json(message).encode()
        headers = self._client.signer.sign("GET", url, {}, body, time.time()) | {"Host": urlsplit(url).netloc}
        async with asyncio.timeout(SEND_SECONDS_MAX):
            await socket.send_str(encode_publication(message, headers))

    async def _sample_for_ever(self) -> None:
        while True:
            await self._telemetry.sample()
            await asyncio.sleep(SAMPLE_SECONDS)


def _is_known(text: str) -> bool:
    try:
        return decode_frame(text).type in KNOWN_TYPES
    except msgspec.MsgspecError:
        return False
