"""Where the websockets are: DiscoverPollEndpoint, asked once in twelve hours for both of them.

Source: amazon-ecs-agent `ecs-agent/api/ecs/client/ecs_client.go` (the cache; an old answer serves where a new one is
not to be had). Other than there, a refused connection makes it ask anew: an address may move.
"""

import asyncio
import time
from typing import Any

from agent.backend.ecsclient import BackendUnreachableError, EcsClient
from wire.errors import AwsError

KEPT_SECONDS = 12 * 3600.0


class Endpoints:
    """The addresses that the control plane names, for ACS and TCS alike."""

    def __init__(self, client: EcsClient, *, cluster: str, instance: str) -> None:
        """`instance` is the container instance's ARN."""
        self._client = client
        self._request = {"containerInstance": instance, "cluster": cluster, "zoneId": ""}
        self._answer: dict[str, Any] = {}
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def of(self, member: str) -> str:
        """`endpoint` (ACS) or `telemetryEndpoint` (TCS), without a slash at its end.

        Raises:
            BackendUnreachableError, AwsError: there was no answer, or none with this member.
        """
        async with self._asking:
            if time.monotonic() >= self._until:
                await self._ask()
        address: str = self._answer.get(member) or ""
        if not address:
            raise BackendUnreachableError(f"DiscoverPollEndpoint named no {member}")
        return address.rstrip("/")

    def doubt(self) -> None:
        """A connection was refused: ask before the next one."""
        self._until = 0.0

    async def _ask(self) -> None:
        try:
            self._answer = await self._client.call("DiscoverPollEndpoint", self._request)
        except (BackendUnreachableError, AwsError):
            if not self._answer:
                raise
            return
        self._until = time.monotonic() + KEPT_SECONDS
