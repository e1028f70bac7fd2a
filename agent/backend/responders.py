"""One responder per ACS message: what it means to the engine, and the answer that goes back.

Source: amazon-ecs-agent `ecs-agent/acs/session/*_responder.go`, `agent/acs/session/payload_responder.go`.
"""

import asyncio
import logging
from typing import Any

import msgspec

from agent.backend import manifest, refreshing, updates
from agent.backend.container_life import life
from agent.backend.desk import Desk, Respond, encode
from agent.core.events import Desired
from agent.core.spec import ContainerSpec, Mount, Port, Secret, TaskSpec, Volume, cost
from wire import acs_shapes
from wire.acs_session_shapes import BerthPolicyMessage
from wire.acs_shapes import AckRequest, HeartbeatAckRequest, HeartbeatMessage
from wire.envelope import Frame
from wire.execution import ExecuteCommandMessage
from wire.status import DesiredStatus

log = logging.getLogger(__name__)

VISIBLE_GPUS = "NVIDIA_VISIBLE_DEVICES"
"""What NVIDIA's runtime reads in the container's environment."""


class _Payload(msgspec.Struct, rename="camel"):
    """PayloadMessage whose tasks are read one by one: a bad one must not lose the others."""

    message_id: str
    cluster_arn: str
    container_instance_arn: str
    tasks: list[msgspec.Raw] = []
    seq_num: int = 0


class _Named(msgspec.Struct, rename="camel"):
    """The two members that a stop needs."""

    arn: str = ""
    desired_status: str = ""


async def heartbeat(frame: Frame, desk: Desk) -> list[str]:
    """HeartbeatMessage: we are here; and a reason to look whether the container runtime is."""
    message = msgspec.json.decode(frame.message, type=HeartbeatMessage)
    desk.examine()
    return [encode(HeartbeatAckRequest(message_id=message.message_id))]


async def payload(frame: Frame, desk: Desk) -> list[str]:
    """PayloadMessage: stops before starts; acknowledged when all of it is on disk, before anything is done."""
    message = msgspec.json.decode(frame.message, type=_Payload)
    if not (message.message_id and message.cluster_arn and message.container_instance_arn):
        log.warning("A payload without messageId, clusterArn or containerInstanceArn was passed over.")
        return []
    desk.timeline.saw_payload(message.seq_num)
    credentials = [ack for raw in message.tasks for ack in _credentials(desk, message.message_id, raw)]
    events = [_desired(raw, message.message_id) for raw in message.tasks]
    stops_first = sorted(filter(None, events), key=lambda event: event.desired is DesiredStatus.RUNNING)
    await asyncio.gather(*(desk.submit(event) for event in stops_first))
    ack = AckRequest(
        cluster=message.cluster_arn,
        container_instance=message.container_instance_arn,
        message_id=message.message_id,
    )
    return [encode(ack), *credentials]


async def execute(frame: Frame, desk: Desk) -> list[str]:
    """ExecuteCommandMessage, ours: there is no answer; what comes of it goes over a connection of its own."""
    desk.execute(msgspec.json.decode(frame.message, type=ExecuteCommandMessage))
    return []


async def policy(frame: Frame, desk: Desk) -> list[str]:
    """BerthPolicyMessage, ours: another policy goes from now on, also for the tasks that are here."""
    message = msgspec.json.decode(frame.message, type=BerthPolicyMessage)
    try:
        desk.set_policy(message.resource_release, message.task_queue, message.stop_give_up)
    except ValueError as error:
        log.warning("A policy that this agent does not know was passed over: %s", error)
        return []
    ack = AckRequest(
        cluster=message.cluster_arn,
        container_instance=message.container_instance_arn,
        message_id=message.message_id,
    )
    return [encode(ack)]


RESPONDERS: dict[str, Respond] = {
    "HeartbeatMessage": heartbeat,
    "PayloadMessage": payload,
    "BerthPolicyMessage": policy,
    "TaskManifestMessage": manifest.manifest,
    "TaskStopVerificationAck": manifest.verified,
    "IAMRoleCredentialsMessage": refreshing.refreshed,
    "ExecuteCommandMessage": execute,
    "StageUpdateMessage": updates.refuse,
    "PerformUpdateMessage": updates.refuse,
}

KNOWN_TYPES = frozenset(RESPONDERS) | {
    "AttachTaskNetworkInterfacesMessage",
    "AttachInstanceNetworkInterfacesMessage",
    "ConfirmAttachmentMessage",
    "CloseMessage",
    "ErrorMessage",
}
"""A frame of one of these types is a sign of life, whether there is an answer to it or not."""


def _credentials(desk: Desk, message_id: str, raw: msgspec.Raw) -> list[str]:
    try:
        return refreshing.keep(desk, message_id, raw)
    except msgspec.MsgspecError as error:
        log.warning("A task's credentials cannot be read: %s", error)
        return []


