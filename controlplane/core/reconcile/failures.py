"""What has failed since the last look: tasks that never started, tasks whose checks fail. Each is counted once.

Each deployment has its own count, and so has each task set.

Source: API reference, `Deployment.failedTasks`; ECS Developer Guide, "Service throttle logic".
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from controlplane.core.model import Deployment, Service, Task
from controlplane.core.names import Names
from controlplane.core.reconcile import breaker, events
from controlplane.core.reconcile.health import Soundness
from controlplane.core.rollouts import ServiceDeployment
from controlplane.core.view import Draft
from wire.status import HealthStatus, StopCode


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What one look at a deployment has found."""

    unstarted: int
    unhealthy: int
    healthy: int
    """Its healthy tasks, all of them."""


def mark_unhealthy(
    draft: Draft, service: Service, tasks: Sequence[tuple[Task, Soundness]], names: Names
) -> tuple[Service, Counter[str | None]]:
    """Mark the tasks that have turned unhealthy, or are so no more, and say so. Returns also how many of whose."""
    turned: Counter[str | None] = Counter()
    for task, soundness in tasks:
        is_unhealthy = soundness is Soundness.UNHEALTHY
        if is_unhealthy == (task.unhealthy_at is not None) or soundness is Soundness.GONE:
            continue
        draft.put(msgspec.structs.replace(task, unhealthy_at=draft.now if is_unhealthy else None))
        if is_unhealthy:
            turned[task.deployment] += 1
            service = _tell(draft, service, task, names)
    return service, turned


def count(
    draft: Draft, service: Service, deployment: Deployment, own: Sequence[Task], *, unhealthy: int, healthy: int
) -> tuple[Service, Seen]:
    """Count the failures of a deployment, whose tasks are `own`; one that ran sets the count to 0."""
    last_start = max((task.started_at for task in own if task.started_at is not None), default=-1.0)
    new = [task for task in own if _is_new(draft, deployment, task)]
    for task in new:
        draft.put(msgspec.structs.replace(task, is_counted=True))
    lasting = [task.stopped_at for task in new if task.stopped_at is not None and task.stopped_at > last_start]
    is_standing = deployment.failed_at is None or deployment.failed_at > last_start
    counted = msgspec.structs.replace(
        deployment,
        unstarted_tasks=(deployment.unstarted_tasks if is_standing else 0) + len(lasting),
        unhealthy_tasks=(0 if healthy and not unhealthy else deployment.unhealthy_tasks) + unhealthy,
        failed_at=max(lasting, default=deployment.failed_at),
    )
    seen = Seen(unstarted=len(new), unhealthy=unhealthy, healthy=healthy)
    if counted == deployment:
        return service, seen
    counted = msgspec.structs.replace(counted, updated_at=draft.now)
    changed = tuple(counted if each.id == counted.id else each for each in service.deployments)
    service = msgspec.structs.replace(service, deployments=changed)
    draft.put(service)
    return service, seen


def count_for_breaker(draft: Draft, rollout: ServiceDeployment, own: Sequence[Task], seen: Seen) -> ServiceDeployment:
    """Bring the circuit breaker's own count up to date."""
    counted = breaker.count(rollout, own, unstarted=seen.unstarted, unhealthy=seen.unhealthy, healthy=seen.healthy)
    if counted != rollout:
        draft.put(counted)
    return counted


def own_tasks(deployment: Deployment, tasks: Sequence[Task]) -> list[Task]:
    """The tasks of one deployment."""
    return [task for task in tasks if task.deployment == deployment.id]


def _is_new(draft: Draft, deployment: Deployment, task: Task) -> bool:
    """Whether a task of this deployment has failed to start, and nobody has counted it."""
    if task.stop_code is not StopCode.TASK_FAILED_TO_START or task.stopped_at is None or task.is_counted:
        return False
    return draft.revision_of((Task.table, task.arn)) > deployment.failures_before


def _tell(draft: Draft, service: Service, task: Task, names: Names) -> Service:
    targets = [target for target in task.targets if target.status is HealthStatus.UNHEALTHY]
    sentences = [events.failed_target(service, task, target) for target in targets]
    for sentence in sentences or [events.failed_checks(service, task)]:
        service = events.tell(draft, service, sentence, names)
    return service
