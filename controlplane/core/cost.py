"""What one copy of a task costs an instance, read from its definition and its overrides (Amazon's member names).

Source: amazon-ecs-agent `agent/api/task/task.go` (ToHostResources); API reference `ContainerDefinition`: a reservation
counts in place of the hard limit, dynamic host ports are not accounted, `awsvpc` and `none` take no host port.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from wire.resources import Amounts

CPU_UNITS_PER_VCPU = 1024
MIB_PER_GIB = 1024
SIZE_MAX = 2**31 - 1
"""An integer of the API: what a container may ask for, its task may."""


def task_amounts(definition: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Amounts:
    """CPU, memory and fixed host ports of one copy.

    `definition` is a registration's body, `overrides` a `TaskOverride`. Task-level values win over the sum of the
    containers'.

    Raises:
        ValueError: a task-level value is no size; the message is a sentence for the caller.
    """
    overrides = overrides or {}
    containers = overridden(definition, overrides)
    cpu = overrides.get("cpu") or definition.get("cpu")
    memory = overrides.get("memory") or definition.get("memory")
    mode = definition.get("networkMode") or "bridge"
    return Amounts(
        cpu_units(cpu) if cpu else sum(int(c.get("cpu") or 0) for c in containers),
        mebibytes(memory) if memory else sum(_memory(c) for c in containers),
        frozenset(_host_ports(containers, mode, "tcp")),
        frozenset(_host_ports(containers, mode, "udp")),
        sum(gpus_of(container) for container in containers),
    )


def overridden(definition: Mapping[str, Any], overrides: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The container definitions with their `containerOverrides` laid over them (sizes, command, resources)."""
    by_name = {o.get("name"): o for o in overrides.get("containerOverrides") or ()}
    containers = []
    for container in definition.get("containerDefinitions") or ():
        over = by_name.get(container["name"], {})
        containers.append({**container, **{name: value for name, value in over.items() if name != "environment"}})
    return containers


def cpu_units(text: str) -> int:
    """CPU units of `1024`, `1 vCPU` or `.5 vcpu`."""
    units = _size(text, "vcpu", CPU_UNITS_PER_VCPU)
    if units is None:
        raise ValueError(f"Invalid setting for cpu: '{text[:100]}' is neither CPU units nor a number of vCPU.")
    return units


def mebibytes(text: str) -> int:
    """MiB of `2048`, `2GB` or `2 gb`."""
    mib = _size(text, "gb", MIB_PER_GIB)
    if mib is None:
        raise ValueError(f"Invalid setting for memory: '{text[:100]}' is neither MiB nor a number of GB.")
    return mib


def _size(text: str, unit: str, factor: int) -> int | None:
    """The size that `text` says, in the small unit or as a number of `unit` (`factor` small ones); None: it is none."""
    words = text.strip().lower()
    try:
        size = round(float(words.removesuffix(unit)) * factor) if unit in words else int(words)
    except (ValueError, OverflowError):
        return None
    return size if abs(size) <= SIZE_MAX else None


def _memory(container: Mapping[str, Any]) -> int:
    return int(container.get("memoryReservation") or container.get("memory") or 0)


def gpus_of(container: Mapping[str, Any]) -> int:
    """How many GPUs a container definition asks for.

    Raises:
        ValueError: it is no number; the message is a sentence for the caller.
    """
    wanted = container.get("resourceRequirements") or ()
    try:
        return sum(int(requirement["value"]) for requirement in wanted if requirement.get("type") == "GPU")
    except ValueError:
        raise ValueError("Invalid setting for resourceRequirements: a number of GPUs is a whole number.") from None


def _host_ports(containers: Iterable[Mapping[str, Any]], mode: str, protocol: str) -> Iterable[int]:
    if mode not in {"bridge", "host"}:
        return
    for container in containers:
        for mapping in container.get("portMappings") or ():
            port = mapping.get("hostPort") or (mapping.get("containerPort") if mode == "host" else None)
            if port and (mapping.get("protocol") or "tcp") == protocol:
                yield int(port)
