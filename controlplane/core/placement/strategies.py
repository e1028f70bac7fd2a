"""Placement strategies: the order in which instances that fit are preferred. Best effort, never binding.

Source: ECS Developer Guide, "Task placement strategies"; where an instance lacks the attribute that is spread over,
all such instances are one domain (assumed).
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from controlplane.core.model import Instance
from wire.extensions import ZONE_ATTRIBUTE
from wire.resources import Amounts, Room

STRATEGIES_MAX = 5
"""API reference, RunTask `placementStrategy`."""

SERVICE_DEFAULT: tuple[dict[str, str], ...] = (
    {"type": "spread", "field": f"attribute:{ZONE_ATTRIBUTE}"},
    {"type": "spread", "field": "instanceId"},
)
"""A service without a strategy: the zone, then the instance, with the fewest of its tasks (ECS Developer Guide)."""


class Resource(StrEnum):
    """What binpack packs by."""

    CPU = "cpu"
    MEMORY = "memory"

    def of(self, room: Amounts | Room) -> int:
        """How much of it there is in `room`."""
        return room.cpu if self is Resource.CPU else room.memory_mib


class Spread(msgspec.Struct, frozen=True):
    """The fewest tasks of the group first, counted per value of an attribute; None: per instance."""

    attribute: str | None

    def domain(self, instance: Instance) -> str | None:
        """Where `instance` counts."""
        return instance.arn if self.attribute is None else instance.attribute(self.attribute)


class Binpack(msgspec.Struct, frozen=True):
    """The least of a resource left first."""

    resource: Resource


class Random(msgspec.Struct, frozen=True):
    """Any. What comes behind it in a chain has no say."""


Level = Spread | Binpack | Random


def levels(strategy: Iterable[Mapping[str, str]]) -> tuple[Level, ...]:
    """Read Amazon's `{type, field}` list, which `refuse` has passed. An empty one is random (RunTask's default)."""
    chain: list[Level] = []
    for step in strategy:
        kind, field = step.get("type", ""), step.get("field", "")
        if kind == "spread":
            chain.append(Spread(field.partition(":")[2] or None))
        elif kind == "binpack":
            chain.append(Binpack(Resource(field.lower())))
        else:
            chain.append(Random())
            break
    return tuple(chain) or (Random(),)


def refuse(strategy: Iterable[Mapping[str, str]]) -> str | None:
    """One sentence about the first strategy that is none; None where all are well."""
    steps = list(strategy)
    if len(steps) > STRATEGIES_MAX:
        return f"A task takes at most {STRATEGIES_MAX} placement strategies, not {len(steps)}."
    for step in steps:
        kind, field = step.get("type", ""), step.get("field", "")
        if kind not in {"random", "spread", "binpack"}:
            return f"Unknown placement strategy type '{kind}'."
        if kind == "binpack" and field.lower() not in set(Resource):
            return f"The placement strategy binpack takes the field cpu or memory, not '{field}'."
        if kind == "spread" and field not in {"instanceId", "host"} and not field.partition("attribute:")[2]:
            return f"The placement strategy spread takes the field instanceId, host or attribute:NAME, not '{field}'."
        if kind == "random" and field:
            return "The placement strategy random takes no field."
    return None
