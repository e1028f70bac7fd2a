"""Messages of the Agent Communication Service, as far as both programs speak it.

Source: amazon-ecs-agent `ecs-agent/acs/model/api/api-2.json`; recorded traffic. Keys are lowerCamel, unset members
are left out, unknown ones are passed over. A `RUNNING` and a `STOPPED` for one ARN are the whole conversation about it.
"""

from typing import Any

import msgspec


class _Shape(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """Amazon's spelling on the wire, ours in the code."""


class PortMapping(_Shape, frozen=True):
    """A port of the container; `host_port` 0 is dynamic."""

    container_port: int
    host_port: int = 0
    protocol: str = "tcp"


class MountPoint(_Shape, frozen=True):
    """Where a volume of the task appears in a container."""

    source_volume: str = ""
    container_path: str = ""
    read_only: bool = False


class HostVolume(_Shape, frozen=True):
    """A directory of the host; an empty path is a volume of the task's own."""

    source_path: str = ""


class DockerVolume(_Shape, frozen=True, omit_defaults=False):
    """A Docker volume. `scope` is `task` or `shared`; only a shared one is `autoprovision`ed, or must be there."""

    scope: str = "task"
    autoprovision: bool = False
    driver: str = "local"
    driver_opts: dict[str, str] = {}
    labels: dict[str, str] = {}


class Volume(_Shape, frozen=True):
    """A volume of the task; `type` is `host` (also where it is absent) or `docker`."""

    name: str
    type: str = "host"
    host: HostVolume | None = None
    docker_volume_configuration: DockerVolume | None = None


class Secret(_Shape, frozen=True, omit_defaults=False):
    """A reference to a secret; its value never crosses this wire. `target` is CONTAINER or LOG_DRIVER."""

    name: str
    value_from: str
    provider: str = "ssm"
    target: str = "CONTAINER"
    type: str = "ENVIRONMENT_VARIABLE"
    region: str = ""


class EnvironmentFile(_Shape, frozen=True, omit_defaults=False):
    """A file of `NAME=value` lines; `value` is its S3 ARN."""

    value: str
    type: str = "s3"


class ContainerDependency(_Shape, frozen=True):
    """An entry of `dependsOn`; START, COMPLETE, SUCCESS or HEALTHY."""

    container_name: str
    condition: str


class VolumeFrom(_Shape, frozen=True):
    """An entry of `volumesFrom`."""

    source_container: str
    read_only: bool = False


class RestartPolicy(_Shape, frozen=True):
    """`restartPolicy`; the period is seconds."""

    enabled: bool = False
    ignored_exit_codes: list[int] = []
    restart_attempt_period: int = 0


class AsmAuthData(_Shape, frozen=True):
    """Where the credentials of a private registry are kept."""

    credentials_parameter: str = ""
    region: str = ""


class RegistryAuthentication(_Shape, frozen=True):
    """Whose credentials a pull uses: `asm` or `ecr`."""

    type: str = ""
    asm_auth_data: AsmAuthData | None = None


class DockerConfig(_Shape, frozen=True):
    """JSON strings in Docker's API shape, laid over what the agent builds itself."""

    config: str = "{}"
    host_config: str = "{}"
    version: str = ""


class Container(_Shape, frozen=True):
    """A container to run. An absent `essential` means false; `environment` is a map."""

    name: str
    image: str = ""
    container_arn: str = ""
    essential: bool = False
    cpu: int = 0
    memory: int = 0
    """Hard limit, MiB; 0 is none."""
    command: list[str] | None = None
    entry_point: list[str] | None = None
    environment: dict[str, str] = {}
    environment_files: list[EnvironmentFile] = []
    secrets: list[Secret] = []
    mount_points: list[MountPoint] = []
    port_mappings: list[PortMapping] = []
    stop_timeout: int = 0
    """Seconds; 0 is not set."""
    start_timeout: int = 0
    """Seconds; 0 is not set."""
    depends_on: list[ContainerDependency] = []
    links: list[str] = []
    volumes_from: list[VolumeFrom] = []
    health_check_type: str = ""
    """`docker`: the check itself stands in `docker_config`."""
    restart_policy: RestartPolicy | None = None
    registry_authentication: RegistryAuthentication | None = None
    docker_config: DockerConfig = DockerConfig()
    overrides: str = ""


GPU_ASSOCIATION = "gpu"


class Association(_Shape, frozen=True):
    """A device for a container; of type `gpu` the name is its id, and there is one container."""

    name: str
    type: str = ""
    containers: list[str] = []


class IAMRoleCredentials(_Shape, frozen=True):
    """Keys of a role, kept by the agent under `credentials_id`. `expiration` is ISO 8601."""

    credentials_id: str = ""
    role_arn: str = ""
    access_key_id: str = ""
    secret_access_key: str = ""
    session_token: str = ""
    expiration: str = ""
    credential_scope: str = ""


class Task(_Shape, frozen=True):
    """A task and what is wanted of it. To stop one, its ARN and an empty container list are enough."""

    arn: str
    desired_status: str = "STOPPED"
    """Missing means STOPPED, as Amazon's agent has it."""
    task_cluster_arn: str = ""
    family: str = ""
    version: str = ""
    containers: list[Container] = []
    cpu: float = 0
    """vCPU; 0 is not set."""
    memory: int = 0
    """MiB; 0 is not set."""
    network_mode: str = ""
    volumes: list[Volume] = []
    pid_mode: str = ""
    """`host` or `task`."""
    ipc_mode: str = ""
    """`host`, `task` or `none`."""
    service_name: str = ""
    group: str = ""
    launch_type: str = ""
    task_definition_account_id: str = ""
    associations: list[Association] = []
    berth_force: bool = False
    """Ours (`wire/extensions.py`): with STOPPED, the rest of every grace is cut."""
    role_credentials: IAMRoleCredentials | None = None
    execution_role_credentials: IAMRoleCredentials | None = None


class PayloadMessage(_Shape, frozen=True):
    """What an instance is to do. Acknowledged once it is on the agent's disk, before anything is done."""

    message_id: str
    cluster_arn: str
    container_instance_arn: str
    tasks: list[Task] = []
    generated_at: int = 0
    """Epoch milliseconds."""
    seq_num: int = 0


class AckRequest(_Shape, frozen=True):
    """An agent has the message of this id on disk. Match on `message_id` only."""

    cluster: str
    container_instance: str
    message_id: str


class HeartbeatMessage(_Shape, frozen=True, omit_defaults=False):
    """Something that the agent must hear every 60 s, or it reconnects. `healthy` is always said."""

    message_id: str
    healthy: bool = True


class HeartbeatAckRequest(_Shape, frozen=True):
    """Answer to a heartbeat."""

    message_id: str


class NetworkBinding(_Shape, frozen=True, omit_defaults=False):
    """A port as Docker bound it, in a state change; all of it is always said."""

    container_port: int
    host_port: int
    protocol: str = "tcp"
    bind_ip: str = msgspec.field(name="bindIP", default="0.0.0.0")  # noqa: S104 - Docker's own default


class ContainerStateChange(_Shape, frozen=True):
    """One container in a state change."""

    container_name: str
    status: str
    runtime_id: str | None = None
    exit_code: int | None = None
    reason: str | None = None
    image_digest: str | None = None
    network_bindings: list[NetworkBinding] = []


class TaskStateChange(_Shape, frozen=True):
    """Input of `SubmitTaskStateChange`. Times are epoch seconds; `status` is PENDING, RUNNING or STOPPED."""

    cluster: str
    task: str
    status: str
    reason: str = ""
    containers: list[ContainerStateChange] = []
    pull_started_at: float | None = None
    pull_stopped_at: float | None = None
    execution_stopped_at: float | None = None


def kind_of(message: msgspec.Struct) -> str:
    """The frame's `type` for a message."""
    return type(message).__name__


def as_json(message: _Shape) -> dict[str, Any]:
    """The message as plain JSON values."""
    plain: dict[str, Any] = msgspec.to_builtins(message)
    return plain
