"""A task in Amazon's shape. Sizes are strings there, unset times are left out. Source: API reference, `Task`."""

from typing import Any

import msgspec

from controlplane.api import network
from controlplane.core import health
from controlplane.core.capacity.attachment import provider_of_task
from controlplane.core.model import Container, Instance, Task
from controlplane.core.record import following
from controlplane.core.view import View
from wire.extensions import ZONE_ATTRIBUTE
from wire.status import ContainerStatus, DesiredStatus, HealthStatus, StopCode, TaskStatus

ARCHITECTURE_ATTRIBUTE = "ecs.cpu-architecture"

TIMES = (
    "createdAt",
    "pullStartedAt",
    "pullStoppedAt",
    "startedAt",
    "stoppingAt",
    "executionStoppedAt",
    "stoppedAt",
)

Members = dict[str, Any]
"""A part of a shape, in Amazon's member names."""


class ContainerShape(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """API reference, `Container`. What is None is left out."""

    container_arn: str
    task_arn: str
    name: str
    image: str
    last_status: ContainerStatus
    network_bindings: tuple[Members, ...]
    network_interfaces: list[Members]
    health_status: HealthStatus
    cpu: str
    image_digest: str | None = None
    runtime_id: str | None = None
    exit_code: int | None = None
    gpu_ids: tuple[str, ...] | None = None
    reason: str | None = None
    managed_agents: list[Members] | None = None
    memory: str | None = None
    memory_reservation: str | None = None


class TaskShape(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """API reference, `Task`. What is None is left out."""

    task_arn: str
    cluster_arn: str
    task_definition_arn: str
    last_status: TaskStatus
    desired_status: DesiredStatus
    cpu: str
    memory: str
    containers: list[ContainerShape]
    group: str
    version: int
    health_status: HealthStatus
    attachments: list[Members]
    attributes: list[Members]
    enable_execute_command: bool
    overrides: Members
    tags: list[Members]
    container_instance_arn: str | None = None
    availability_zone: str | None = None
    connectivity: str | None = None
    connectivity_at: float | None = None
    launch_type: str | None = None
    capacity_provider_name: str | None = None
    started_by: str | None = None
    stop_code: StopCode | None = None
    stopped_reason: str | None = None
    created_at: float | None = None
    pull_started_at: float | None = None
    pull_stopped_at: float | None = None
    started_at: float | None = None
    stopping_at: float | None = None
    execution_stopped_at: float | None = None
    stopped_at: float | None = None


class Surroundings(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What the shape of a task shows of the world around it."""

    cluster: str
    """ARN."""
    zone: str | None = None
    architecture: str | None = None
    connectivity: str | None = None
    """None: it has no instance."""
    connected_at: float | None = None
    """When the agent of its instance last came. Epoch seconds."""
    vpc: dict[str, Any] | None = None
    """`awsvpcConfiguration` of a task with a network of its own."""


def surroundings(view: View, task: Task) -> Surroundings:
    """As they are in this view."""
    cluster = view.cluster(task.cluster)
    assert cluster is not None, f"{task.arn} is in no cluster"
    instance = view.instance(task.instance) if task.instance else None
    place = _place_of(instance) if instance is not None else _NOWHERE
    return Surroundings(cluster.arn, *place, network.configuration_of(view, task))


_Place = tuple[str | None, str | None, str | None, float | None]
_NOWHERE: _Place = (None, None, None, None)


@following
def _place_of(instance: Instance) -> _Place:
    connectivity = "CONNECTED" if instance.agent_connected else "DISCONNECTED"
    zone, architecture = instance.attribute(ZONE_ATTRIBUTE), instance.attribute(ARCHITECTURE_ATTRIBUTE)
    return zone, architecture, connectivity, instance.connected_at


def render(view: View, task: Task, *, with_tags: bool = True) -> TaskShape:
    """A task; its tags where they were asked for (RunTask always shows them)."""
    return shape(task, surroundings(view, task), with_tags=with_tags)


def shape(task: Task, around: Surroundings, *, with_tags: bool) -> TaskShape:
    """A task in these surroundings."""
    # By position: msgspec seeks each of so many names, which takes longer than all the rest.
    body, provider = task.body, provider_of_task(task)
    interfaces, agents = network.interfaces(task), _managed_agents(task)
    return TaskShape(
        task.arn,
        around.cluster,
        task.task_definition,
        task.last_status,
        task.desired_status,
        str(task.amounts.cpu),
        str(task.amounts.memory_mib),
        [_container(task, container, interfaces, agents) for container in task.containers],
        task.group,
        task.version,
        health.of_task(task),
        network.attachments(task, around.vpc),
        _attributes(around),
        body.get("enableExecuteCommand", False),
        _overrides(task),
        body.get("tags", []) if with_tags else [],
        task.instance,
        around.zone,
        around.connectivity,
        _connectivity_at(around, task),
        None if provider else "EC2",
        provider,
        task.started_by,
        task.stop_code,
        task.stopped_reason,
        task.created_at,
        task.pull_started_at,
        task.pull_stopped_at,
        task.started_at,
        task.stopping_at,
        task.execution_stopped_at,
        task.stopped_at,
    )


def _connectivity_at(around: Surroundings, task: Task) -> float | None:
    """When its agent last came; a task that was placed since has had it from its beginning."""
    return None if around.connected_at is None else max(around.connected_at, task.created_at)


def _attributes(around: Surroundings) -> list[Members]:
    return [{"name": ARCHITECTURE_ATTRIBUTE, "value": around.architecture}] if around.architecture else []


def _container(
    task: Task, container: Container, interfaces: list[Members], agents: list[Members] | None
) -> ContainerShape:
    reservation = container.memory_reservation_mib
    return ContainerShape(
        container.arn,
        task.arn,
        container.name,
        container.image,
        container.last_status,
        container.network_bindings,
        interfaces,
        container.health_status or HealthStatus.UNKNOWN,
        str(container.cpu),
        container.image_digest,
        container.runtime_id,
        container.exit_code,
        container.gpu_ids or None,
        container.reason,
        agents,
        None if container.memory_mib is None else str(container.memory_mib),
        None if reservation is None else str(reservation),
    )


def _managed_agents(task: Task) -> list[Members] | None:
    """The agent that runs ExecuteCommand's commands: here it is the instance's own, so it runs when the task does."""
    if not task.body.get("enableExecuteCommand"):
        return None
    stops = {TaskStatus.STOPPING: "STOPPED", TaskStatus.STOPPED: "STOPPED", TaskStatus.RUNNING: "RUNNING"}
    agent: Members = {"name": "ExecuteCommandAgent", "lastStatus": stops.get(task.last_status, "PENDING")}
    return [agent if task.started_at is None else {**agent, "lastStartedAt": task.started_at}]


def _overrides(task: Task) -> Members:
    """The task's overrides; every container is named, as AWS does."""
    named = [{"name": container.name} for container in task.containers]
    given = task.body.get("overrides")
    if not given:
        return {"inferenceAcceleratorOverrides": [], "containerOverrides": named}
    own = {override.get("name"): override for override in given.get("containerOverrides", ())}
    named = [own.get(each["name"], each) for each in named]
    return {"inferenceAcceleratorOverrides": [], **given, "containerOverrides": named}
