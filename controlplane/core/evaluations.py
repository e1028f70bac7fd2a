"""Evaluations: which services to look at because of what has changed. A look too many costs time, never truth."""

from collections.abc import Iterable, Iterator

from controlplane.core.model import Cluster, Instance, Scheduling, Service, Task
from controlplane.core.plan import Key
from controlplane.core.reconcile.service import is_short
from controlplane.core.rollouts import Alarm, ServiceDeployment
from controlplane.core.view import View
from wire.arn import short_id

_OF_ROLLOUTS = frozenset({Alarm.table, ServiceDeployment.table})


def services_to_look_at(view: View, changed: Iterable[Key]) -> dict[str, str]:
    """Services (ARN) with the reason to look, from the keys that a commit changed; the first reason stands.

    DAEMON services come first: their task is the first to start on an instance.
    """
    look: dict[str, str] = {}
    crowded: dict[str, str] = {}
    for table, key in changed:
        if table == Task.table:
            _because_of_task(view, key, look, crowded)
        elif table == Service.table:
            look.setdefault(key, "the service changed")
        elif table == Cluster.table:
            look.update({s.arn: "the cluster changed" for s in view.services(key) if s.arn not in look})
        elif table == Instance.table:
            _because_of_instance(view, key, look, crowded)
        elif table in _OF_ROLLOUTS:
            _because_of_rollout(view, table, key, look)
    if not look and not crowded:
        return look
    for cluster, why in crowded.items():
        for service in _short(view, cluster):
            look.setdefault(service.arn, why)
    still_open = [arn for arn in look if _is_open(view, arn)]
    return {arn: look[arn] for arn in sorted(still_open, key=lambda arn: not _is_daemon(view, arn))}


def all_services(view: View) -> list[str]:
    """Every service (ARN) that is not INACTIVE: what to look at after a start."""
    standing = [service for service in view.records(Service) if service.status != "INACTIVE"]
    return [s.arn for s in sorted(standing, key=lambda service: service.scheduling is not Scheduling.DAEMON)]


def _because_of_task(view: View, arn: str, look: dict[str, str], crowded: dict[str, str]) -> None:
    task = view.task(arn)
    if task is None:
        return
    if task.service:
        look.setdefault(task.service, f"task {short_id(arn)} is {task.last_status}")
    if task.instance and (task.hold is None or (task.service and _is_daemon(view, task.service))):
        crowded.setdefault(task.cluster, f"room on {short_id(task.instance)}")


def _because_of_rollout(view: View, table: str, key: str, look: dict[str, str]) -> None:
    if table == ServiceDeployment.table:
        course = view.record(ServiceDeployment, key)
        if course is not None and not course.status.is_over:
            look.setdefault(course.service, "its deployment changed")
        return
    for service in view.records(Service):
        if key in service.rollout.alarms.names:
            look.setdefault(service.arn, f"alarm {key} changed")


def _because_of_instance(view: View, arn: str, look: dict[str, str], crowded: dict[str, str]) -> None:
    instance = view.instance(arn)
    if instance is None:
        return
    crowded.setdefault(instance.cluster, f"instance {short_id(arn)} changed")
    for service in view.services(instance.cluster):
        if service.rebalances:
            look.setdefault(service.arn, f"instance {short_id(arn)} changed")
    for task in view.tasks_on(arn):
        if task.service and task.is_live:
            look.setdefault(task.service, f"instance {short_id(arn)} is {instance.status}")


def _short(view: View, cluster: str) -> Iterator[Service]:
    for service in view.services(cluster):
        if is_short(view, service):
            yield service


def _is_daemon(view: View, arn: str) -> bool:
    service = view.service(arn)
    return service is not None and service.scheduling is Scheduling.DAEMON


def _is_open(view: View, arn: str) -> bool:
    service = view.service(arn)
    return service is not None and service.status != "INACTIVE"
