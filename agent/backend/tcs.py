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
from agent.backend.ecsclient import BackendUnreachableError, EcsClient
from agent.backend.endpoints import Endpoints
from agent.backend.telemetry import SAMPLE_SECONDS, Telemetry
from agent.backend.websocket import InactiveInstanceError, UnknownInstanceError, address, dial, hang_up, listen
from wire.envelope import decode_frame
from wire.errors import AwsError
from wire.tcs_shapes import ACKS, Publication, encode_publication, publication_json

log = logging.getLogger(__name__)

PUBLISH_SECONDS = 20.0
BRIEF_SECONDS = 1.0
"""As for ACS."""
SEND_SECONDS_MAX = 10.0
KNOWN_TYPES = frozenset(ACKS.values()) | {"HeartbeatMessage", "StopTelemetrySessionMessage"}


class TcsSession:
    """Keeps one telemetry websocket to the control plane."""

    def __init__(
        self,
        client: EcsClient,
        endpoints: Endpoints,
        telemetry: Telemetry,
        *,
        cluster: str,
        instance: str,
        agent_version: str,
        docker_version: str,
    ) -> None:
        """`instance` is the container instance's ARN."""
        self._client = client
        self._endpoints = endpoints
        self._telemetry = telemetry
        self._query = {
            "agentHash": "berth",
            "agentVersion": agent_version,
            "cluster": cluster,
            "containerInstance": instance,
            "dockerVersion": docker_version,
        }

    async def run(self) -> None:
        """Sample, publish, and connect again, until cancelled. Nothing here ever ends the agent."""
        sampling = asyncio.create_task(self._sample_for_ever())
        try:
            await self._stay_connected()
        finally:
            sampling.cancel()
            await asyncio.gather(sampling, return_exceptions=True)

    async def _stay_connected(self) -> None:
        backoff = Backoff(1, 60, 2)
        task = asyncio.current_task()
        while True:
            began = time.monotonic()
            try:
                await self._session(backoff)
                if time.monotonic() - began > BRIEF_SECONDS:
                    continue
            except (InactiveInstanceError, UnknownInstanceError):
                log.info("Telemetry is refused: this instance is not registered.")
            except (BackendUnreachableError, AwsError, aiohttp.ClientError, TimeoutError, OSError) as error:
                log.info("Telemetry waits: %s", error or type(error).__name__)
            if task is not None and task.cancelling():
                return
            await asyncio.sleep(backoff.wait_seconds())

    async def _session(self, backoff: Backoff) -> None:
        url = address(await self._endpoints.of("telemetryEndpoint"), self._query)
        try:
            socket = await dial(self._client, url)
        except aiohttp.WSServerHandshakeError:
            self._endpoints.doubt()
            raise

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
