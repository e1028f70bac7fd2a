"""Whether the container runtime answers: asked with each heartbeat of the control plane, told over telemetry.

Source: amazon-ecs-agent `ecs-agent/doctor`, `agent/doctor/docker_runtime_healthcheck.go` (a ping within 2 s).
"""

import asyncio
from collections.abc import Awaitable, Callable

from wire.tcs_shapes import InstanceStatus

PING_SECONDS = 2.0
KIND = "ContainerRuntime"


class Doctor:
    """One examination at a time; what it found is told once."""

    def __init__(self, ping: Callable[[], Awaitable[object]], clock: Callable[[], float]) -> None:
        """`ping` raises where the runtime does not answer; `clock` tells epoch seconds."""
        self._ping = ping
        self._clock = clock
        self._status = InstanceStatus(type=KIND, status="INITIALIZING")
        self._untold = False
        self._examining: asyncio.Task[None] | None = None

    def examine(self) -> None:
        """Look, unless a look is under way."""
        if self._examining is None or self._examining.done():
            self._examining = asyncio.get_running_loop().create_task(self._examine())

    def news(self) -> list[InstanceStatus]:
        """What was found since the last call; empty where nothing was."""
        told, self._untold = self._untold, False
        return [self._status] if told else []

    async def close(self) -> None:
        """Stop looking."""
        if self._examining is not None:
            self._examining.cancel()
            await asyncio.gather(self._examining, return_exceptions=True)

    async def _examine(self) -> None:
        status, reason = "OK", ""
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._ping()
        except TimeoutError:
            status, reason = "IMPAIRED", f"no answer within {PING_SECONDS:g} s"
        except Exception as error:  # noqa: BLE001 - whatever a runtime raises, it does not answer as it should
            status, reason = "IMPAIRED", str(error)
        now = self._clock()
        changed = status != self._status.status
        self._status = InstanceStatus(
            type=KIND,
            status=status,
            status_reason=reason,
            last_updated=round(now, 3),
            last_status_change=round(now, 3) if changed else self._status.last_status_change,
        )
        self._untold = True
