"""The containers that a new task has, read from its definition and its overrides."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from controlplane.core.cost import gpus_of, overridden
from controlplane.core.model import Container, TaskDefinition
from controlplane.core.record import following
from wire.status import HealthStatus


def containers_of(
    definition: TaskDefinition,
    overrides: dict[str, Any],
    *,
    digests: Mapping[str, str],
    arn_of: Callable[[], str],
) -> tuple[Container, ...]:
    """Each with an ARN of its own. `overrides` is Amazon's `TaskOverride`; `digests`: what image tags mean, by name."""
    unnamed = _overridden(definition, overrides) if overrides else _plain(definition)
    return tuple(
        [msgspec.structs.replace(each, arn=arn_of(), pinned_digest=digests.get(each.name, "")) for each in unnamed]
    )


@following
def _plain(definition: TaskDefinition) -> tuple[Container, ...]:
    return _overridden(definition, {})


def _overridden(definition: TaskDefinition, overrides: dict[str, Any]) -> tuple[Container, ...]:
    """The containers that a task of this definition gets, but for their ARNs."""
    return tuple(
        Container(
            name=container["name"],
            arn="",
            image=container.get("image", ""),
            essential=container.get("essential", True),
            cpu=container.get("cpu") or 0,
            memory_mib=container.get("memory"),
            memory_reservation_mib=container.get("memoryReservation"),
            stop_timeout_seconds=container.get("stopTimeout"),
            gpus=gpus_of(container),
            health_status=HealthStatus.UNKNOWN if container.get("healthCheck") else None,
        )
        for container in overridden(definition.body, overrides)
    )
