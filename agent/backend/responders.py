"""One responder per ACS message: what it means to the engine, and the answer that goes back.

Source: amazon-ecs-agent `ecs-agent/acs/session/*_responder.go`, `agent/acs/session/payload_responder.go`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from agent.core.events import Desired, Event
from agent.core.spec import ContainerSpec, Port, TaskSpec, cost
from wire import acs_shapes
from wire.acs_shapes import AckRequest, HeartbeatAckRequest, HeartbeatMessage
from wire.envelope import Frame, encode_frame
from wire.status import DesiredStatus

log = logging.getLogger(__name__)

Submit = Callable[[Event], Awaitable[None]]
Respond = Callable[[Frame, Submit], Awaitable[str | None]]
"""Takes a frame in; returns the answering frame, or None. Awaits until what it says is on disk."""


class _Payload(msgspec.Struct, rename="camel"):
    """PayloadMessage whose tasks are read one by one: a bad one must not lose the others."""

    message_id: str
    cluster_arn: str
    container_instance_arn: str
    tasks: list[msgspec.Raw] = []


class _Named(msgspec.Struct):
    arn: str = ""


async def heartbeat(frame: Frame, _submit: Submit) -> str | None:
    """HeartbeatMessage: we are here."""
    message = msgspec.json.decode(frame.message, type=HeartbeatMessage)
    return _encode(HeartbeatAckRequest(message_id=message.message_id))


async def payload(frame: Frame, submit: Submit) -> str | None:
    """PayloadMessage: stops before starts; acknowledged when all of it is on disk, before anything is done."""
    message = msgspec.json.decode(frame.message, type=_Payload)
    if not (message.message_id and message.cluster_arn and message.container_instance_arn):
        log.warning("A payload without messageId, clusterArn or containerInstanceArn was passed over.")
        return None
    events = [_desired(raw, message.message_id) for raw in message.tasks]
    stops_first = sorted(filter(None, events), key=lambda event: event.desired is DesiredStatus.RUNNING)
    await asyncio.gather(*(submit(event) for event in stops_first))
    return _encode(
        AckRequest(
            cluster=message.cluster_arn,
            container_instance=message.container_instance_arn,
            message_id=message.message_id,
        )
    )


RESPONDERS: dict[str, Respond] = {"HeartbeatMessage": heartbeat, "PayloadMessage": payload}


def _encode(message: Any) -> str:
    return encode_frame(acs_shapes.kind_of(message), message)


def _desired(raw: msgspec.Raw, message_id: str) -> Desired | None:
    """A task that cannot be read is refused by its ARN, with the reason; without an ARN there is nobody to refuse."""
    try:
        task = msgspec.json.decode(raw, type=acs_shapes.Task)
        desired = DesiredStatus(task.desired_status)
        spec = _spec(task) if desired is DesiredStatus.RUNNING else None
        return Desired(task=task.arn, cause=message_id, desired=desired, spec=spec)
    except (msgspec.MsgspecError, ValueError) as error:
        try:
            arn = msgspec.json.decode(raw, type=_Named).arn
        except msgspec.MsgspecError:
            arn = ""
        if not arn:
            log.warning("A task without a readable ARN was passed over: %s", error)
            return None
        return Desired(task=arn, cause=message_id, desired=DesiredStatus.RUNNING, refusal=str(error))


def _spec(task: acs_shapes.Task) -> TaskSpec:
    spec = TaskSpec(
        arn=task.arn,
        cluster=task.task_cluster_arn.rsplit("/", 1)[-1] or _cluster_of(task.arn),
        family=task.family,
        version=task.version,
        containers=tuple(_container(container) for container in task.containers),
        cpu_vcpus=task.cpu,
        memory_mib=task.memory,
        network_mode=task.network_mode or "bridge",
        service_name=task.service_name,
        group=task.group,
    )
    cost(spec)  # reads the Docker configuration: better refused here than at the start
    return spec


def _cluster_of(arn: str) -> str:
    path = arn.rsplit(":", 1)[-1].split("/")
    return path[1] if len(path) > 2 else ""  # noqa: PLR2004 - task/CLUSTER/ID


def _container(container: acs_shapes.Container) -> ContainerSpec:
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
        environment=container.environment,
        ports=tuple(Port(port.container_port, port.host_port, port.protocol) for port in container.port_mappings),
        stop_timeout_seconds=container.stop_timeout,
        docker_config=container.docker_config.config or "{}",
        host_config=container.docker_config.host_config or "{}",
    )
