"""Amounts of an instance's room, and Amazon's `Resource` shape for them.

Source: ECS API `Resource`; amazon-ecs-agent `agent/api/task/task.go` (ToHostResources) for what a task costs.
`remainingResources` lists ports *in use*, not free ports; so does a registration (its reserved ports). Of GPUs it lists
the free ones (assumed).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from wire.numerals import whole

PORT_MAX = 65535
RESERVED_PORTS = frozenset({22, 2375, 2376, 51678, 51679})
"""What an agent registers as taken where nothing else is said: SSH, Docker, itself (`ECS_RESERVED_PORTS`)."""
GPU = "GPU"
"""Name of the resource, and type of the device. API reference, `Resource`, `PlatformDevice`, `ResourceRequirement`."""


class Amounts(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """CPU units (1024 = one vCPU), memory in MiB, host ports, and GPUs."""

    cpu: int = 0
    memory_mib: int = 0
    ports: frozenset[int] = frozenset()
    ports_udp: frozenset[int] = frozenset()
    gpus: int = 0
    """How many."""
    gpu_ids: frozenset[str] = frozenset()
    """Which: of what is registered or held. What is only wanted names none."""

    @property
    def names_any(self) -> bool:
        """Whether ports or GPUs are named, of which there is one each."""
        return bool(self.ports or self.ports_udp or self.gpu_ids)

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            self.cpu + other.cpu,
            self.memory_mib + other.memory_mib,
            self.ports | other.ports,
            self.ports_udp | other.ports_udp,
            self.gpus + other.gpus,
            self.gpu_ids | other.gpu_ids,
        )

    def __sub__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            self.cpu - other.cpu,
            self.memory_mib - other.memory_mib,
            self.ports - other.ports,
            self.ports_udp - other.ports_udp,
            self.gpus - other.gpus,
            self.gpu_ids - other.gpu_ids,
        )


class Room(msgspec.Struct, frozen=True, gc=False):
    """What is free: numbers and GPUs that are left, ports that are taken."""

    cpu: int
    memory_mib: int
    ports_taken: frozenset[int] = frozenset()
    ports_udp_taken: frozenset[int] = frozenset()
    gpus: int = 0
    gpu_ids: frozenset[str] = frozenset()

    @classmethod
    def whole(cls, registered: Amounts) -> "Room":
        """The room of an instance without holds: its reserved ports are taken."""
        return cls(
            registered.cpu,
            registered.memory_mib,
            registered.ports,
            registered.ports_udp,
            registered.gpus,
            registered.gpu_ids,
        )

    def lacks(self, want: Amounts) -> tuple[str, ...]:
        """Amazon's names of what `want` does not find here: CPU, MEMORY, PORTS, GPU; empty where it fits."""
        lacking = []
        if want.cpu > self.cpu:
            lacking.append("CPU")
        if want.memory_mib > self.memory_mib:
            lacking.append("MEMORY")
        if want.ports & self.ports_taken or want.ports_udp & self.ports_udp_taken:
            lacking.append("PORTS")
        if want.gpus > self.gpus or want.gpu_ids - self.gpu_ids:
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
            self.gpu_ids - taken.gpu_ids,
        )

    def plus(self, freed: Amounts) -> "Room":
        """What is left once `freed` is given back. No two holds share a port."""
        return Room(
            self.cpu + freed.cpu,
            self.memory_mib + freed.memory_mib,
            self.ports_taken - freed.ports,
            self.ports_udp_taken - freed.ports_udp,
            self.gpus + freed.gpus,
            self.gpu_ids | freed.gpu_ids,
        )


def to_resources(
    cpu: int, memory_mib: int, ports: Iterable[int], ports_udp: Iterable[int], gpu_ids: Iterable[str] | None = None
) -> list[dict[str, Any]]:
    """Amazon's four resources, in the order in which its agent sends them; and GPU, unless `gpu_ids` is None."""

    def integer(name: str, value: int) -> dict[str, Any]:
        return {
            "name": name,
            "type": "INTEGER",
            "doubleValue": 0.0,
            "longValue": 0,
            "integerValue": value,
        }

    def stringset(name: str, values: Iterable[int | str]) -> dict[str, Any]:
        return {
            "name": name,
            "type": "STRINGSET",
            "doubleValue": 0.0,
            "longValue": 0,
            "integerValue": 0,
            "stringSetValue": [str(value) for value in sorted(values)],
        }

    return [
        integer("CPU", cpu),
        integer("MEMORY", memory_mib),
        stringset("PORTS", ports),
        stringset("PORTS_UDP", ports_udp),
        *([] if gpu_ids is None else [stringset(GPU, gpu_ids)]),
    ]


def to_registration(registered: Amounts) -> list[dict[str, Any]]:
    """The same as Amazon's agent sends it when it registers: without the members that say nothing.

    GPUs are no part of it: they are `to_devices`.
    """
    resources = to_resources(registered.cpu, registered.memory_mib, registered.ports, registered.ports_udp)
    kept = {"INTEGER": ("name", "type", "integerValue"), "STRINGSET": ("name", "type", "stringSetValue")}
    return [{member: resource[member] for member in kept[resource["type"]]} for resource in resources]


def from_resources(resources: Iterable[Mapping[str, Any]]) -> Amounts:
    """Read Amazon's resources; a name that we do not account for is passed over.

    Raises:
        KeyError, ValueError: they are no resources, or a port is none.
    """
    by_name = {resource["name"]: resource for resource in resources}

    def integer(name: str) -> int:
        return int(by_name.get(name, {}).get("integerValue", 0))

    def ports(name: str) -> frozenset[int]:
        return frozenset(map(_port, by_name.get(name, {}).get("stringSetValue") or ()))

    gpu_ids = frozenset(by_name.get(GPU, {}).get("stringSetValue") or ())
    return Amounts(
        integer("CPU"), integer("MEMORY"), ports("PORTS"), ports("PORTS_UDP"), gpus=len(gpu_ids), gpu_ids=gpu_ids
    )


def to_devices(gpu_ids: Iterable[str]) -> list[dict[str, str]]:
    """GPUs as Amazon's agent registers them: `platformDevices`."""
    return [{"id": gpu, "type": GPU} for gpu in sorted(gpu_ids)]


def with_devices(registered: Amounts, devices: Iterable[Mapping[str, Any]]) -> Amounts:
    """What is registered, the GPUs among its `platformDevices` included."""
    gpu_ids = registered.gpu_ids | {device["id"] for device in devices if device.get("type") == GPU}
    return msgspec.structs.replace(registered, gpus=len(gpu_ids), gpu_ids=gpu_ids)


def _port(text: str) -> int:
    port = whole(text)
    if port is None or port > PORT_MAX:
        raise ValueError(f"{text[:100]!r} is no port")
    return port
