"""What a host is asked to run: records of our own, read once from Amazon's payload and never changed again."""

from enum import StrEnum
from typing import Any

import msgspec

from wire.resources import Amounts

BYTES_PER_MIB = 1 << 20
CPU_UNITS_PER_VCPU = 1024


class Port(msgspec.Struct, frozen=True, omit_defaults=True):
    """A port of a container; `host_port` 0 lets Docker choose one."""

    container_port: int
    host_port: int = 0
    protocol: str = "tcp"


class Address(msgspec.Struct, frozen=True):
    """Where a task with a network of its own is reached: IPv4 and MAC, as Docker gave them."""

    ipv4: str
    mac: str = ""


class Volume(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A volume of a task: a directory of the host, or one that Docker keeps."""

    name: str
    host_path: str = ""
    """Empty: Docker keeps it."""
    is_shared: bool = False
    """It has its own name and outlives the task; else it is made and removed with it."""
    autoprovision: bool = False
    """A shared one that is not there is made."""
    driver: str = "local"
    driver_options: dict[str, str] = {}
    labels: dict[str, str] = {}


class Mount(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a volume of the task appears in a container."""

    volume: str
    path: str
    read_only: bool = False


class Secret(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A reference to a secret: never the value, for this is kept in the journal."""

    name: str
    value_from: str
    for_log_driver: bool = False
    """An option of the log driver; else a variable of the container."""


class Internal(StrEnum):
    """What a container of the agent's own is for."""

    NO = ""
    NETWORK = "network"
    """Holds the task's network namespace (`awsvpc`)."""
    NAMESPACE = "namespace"
    """Holds the task's PID or IPC namespace (`pidMode`, `ipcMode`: task)."""


class Condition(StrEnum):
    """What a container waits for in another. Source: amazon-ecs-agent `dependencygraph/graph.go`."""

    CREATE = "CREATE"
    """Internal: what `volumesFrom` needs."""
    START = "START"
    COMPLETE = "COMPLETE"
    SUCCESS = "SUCCESS"
    HEALTHY = "HEALTHY"


class Dependency(msgspec.Struct, frozen=True):
    """An entry of `dependsOn`."""

    container: str
    condition: Condition


class VolumesFrom(msgspec.Struct, frozen=True, omit_defaults=True):
    """An entry of `volumesFrom`: the volumes of another container of the task."""

    container: str
    read_only: bool = False


class RestartPolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """`restartPolicy`, where it is enabled."""

    ignored_exit_codes: tuple[int, ...] = ()
    attempt_period_seconds: float = 300
    """A container that ran for less is not started again. Source: API reference, `ContainerRestartPolicy`."""


class RegistryAuthentication(msgspec.Struct, frozen=True, omit_defaults=True):
    """`registryAuthentication`: where the credentials for the image come from."""

    kind: str
    """`asm` or `ecr`."""
    parameter: str = ""
    """For `asm`: the secret's name or ARN."""


class ContainerSpec(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One container of a task. `docker_config` and `host_config` are JSON in Docker's API shape."""

    name: str
    image: str
    arn: str = ""
    essential: bool = False
    cpu: int = 0
    memory_mib: int = 0
    """Hard limit; 0 is none."""
    command: tuple[str, ...] | None = None
    entry_point: tuple[str, ...] | None = None
    environment: dict[str, str] = {}
    ports: tuple[Port, ...] = ()
    stop_timeout_seconds: int = 0
    """0 is not set."""
    start_timeout_seconds: int = 0
    """How long who depends on it waits for it; 0 is for ever."""
    depends_on: tuple[Dependency, ...] = ()
    links: tuple[str, ...] = ()
    """`NAME` or `NAME:ALIAS`."""
    volumes_from: tuple[VolumesFrom, ...] = ()
    has_health_check: bool = False
    """Docker checks its health (`healthCheckType` docker); what is checked stands in `docker_config`."""
    restart: RestartPolicy | None = None
    registry: RegistryAuthentication | None = None
    docker_config: str = "{}"
    host_config: str = "{}"
    mounts: tuple[Mount, ...] = ()
    secrets: tuple[Secret, ...] = ()
    environment_files: tuple[str, ...] = ()
    """S3 ARNs."""
    internal: Internal = Internal.NO
    gpu_ids: tuple[str, ...] = ()
    """Those of the host's GPUs that are its own."""


class TaskSpec(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A task as its payload described it."""

    arn: str
    cluster: str = ""
    family: str = ""
    version: str = ""
    containers: tuple[ContainerSpec, ...] = ()
    cpu_vcpus: float = 0
    memory_mib: int = 0
    network_mode: str = "bridge"
    pid_mode: str = ""
    ipc_mode: str = ""
    volumes: tuple[Volume, ...] = ()
    service_name: str = ""
    group: str = ""
    credentials_id: str = ""
    """Of the task role; empty where the task has none. The credentials themselves are on no disk."""


def cost(task: TaskSpec) -> Amounts:
    """What the task takes of the host while it holds its room.

    A task-level amount wins; else the sum of the containers', for memory the reservation before the hard limit.
    Fixed host ports count, dynamic ones do not, and a task with a network of its own takes none. GPUs count by id.
    Source: amazon-ecs-agent `agent/api/task/task.go` (ToHostResources).
    """
    cpu = int(task.cpu_vcpus * CPU_UNITS_PER_VCPU) or sum(container.cpu for container in task.containers)
    memory_mib = task.memory_mib or sum(_memory_mib(container) for container in task.containers)
    is_on_host = task.network_mode in ("bridge", "host")
    gpu_ids = [gpu for container in task.containers for gpu in container.gpu_ids]
    ports = [port for container in task.containers for port in container.ports if port.host_port and is_on_host]
    return Amounts(
        cpu,
        memory_mib,
        frozenset(port.host_port for port in ports if port.protocol != "udp"),
        frozenset(port.host_port for port in ports if port.protocol == "udp"),
        len(gpu_ids),
        frozenset(gpu_ids),
    )


def _memory_mib(container: ContainerSpec) -> int:
    host_config: dict[str, Any] = msgspec.json.decode(container.host_config or "{}")
    return int(host_config.get("MemoryReservation") or 0) // BYTES_PER_MIB or container.memory_mib
