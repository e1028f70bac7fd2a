"""Events in EventBridge's shape, from a committed plan: what has changed, told once. Pure: it keeps and sends nothing.

Those of tasks and instances, nearly all, come as what they follow from (`Kept`): few are ever read, and rendering one
costs as much as placing its task. `rendered` makes the event of it, the same whenever it is asked.

An event follows from the records before and after, never from who changed them. A task's or an instance's is told where
its `version` has grown, with that version; services and deployments have none. What AWS tells in an event and not in a
description, and the reverse, stands in the tables.

Source: ECS Developer Guide, "Amazon ECS events" (task, container instance, service action, deployment state change).
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from controlplane.api import container_instances, task_shapes
from controlplane.api.task_shapes import Surroundings
from controlplane.core.capacity.attachment import provider_of
from controlplane.core.model import Deployment, Instance, Service, ServiceEvent, Task
from controlplane.core.plan import Key, Plan
from controlplane.core.record import HOLD_MOVES, Record
from controlplane.core.rollouts import ServiceDeployment
from controlplane.core.view import View
from controlplane.events import hooks
from wire.arn import ArnMaker
from wire.resources import Room

Shape = dict[str, Any]

SOURCE = "aws.ecs"
TASK_CHANGE = "ECS Task State Change"
INSTANCE_CHANGE = "ECS Container Instance State Change"
SERVICE_ACTION = "ECS Service Action"
DEPLOYMENT_CHANGE = "ECS Deployment State Change"
DETAIL_TYPES = (TASK_CHANGE, INSTANCE_CHANGE, SERVICE_ACTION, DEPLOYMENT_CHANGE, hooks.HOOK_CHANGE)

_NOT_IN_TASK_EVENTS = ("healthStatus", "tags")
_NOT_IN_CONTAINER_EVENTS = ("healthStatus", "networkBindings")
_NOT_IN_INSTANCE_EVENTS = ("runningTasksCount", "pendingTasksCount", "attachments", "tags")
_PROVIDER = "capacityProviderName"
"""Follows from the provider's record and the group's."""
_TIMES_OF_TASKS = ("connectivityAt", *task_shapes.TIMES)
_ATTACHMENT_TYPES = {"ElasticNetworkInterface": "eni"}
_ROLLOUTS = {
    "IN_PROGRESS": ("INFO", "SERVICE_DEPLOYMENT_IN_PROGRESS"),
    "COMPLETED": ("INFO", "SERVICE_DEPLOYMENT_COMPLETED"),
    "FAILED": ("ERROR", "SERVICE_DEPLOYMENT_FAILED"),
}
_ACTIONS = {
    "SERVICE_STEADY_STATE": "INFO",
    "TASKSET_STEADY_STATE": "INFO",
    "CAPACITY_PROVIDER_STEADY_STATE": "INFO",
    "SERVICE_DESIRED_COUNT_UPDATED": "INFO",
    "TASKS_STOPPED": "INFO",
    "SERVICE_TASK_START_IMPAIRED": "WARN",
    "SERVICE_TASK_PLACEMENT_FAILURE": "ERROR",
    "SERVICE_TASK_CONFIGURATION_FAILURE": "ERROR",
    "SERVICE_DAEMON_PLACEMENT_CONSTRAINT_VIOLATED": "ERROR",
    "ECS_OPERATION_THROTTLED": "ERROR",
}
"""Names that the sentences of a service's `events` carry, and what kind of event each is. Other sentences are no
service action; those about deployments are told as deployment state changes."""
_PLACEMENT_REASONS = (
    ("insufficient CPU", "RESOURCE:CPU"),
    ("insufficient memory", "RESOURCE:MEMORY"),
    ("insufficient GPU", "RESOURCE:GPU"),
    ("already using a port", "RESOURCE:PORTS"),
    ("No Container Instances were found", "NO ACTIVE INSTANCES"),
)
_ERROR = re.compile(r'encountered error "([^"]+)"')
_INSTANCE = re.compile(r"container-instance ([0-9a-f]{32})")
_TASK = re.compile(r"\(task ([0-9a-f]{32})\)")


KEPT_INSTANCES_MAX = 20_000
_kept_members: dict[str, tuple[Instance, msgspec.Raw]] = {}
"""By ARN: what the events of an instance say of its record, as long as it is that very record."""


class Moment(NamedTuple):
    """When and where something was committed."""

    at: float
    """Epoch seconds."""
    arns: ArnMaker


class TaskChanged(msgspec.Struct, frozen=True, tag_field="of", tag="task", gc=False):
    """All that the event of a changed task follows from."""

    task: Task
    around: Surroundings
    moment: Moment


class InstanceChanged(msgspec.Struct, frozen=True, tag_field="of", tag="instance", gc=False):
    """All that the event of a changed instance follows from."""

    instance: str
    """ARN."""
    members: msgspec.Raw
    """Of the detail, those that follow from its record."""
    provider: str | None
    version: int
    free: Room
    moment: Moment


Kept = TaskChanged | InstanceChanged


def events_of(plan: Plan, before: View, after: View, moment: Moment) -> list[Kept | Shape]:
    """Every event that a plan leads to, in order: tasks, the instances whose room they moved, services."""
    events: list[Kept | Shape] = []
    tasks: list[tuple[Task | None, Task]] = []
    others: list[Record] = []
    for record in plan.puts:
        if isinstance(record, Task):
            known = before.task(record.arn)
            if known is None or record.version > known.version:
                events.append(TaskChanged(record, task_shapes.surroundings(after, record), moment))
            tasks.append((known, record))
        else:
            others.append(record)
    for arn, by in _moved(tasks, others, plan.deletes, before).items():
        instance = after.instance(arn)
        if instance is not None and by > 0:
            events.append(instance_changed(after, instance, moment))
    for service in others:
        if isinstance(service, Service):
            events += _of_service(service, before, after, moment)
    for course in others:
        if isinstance(course, ServiceDeployment) and course.hooks:
            events += _of_hooks(course, before, after, moment)
    return events


def rendered(kept: Kept) -> Shape:
    """The event."""
    if isinstance(kept, TaskChanged):
        task, moment = kept.task, kept.moment
        detail = task_detail(task, kept.around, moment.at)
        return _event(TASK_CHANGE, task.arn, f"{task.arn} {task.version}", detail, moment)
    detail = instance_detail(kept)
    return _event(INSTANCE_CHANGE, kept.instance, f"{kept.instance} {kept.version}", detail, kept.moment)


def task_detail(task: Task, around: Surroundings, updated_at: float) -> Shape:
    """`detail` of a task state change."""
    detail: Shape = msgspec.to_builtins(task_shapes.shape(task, around, with_tags=False))
    for member in _NOT_IN_TASK_EVENTS:
        detail.pop(member, None)
    for member in _TIMES_OF_TASKS:
        if member in detail:
            detail[member] = iso(detail[member])
    for container in detail["containers"]:
        for member in _NOT_IN_CONTAINER_EVENTS:
            container.pop(member, None)
    for attachment in detail["attachments"]:
        attachment["type"] = _ATTACHMENT_TYPES.get(attachment["type"], attachment["type"])
    detail["updatedAt"] = iso(updated_at)
    return detail


def instance_detail(kept: InstanceChanged) -> Shape:
    """`detail` of a container instance state change."""
    return {
        **msgspec.json.decode(kept.members),
        **({_PROVIDER: kept.provider} if kept.provider is not None else {}),
        "version": kept.version,
        "remainingResources": _short_resources(kept.free),
        "updatedAt": iso(kept.moment.at),
    }


def instance_changed(view: View, instance: Instance, moment: Moment) -> InstanceChanged:
    """An instance that has changed, as it is in this view."""
    arn = instance.arn
    kept = _kept_members.get(arn)
    if kept is None or kept[0] is not instance:
        kept = instance, msgspec.Raw(msgspec.json.encode(_members_of(view, instance)))
        while len(_kept_members) >= KEPT_INSTANCES_MAX:
            del _kept_members[next(iter(_kept_members))]
        _kept_members[arn] = kept
    provider = provider_of(view, instance)
    return InstanceChanged(arn, kept[1], provider, view.version_of(instance), view.free(arn), moment)


def _members_of(view: View, instance: Instance) -> Shape:
    """What follows from the record alone: most of it, and the same in every event until the record changes."""
    shape, cluster = container_instances.render(view, instance, set()), view.cluster(instance.cluster)
    members = {member: value for member, value in shape.items() if member not in (*_NOT_IN_INSTANCE_EVENTS, _PROVIDER)}
    members |= {member: iso(value) for member, value in members.items() if member.endswith("At")}
    registered = _short_resources(Room.whole(instance.registered))
    return {**members, "registeredResources": registered, "clusterArn": cluster.arn if cluster else ""}


@lru_cache(maxsize=1024)
def iso(at: float) -> str:
    """Epoch seconds as AWS writes them in events, with milliseconds."""
    second, millisecond = divmod(int(at * 1000), 1000)
    return f"{_second(second)}.{millisecond:03d}Z"


@lru_cache(maxsize=1024)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _moved(
    tasks: Iterable[tuple[Task | None, Task]], others: Iterable[Record], deletes: Iterable[Key], before: View
) -> dict[str, int]:
    """By how much a plan lets the version of each instance (ARN) grow; the new ones at least by one.

    `tasks` are its tasks, before and after, `others` the other records that it puts.
    """
    moved: defaultdict[str, int] = defaultdict(int)
    for record in others:
        if isinstance(record, Instance):
            known = before.instance(record.arn)
            moved[record.arn] += record.version - known.version if known else record.version
    for known_task, task in tasks:
        was_held = known_task is not None and known_task.hold is not None
        if task.instance and was_held != (task.hold is not None):
            moved[task.instance] += 1
    for table, key in deletes:
        dropped = before.task(key) if table == Task.table else None
        if dropped is not None and dropped.instance:
            moved[dropped.instance] -= HOLD_MOVES
    return moved


def _of_service(service: Service, before: View, after: View, moment: Moment) -> Iterator[Shape]:
    known = before.service(service.arn)
    rollouts = {deployment.id: deployment.rollout_state for deployment in known.deployments} if known else {}
    for deployment in reversed(service.deployments):
        if deployment.rollout_state in _ROLLOUTS and rollouts.get(deployment.id) != deployment.rollout_state:
            detail = _deployment_detail(deployment, moment.at)
            name = f"{service.arn} {deployment.id} {deployment.rollout_state}"
            yield _event(DEPLOYMENT_CHANGE, service.arn, name, detail, moment)
    told = {event.id for event in known.events} if known else set()
    for event in reversed([event for event in service.events if event.id not in told]):
        action = _action_detail(service, event, after, moment.arns)
        if action is not None:
            yield _event(SERVICE_ACTION, service.arn, f"{service.arn} {event.id}", action, moment)


def _of_hooks(course: ServiceDeployment, before: View, after: View, moment: Moment) -> Iterator[Shape]:
    for name, detail in hooks.changes(course, before, after):
        dated = {**detail, "expiresAt": iso(detail["expiresAt"]), "updatedAt": iso(moment.at)}
        yield _event(hooks.HOOK_CHANGE, course.service, name, dated, moment)


def _deployment_detail(deployment: Deployment, at: float) -> Shape:
    kind, name = _ROLLOUTS[deployment.rollout_state]
    word = {"IN_PROGRESS": "in progress", "COMPLETED": "completed", "FAILED": "failed"}[deployment.rollout_state]
    reason = deployment.rollout_reason or f"ECS deployment {deployment.id} {word}."
    return {
        "eventType": kind,
        "eventName": name,
        "deploymentId": deployment.id,
        "updatedAt": iso(at),
        "reason": reason,
    }


def _action_detail(service: Service, event: ServiceEvent, after: View, arns: ArnMaker) -> Shape | None:
    if event.name not in _ACTIONS:
        return None
    cluster = after.cluster(service.cluster)
    detail: Shape = {
        "eventType": _ACTIONS[event.name],
        "eventName": event.name,
        "clusterArn": cluster.arn if cluster else "",
        "createdAt": iso(event.created_at),
    }
    instances, tasks = _INSTANCE.findall(event.message), _TASK.findall(event.message)
    if instances:
        detail["containerInstanceArns"] = [arns.container_instance(service.cluster, id_) for id_ in instances]
    if tasks:
        detail["taskArns"] = [arns.task(service.cluster, id_) for id_ in tasks]
    if event.name == "SERVICE_TASK_PLACEMENT_FAILURE":
        detail["reason"] = _placement_reason(event.message)
    return detail


def _placement_reason(message: str) -> str:
    """As `failures` have it."""
    error = _ERROR.search(message)
    return error[1] if error else next((why for words, why in _PLACEMENT_REASONS if words in message), "RESOURCE")


def _short_resources(room: Room) -> list[Shape]:
    """Resources in the short form that events have."""
    return [
        {"name": "CPU", "type": "INTEGER", "integerValue": room.cpu},
        {"name": "MEMORY", "type": "INTEGER", "integerValue": room.memory_mib},
        {"name": "PORTS", "type": "STRINGSET", "stringSetValue": _in_order(room.ports_taken)},
        {"name": "PORTS_UDP", "type": "STRINGSET", "stringSetValue": _in_order(room.ports_udp_taken)},
    ]


def _in_order(ports: frozenset[int]) -> list[str]:
    return [str(port) for port in sorted(ports)] if ports else []


def _event(kind: str, resource: str, identity: str, detail: Shape, moment: Moment) -> Shape:
    """The envelope. Its id follows from what it is about: told twice, it is the same event."""
    return {
        "version": "0",
        "id": _id(f"{kind} {identity} {moment.at}"),
        "detail-type": kind,
        "source": SOURCE,
        "account": moment.arns.account,
        "time": f"{_second(int(moment.at))}Z",
        "region": moment.arns.region,
        "resources": [resource],
        "detail": detail,
    }


def _id(identity: str) -> str:
    """A UUID of version 8 (RFC 9562): a hash in its form."""
    text = blake2b(identity.encode(), digest_size=16).hexdigest()
    return f"{text[:8]}-{text[8:12]}-8{text[13:16]}-8{text[17:20]}-{text[20:]}"
