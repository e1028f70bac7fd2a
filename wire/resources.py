"""Amounts of an instance's room, and Amazon's `Resource` shape for them.

Source: ECS API `Resource`; amazon-ecs-agent `agent/api/task/task.go` (ToHostResources) for what a task costs.
`remainingResources` lists ports *in use*, not free ports; so does a registration (its reserved ports).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from wire.numerals import whole

PORT_MAX = 65535


class Amounts(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """CPU units (1024 = one vCPU), memory in MiB, and host ports."""

    cpu: int = 0
    memory_mib: int = 0
    ports: frozenset[int] = frozenset()
    ports_udp: frozenset[int] = frozenset()
    gpus: int = 0
    """How many. The ledgers count them; no registration brings any yet (see `from_resources`)."""

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            self.cpu + other.cpu,
            self.memory_mib + other.memory_mib,
            self.ports | other.ports,
            self.ports_udp | other.ports_udp,
            self.gpus + other.gpus,
        )

    def __sub__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            self.cpu - other.cpu,
            self.memory_mib - other.memory_mib,
            self.ports - other.ports,
            self.ports_udp - other.ports_udp,
            self.gpus - other.gpus,
        )


class Room(msgspec.Struct, frozen=True, gc=False):
    """What is free: numbers that are left, ports that are taken."""

    cpu: int
    memory_mib: int
    ports_taken: frozenset[int] = frozenset()
    ports_udp_taken: frozenset[int] = frozenset()
    gpus: int = 0

    @classmethod
    def whole(cls, registered: Amounts) -> "Room":
        """The room of an instance without holds: its reserved ports are taken."""
        return cls(registered.cpu, registered.memory_mib, registered.ports, registered.ports_udp, registered.gpus)

    def lacks(self, want: Amounts) -> tuple[str, ...]:
        """Amazon's names of what `want` does not find here: CPU, MEMORY, PORTS, GPU; empty where it fits."""
        lacking = []
        if want.cpu > self.cpu:
            lacking.append("CPU")
        if want.memory_mib > self.memory_mib:
            lacking.append("MEMORY")
        if want.ports & self.ports_taken or want.ports_udp & self.ports_udp_taken:
            lacking.append("PORTS")
        if want.gpus > self.gpus:
            lacking.append("GPU")
        return tuple(lacking)

    def minus(self, taken: Amounts) -> "Room":
        """What is left once `taken` is taken too; below zero where it did not fit."""
        return Room(
            self.cpu - taken.cpu,
            self.memory_mib - taken.memory_mib,
            self.ports_taken | taken.ports,
            self.ports_udp_taken | taken.ports_udp,
            self.gpus - taken.gpus,
        )

    def plus(self, freed: Amounts) -> "Room":
        """What is left once `freed` is given back. No two holds share a port."""
        return Room(
            self.cpu + freed.cpu,
            self.memory_mib + freed.memory_mib,
            self.ports_taken - freed.ports,
            self.ports_udp_taken - freed.ports_udp,
            self.gpus + freed.gpus,
        )


def to_resources(cpu: int, memory_mib: int, ports: Iterable[int], ports_udp: Iterable[int]) -> list[dict[str, Any]]:
    """Amazon's four resources, in the order in which its agent sends them."""

    def integer(name: str, value: int) -> dict[str, Any]:
        return {
            "name": name,
            "type": "INTEGER",
            "doubleValue": 0.0,
            "longValue": 0,
            "integerValue": value,
        }

    def stringset(name: str, values: Iterable[int]) -> dict[str, Any]:
        return {
            "name": name,
            "type": "STRINGSET",
            "doubleValue": 0.0,
            "longValue": 0,
            "integerValue": 0,
            "stringSetValue": [str(port) for port in sorted(values)],
        }

    return [
        integer("CPU", cpu),
        integer("MEMORY", memory_mib),
        stringset("PORTS", ports),
        stringset("PORTS_UDP", ports_udp),
    ]


def to_registration(registered: Amounts) -> list[dict[str, Any]]:
    """The same as Amazon's agent sends it when it registers: without the members that say nothing."""
    resources = to_resources(registered.cpu, registered.memory_mib, registered.ports, registered.ports_udp)
    kept = {"INTEGER": ("name", "type", "integerValue"), "STRINGSET": ("name", "type", "stringSetValue")}
    return [{member: resource[member] for member in kept[resource["type"]]} for resource in resources]


def from_resources(resources: Iterable[Mapping[str, Any]]) -> Amounts:
    """Read Amazon's resources; a name that we do not account for is passed over.

    So is GPU: which of them a container gets is not told to any agent yet, so whoever asks for one is refused.

    Raises:
        KeyError, ValueError: they are no resources, or a port is none.
    """
    by_name = {resource["name"]: resource for resource in resources}

    def integer(name: str) -> int:
        return int(by_name.get(name, {}).get("integerValue", 0))

    def ports(name: str) -> frozenset[int]:
        return frozenset(map(_port, by_name.get(name, {}).get("stringSetValue") or ()))

    return Amounts(integer("CPU"), integer("MEMORY"), ports("PORTS"), ports("PORTS_UDP"))


def _port(text: str) -> int:
    port = whole(text)
    if port is None or port > PORT_MAX:
        raise ValueError(f"{text[:100]!r} is no port")
    return port
