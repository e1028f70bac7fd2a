"""What the host registers: its own CPU and memory, or those of a declared instance type.

Source: amazon-ecs-agent `agent/config` (GetHostResources): cores x 1024, MemTotal less `ECS_RESERVED_MEMORY`.
"""

from wire.instance_types import InstanceType
from wire.resources import Amounts

CPU_UNITS_PER_CORE = 1024
BYTES_PER_MIB = 1 << 20


def registered(
    declared: InstanceType | None,
    *,
    reserved_memory_mib: int,
    ports: frozenset[int],
    ports_udp: frozenset[int],
    gpu_ids: frozenset[str],
) -> Amounts:
    """Amounts that the host offers; the ports are reserved, hence taken.

    Raises:
        ValueError: more memory is reserved than there is.
    """
    cpu, memory_mib = (declared.cpu, declared.memory_mib) if declared else _measured()
    if reserved_memory_mib >= memory_mib:
        raise ValueError(
            f"ECS_RESERVED_MEMORY={reserved_memory_mib} leaves nothing of the {memory_mib} MiB that this host has."
        )
    return Amounts(cpu, memory_mib - reserved_memory_mib, ports, ports_udp, len(gpu_ids), gpu_ids)


def _measured() -> tuple[int, int]:
    import psutil  # noqa: PLC0415 - 0.8 MiB; a host of a declared type does without

    return (psutil.cpu_count() or 1) * CPU_UNITS_PER_CORE, psutil.virtual_memory().total // BYTES_PER_MIB
