"""Deployments of a service: the newest is PRIMARY, the others are ACTIVE until their tasks are gone.

Counts of tasks are derived, never kept; what is kept is what cannot be seen: states, texts, consecutive failures.
"""

import msgspec

from controlplane.core.model import Deployment, Service, Task
from controlplane.core.names import Names
from controlplane.core.view import Draft
from wire.status import DesiredStatus, StopCode, TaskStatus
from wire.story import Kind

BACKOFF_FIRST_SECONDS = 10
"""Assumed: the curve is unpublished; recorded are quick tries for about 50 s, then waits of minutes."""
BACKOFF_MAX_SECONDS = 27 * 60
"""ECS Developer Guide, "Service throttle logic" (15 minutes in the guide of 2017 to 2023)."""

_UP = frozenset({TaskStatus.RUNNING, TaskStatus.DEACTIVATING})


def begin(draft: Draft, service: Service, *, task_definition: str, names: Names) -> Service:
    """Start a new deployment of `service` to `task_definition` (ARN): CreateService, UpdateService, force.

    Puts the service into the draft, as it is given (with other changes that the caller has made), the new deployment
    first with `desired_count` 0, the former PRIMARY as ACTIVE. Returns the service as it now stands.
    """
    deployment = Deployment(
        id=names.deployment(),
        status="PRIMARY",
        task_definition=task_definition,
        created_at=draft.now,
        updated_at=draft.now,
    )
    deployment = _in_state(deployment, "IN_PROGRESS")
    former = tuple(msgspec.structs.replace(d, status="ACTIVE", updated_at=draft.now) for d in service.deployments)
    begun = msgspec.structs.replace(service, task_definition=task_definition, deployments=(deployment, *former))
    draft.put(begun)
    _tell(draft, service, deployment)
    return begun


def end(draft: Draft, service: Service) -> None:
    """A deleted service whose tasks are gone: INACTIVE, without deployments."""
    draft.put(msgspec.structs.replace(service, status="INACTIVE", deployments=(), ended_at=draft.now))
    for deployment in service.deployments:
        _tell(draft, service, msgspec.structs.replace(deployment, status="INACTIVE", desired_count=0))


def is_gone(task: Task) -> bool:
    """Whether a task counts for nothing any more where deployments end and services are deleted.

    Source: DeleteService (STOPPING counts as gone); ServicesStable's waiter.
    """
    if task.last_status is TaskStatus.STOPPED:
        return True
    return task.desired_status is DesiredStatus.STOPPED and task.last_status not in _UP


def advance(draft: Draft, service: Service, tasks: list[Task], desired: dict[str, int], *, is_steady: bool) -> Service:
    """Bring the list of deployments up to date: counts wanted, old ones that are gone, completion.

    `tasks` are all of the service's, `desired` maps deployment ids to how many tasks each is to have now.
    """
    standing = {task.deployment for task in tasks if not is_gone(task)}
    kept: list[Deployment] = []
    gone: list[Deployment] = []
    for deployment in service.deployments:
        is_over = deployment.status != "PRIMARY" and deployment.id not in standing
        (gone if is_over else kept).append(deployment)
    changed = [msgspec.structs.replace(d, desired_count=desired.get(d.id, 0)) for d in kept]
    if is_steady and len(changed) == 1 and changed[0].rollout_state == "IN_PROGRESS":
        changed = [_in_state(changed[0], "COMPLETED")]
    changed = [
        after if after == before else msgspec.structs.replace(after, updated_at=draft.now)
        for before, after in zip(kept, changed, strict=True)
    ]
    if tuple(changed) == service.deployments:
        return service
    for before, after in zip(kept, changed, strict=True):
        if (before.rollout_state, before.desired_count) != (after.rollout_state, after.desired_count):
            _tell(draft, service, after)
    for deployment in gone:
        _tell(draft, service, msgspec.structs.replace(deployment, status="INACTIVE", desired_count=0))
    advanced = msgspec.structs.replace(service, deployments=tuple(changed))
    draft.put(advanced)
    return advanced


def count_failures(draft: Draft, service: Service, tasks: list[Task]) -> Service:
    """Count, once each, the PRIMARY's tasks that stopped without ever running; one that ran sets the count to 0.

    Source: API reference, `Deployment.failedTasks`; ECS Developer Guide, "Service throttle logic".
    """
    if not service.deployments:
        return service
    primary = service.deployments[0]
    own = [task for task in tasks if task.deployment == primary.id]
    last_start = max((task.started_at for task in own if task.started_at is not None), default=-1.0)
    new = [
        task.stopped_at
        for task in own
        if task.stop_code is StopCode.TASK_FAILED_TO_START
        and task.stopped_at is not None
        and task.stopped_at > last_start
        and draft.revision_of((Task.table, task.arn)) > primary.failures_seen
    ]
    before = primary.failed_tasks if primary.failed_at is None or primary.failed_at > last_start else 0
    if not new and before == primary.failed_tasks:
        return service
    counted = msgspec.structs.replace(
        primary,
        failed_tasks=before + len(new),
        failed_at=max(new, default=primary.failed_at),
        failures_seen=draft.revision,
        updated_at=draft.now,
    )
    counted_service = msgspec.structs.replace(service, deployments=(counted, *service.deployments[1:]))
    draft.put(counted_service)
    return counted_service


def failed_rounds(service: Service) -> int:
    """How often in a row the whole of what is wanted failed to start, rounded up; 0: it starts."""
    failed = service.deployments[0].failed_tasks
    return -(-failed // max(1, service.desired_count))


def retry_at(service: Service) -> float:
    """When the PRIMARY may start tasks again (epoch seconds): 10 s to 27 min after the last failure, doubling."""
    primary = service.deployments[0]
    rounds = failed_rounds(service)
    if not rounds or primary.failed_at is None:
        return 0.0
    seconds = BACKOFF_FIRST_SECONDS << min(rounds - 1, 16)
    return primary.failed_at + min(seconds, BACKOFF_MAX_SECONDS)


def _in_state(deployment: Deployment, state: str) -> Deployment:
    words = {"IN_PROGRESS": "in progress.", "COMPLETED": "completed."}
    reason = f"ECS deployment {deployment.id} {words[state]}"
    return msgspec.structs.replace(deployment, rollout_state=state, rollout_reason=reason)


def _tell(draft: Draft, service: Service, deployment: Deployment) -> None:
    draft.tell(
        Kind.DEPLOYMENT,
        service.arn,
        deployment=deployment.id,
        status=deployment.status,
        rollout_state=deployment.rollout_state,
        task_definition=deployment.task_definition,
        desired_count=deployment.desired_count,
    )
