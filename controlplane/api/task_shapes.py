"""A task in Amazon's shape. Sizes are strings there, unset times are left out. Source: API reference, `Task`."""

from operator import attrgetter
from typing import Any

import msgspec

from controlplane.api import network
from controlplane.api.call import Answer
from controlplane.core import health
from controlplane.core.capacity.attachment import provider_of_task
from controlplane.core.model import Container, Instance, Task
from controlplane.core.record import following
from controlplane.core.view import View
from wire.extensions import ZONE_ATTRIBUTE
from wire.status import HealthStatus, TaskStatus

ARCHITECTURE_ATTRIBUTE = "ecs.cpu-architecture"

TIMES = {
    "createdAt": "created_at",
    "pullStartedAt": "pull_started_at",
    "pullStoppedAt": "pull_stopped_at",
    "startedAt": "started_at",
    "stoppingAt": "stopping_at",
    "executionStoppedAt": "execution_stopped_at",
    "stoppedAt": "stopped_at",
}
_times = attrgetter(*TIMES.values())


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
    vpc = network.configuration_of(view, task)
    instance = view.instance(task.instance) if task.instance else None
    if instance is None:
        return Surroundings(cluster.arn, vpc=vpc)
    connectivity = "CONNECTED" if instance.agent_connected else "DISCONNECTED"
    return Surroundings(cluster.arn, *_place_of(instance), connectivity, instance.connected_at, vpc)


@following
def _place_of(instance: Instance) -> tuple[str | None, str | None]:
    return instance.attribute(ZONE_ATTRIBUTE), instance.attribute(ARCHITECTURE_ATTRIBUTE)


def render(view: View, task: Task, *, with_tags: bool = True) -> Answer:
    """A task; its tags where they were asked for (RunTask always shows them)."""
    return shape(task, surroundings(view, task), with_tags=with_tags)


def shape(task: Task, around: Surroundings, *, with_tags: bool) -> Answer:
    """A task in these surroundings."""
    provider = provider_of_task(task)
    maybe: Answer = {
        "containerInstanceArn": task.instance,
        "availabilityZone": around.zone,
        "connectivity": around.connectivity,
        "connectivityAt": _connectivity_at(around, task),
        "launchType": None if provider else "EC2",
        "capacityProviderName": provider,
        "startedBy": task.started_by,
        "stopCode": task.stop_code,
        "stoppedReason": task.stopped_reason,
        **dict(zip(TIMES, _times(task), strict=True)),
    }
    return {
        "taskArn": task.arn,
        "clusterArn": around.cluster,
        "taskDefinitionArn": task.task_definition,
        "lastStatus": task.last_status,
        "desiredStatus": task.desired_status,
        "cpu": str(task.amounts.cpu),
        "memory": str(task.amounts.memory_mib),
        "containers": [_container(task, container) for container in task.containers],
        "group": task.group,
        "version": task.version,
        "healthStatus": health.of_task(task),
        "attachments": network.attachments(task, around.vpc),
        "attributes": _attributes(around),
        "enableExecuteCommand": task.body.get("enableExecuteCommand", False),
        "overrides": _overrides(task),
        "tags": task.body.get("tags", []) if with_tags else [],
        **{member: value for member, value in maybe.items() if value is not None},
    }


def _connectivity_at(around: Surroundings, task: Task) -> float | None:
    """When its agent last came; a task that was placed since has had it from its beginning."""
    return None if around.connected_at is None else max(around.connected_at, task.created_at)


def _attributes(around: Surroundings) -> list[dict[str, str]]:
    return [{"name": ARCHITECTURE_ATTRIBUTE, "value": around.architecture}] if around.architecture else []


def _container(task: Task, container: Container) -> Answer:
    maybe: dict[str, Any] = {
        "imageDigest": container.image_digest,
        "runtimeId": container.runtime_id,
        "exitCode": container.exit_code,
        "gpuIds": list(container.gpu_ids) or None,
        "reason": container.reason,
        "managedAgents": _managed_agents(task) or None,
        "memory": None if container.memory_mib is None else str(container.memory_mib),
        "memoryReservation": (
            None if container.memory_reservation_mib is None else str(container.memory_reservation_mib)
        ),
    }
    return {
        "containerArn": container.arn,
        "taskArn": task.arn,
        "name": container.name,
        "image": container.image,
        "lastStatus": container.last_status,
        "networkBindings": list(container.network_bindings),
        "networkInterfaces": network.interfaces(task),
        "healthStatus": container.health_status or HealthStatus.UNKNOWN,
        "cpu": str(container.cpu),
        **{member: value for member, value in maybe.items() if value is not None},
    }


def _managed_agents(task: Task) -> list[Answer]:
    """The agent that runs ExecuteCommand's commands: here it is the instance's own, so it runs when the task does."""
    if not task.body.get("enableExecuteCommand"):
        return []
    stops = {TaskStatus.STOPPING: "STOPPED", TaskStatus.STOPPED: "STOPPED", TaskStatus.RUNNING: "RUNNING"}
    agent: Answer = {"name": "ExecuteCommandAgent", "lastStatus": stops.get(task.last_status, "PENDING")}
    return [agent if task.started_at is None else {**agent, "lastStartedAt": task.started_at}]


def _overrides(task: Task) -> Answer:
    """The task's overrides; every container is named, as AWS does."""
    given = task.body.get("overrides", {})
    named = {container.name: {"name": container.name} for container in task.containers}
    named |= {override["name"]: override for override in given.get("containerOverrides", ()) if "name" in override}
    return {"inferenceAcceleratorOverrides": [], **given, "containerOverrides": list(named.values())}