def _desired(raw: msgspec.Raw, message_id: str) -> Desired | None:
    """A task that cannot be read is refused by its ARN, with the reason; without an ARN there is nobody to refuse.

    A stop is a stop, whatever else is said with it: refusing it would leave the task running for good.
    """
    try:
        task = msgspec.json.decode(raw, type=acs_shapes.Task)
        desired = DesiredStatus(task.desired_status)
        spec = _spec(task) if desired is DesiredStatus.RUNNING else None
        return Desired(task=task.arn, cause=message_id, desired=desired, spec=spec, force=task.berth_force)
    except (msgspec.MsgspecError, ValueError) as error:
        try:
            named = msgspec.json.decode(raw, type=_Named)
        except msgspec.MsgspecError:
            named = _Named()
        if not named.arn:
            log.warning("A task without a readable ARN was passed over: %s", error)
            return None
        if named.desired_status == DesiredStatus.STOPPED:
            return Desired(task=named.arn, cause=message_id, desired=DesiredStatus.STOPPED)
        return Desired(task=named.arn, cause=message_id, desired=DesiredStatus.RUNNING, refusal=str(error))


def _spec(task: acs_shapes.Task) -> TaskSpec:
    gpus = _gpus(task)
    spec = TaskSpec(
        arn=task.arn,
        cluster=task.task_cluster_arn.rsplit("/", 1)[-1] or _cluster_of(task.arn),
        family=task.family,
        version=task.version,
        containers=tuple(_container(container, gpus.get(container.name, ())) for container in task.containers),
        cpu_vcpus=task.cpu,
        memory_mib=task.memory,
        network_mode=task.network_mode or "bridge",
        pid_mode=task.pid_mode,
        ipc_mode=task.ipc_mode,
        volumes=tuple(_volume(volume) for volume in task.volumes),
        service_name=task.service_name,
        group=task.group,
        credentials_id=task.role_credentials.credentials_id if task.role_credentials else "",
    )
    cost(spec)  # reads the Docker configuration: better refused here than at the start
    return spec


def _cluster_of(arn: str) -> str:
    path = arn.rsplit(":", 1)[-1].split("/")
    return path[1] if len(path) > 2 else ""  # noqa: PLR2004 - task/CLUSTER/ID


def _gpus(task: acs_shapes.Task) -> dict[str, tuple[str, ...]]:
    """The ids of each container's GPUs. Source: amazon-ecs-agent `agent/api/task/task.go` (addGPUResource)."""
    known = {container.name for container in task.containers}
    found: dict[str, tuple[str, ...]] = {}
    for association in task.associations:
        if association.type != acs_shapes.GPU_ASSOCIATION:
            continue
        if len(association.containers) != 1 or association.containers[0] not in known:
            raise ValueError(
                f"GPU {association.name} is for {association.containers}, not for one container of the task"
            )
        owner = association.containers[0]
        found[owner] = (*found.get(owner, ()), association.name)
    return found


def _container(container: acs_shapes.Container, gpu_ids: tuple[str, ...]) -> ContainerSpec:
    command = container.command or None
    if container.overrides:
        override = msgspec.json.decode(container.overrides, type=dict[str, Any]).get("command")
        command = override or command
    return ContainerSpec(
        name=container.name,
        image=container.image,
        arn=container.container_arn,
        essential=container.essential,
        cpu=container.cpu,
        memory_mib=container.memory,
        command=tuple(command) if command else None,
        entry_point=tuple(container.entry_point) if container.entry_point else None,
        environment=container.environment | ({VISIBLE_GPUS: ",".join(gpu_ids)} if gpu_ids else {}),
        gpu_ids=gpu_ids,
        ports=tuple(Port(port.container_port, port.host_port, port.protocol) for port in container.port_mappings),
        stop_timeout_seconds=container.stop_timeout,
        **life(container),
        docker_config=container.docker_config.config or "{}",
        host_config=container.docker_config.host_config or "{}",
        mounts=tuple(
            Mount(mount.source_volume, mount.container_path, mount.read_only) for mount in container.mount_points
        ),
        secrets=tuple(
            Secret(name=secret.name, value_from=secret.value_from, for_log_driver=secret.target == "LOG_DRIVER")
            for secret in container.secrets
        ),
        environment_files=tuple(file.value for file in container.environment_files),
    )


def _volume(volume: acs_shapes.Volume) -> Volume:
    if volume.type == "docker":
        docker = volume.docker_volume_configuration or acs_shapes.DockerVolume()
        return Volume(
            name=volume.name,
            is_shared=docker.scope == "shared",
            autoprovision=docker.autoprovision,
            driver=docker.driver,
            driver_options=docker.driver_opts,
            labels=docker.labels,
        )
    if volume.type not in ("", "host"):
        raise ValueError(f"volume {volume.name!r} is of the type {volume.type}, which this agent does not serve")
    return Volume(name=volume.name, host_path=volume.host.source_path if volume.host else "")
