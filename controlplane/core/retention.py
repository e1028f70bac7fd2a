"""What has ended and may be dropped, and after how long. Pure: the sweeper asks, and deletes.

Revisions are never given twice: the highest of a family is kept (`Family`) when its last definitions go. Source of
each time at its name.
"""

from collections.abc import Iterator

from controlplane.core import lifecycle
from controlplane.core.capacity.model import CapacityProvider
from controlplane.core.model import Cluster, Family, Instance, Service, Task, TaskDefinition, Token
from controlplane.core.record import Record
from controlplane.core.rollouts import ServiceDeployment, ServiceRevision
from controlplane.core.scaling.model import ScalingActivity
from controlplane.core.view import Draft, View

STOPPED_KEPT_SECONDS = 3600.0
"""ECS Developer Guide, "Stopped tasks errors": at least one hour."""
TOKENS_KEPT_SECONDS = 24 * 3600.0
"""API reference, RunTask `clientToken` (EC2's idempotency tokens: 24 hours; assumed)."""
INACTIVE_KEPT_SECONDS = 3600.0
"""Services, clusters and capacity providers: "for a period of time", says the API reference; one hour is assumed."""
INSTANCES_KEPT_SECONDS = 24 * 3600.0
"""Deregistered instances (assumed); as long as that their agents are told so where they come back."""
DEPLOYMENTS_KEPT_SECONDS = 90 * 24 * 3600.0
"""ECS Developer Guide, "Service deployments": the history of 90 days."""
ACTIVITIES_KEPT_SECONDS = 42 * 24 * 3600.0
"""Application Auto Scaling API Reference, DescribeScalingActivities: the previous six weeks."""

_KEPT_SECONDS: tuple[tuple[type[Record], str, float], ...] = (
    (Task, "stopped_at", STOPPED_KEPT_SECONDS),
    (Token, "created_at", TOKENS_KEPT_SECONDS),
    (Service, "ended_at", INACTIVE_KEPT_SECONDS),
    (CapacityProvider, "ended_at", INACTIVE_KEPT_SECONDS),
    (Instance, "ended_at", INSTANCES_KEPT_SECONDS),
    (Cluster, "ended_at", INACTIVE_KEPT_SECONDS),
    (ServiceDeployment, "finished_at", DEPLOYMENTS_KEPT_SECONDS),
    (ServiceRevision, "created_at", DEPLOYMENTS_KEPT_SECONDS),
    (ScalingActivity, "ended_at", ACTIVITIES_KEPT_SECONDS),
)
"""From which moment on (a member; None: it lasts) a record is kept for how long."""


def expired(view: View, now: float) -> Iterator[Record]:
    """Records whose time has gone by at `now` (epoch seconds), and that no other record needs."""
    for kind, member, seconds in _KEPT_SECONDS:
        for record in view.records(kind):
            since = getattr(record, member)
            if since is not None and now - since >= seconds and not _is_needed(view, record):
                yield record
    yield from deleted_definitions(view)


def deleted_definitions(view: View) -> Iterator[TaskDefinition]:
    """Task definitions in DELETE_IN_PROGRESS that no task and no service refers to any more."""
    leaving = [d for d in view.records(TaskDefinition) if d.status == "DELETE_IN_PROGRESS"]
    if not leaving:
        return
    used = {task.task_definition for task in view.records(Task)}
    for service in view.records(Service):
        used |= {service.task_definition, *(deployment.task_definition for deployment in service.deployments)}
    yield from (definition for definition in leaving if definition.arn not in used)


def drop(draft: Draft, record: Record) -> None:
    """Delete a record, and keep of it what must outlive it."""
    if isinstance(record, TaskDefinition):
        known = draft.record(Family, record.family)
        if known is None or known.newest_revision < record.revision:
            draft.put(Family(name=record.family, newest_revision=record.revision))
    if isinstance(record, Task):
        lifecycle.forget(draft, record)
    else:
        draft.delete(record)


def _is_needed(view: View, record: Record) -> bool:
    """Whether something that is still shown leans on it."""
    match record:
        case Service():
            return bool(view.tasks_of(record.arn))
        case Instance():
            return bool(view.tasks_on(record.arn))
        case ServiceDeployment():
            service = view.service(record.service)
            return service is not None and service.current == record.arn
        case ServiceRevision():
            service = view.service(record.service)
            used = {service.settled, *(d.revision for d in service.deployments)} if service is not None else set()
            return record.arn in used or any(record.arn == d.target for d in view.records(ServiceDeployment))
        case Cluster():
            kinds: tuple[type[Task | Service | Instance], ...] = (Task, Service, Instance)
            return any(other.cluster == record.name for kind in kinds for other in view.records(kind))
    return False
