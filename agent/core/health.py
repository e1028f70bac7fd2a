"""The health of a container, as Docker's own check sees it. It decides nothing here but who may start after it.

An unhealthy container is never stopped by the agent: the control plane is told and decides.
Source: amazon-ecs-agent `api/container/health.go`; Docker's `starting` stays UNKNOWN there.
"""

from enum import StrEnum

import msgspec

OUTPUT_CHARACTERS_MAX = 1024
"""Of the last check. Source: amazon-ecs-agent `dockerapi/docker_client.go` (maxHealthCheckOutputLength)."""


class HealthStatus(StrEnum):
    """As telemetry names it."""

    UNKNOWN = "UNKNOWN"
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a container's health."""

    status: HealthStatus = HealthStatus.UNKNOWN
    since: float | None = None
    """Epoch seconds of the last change."""
    output: str = ""
    """What the last check printed."""


class ContainerHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One container's health with its names, for telemetry."""

    task: str
    family: str
    version: str
    container: str
    docker_id: str
    health: Health
