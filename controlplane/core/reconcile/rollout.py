"""The list of a service's deployments: the newest is PRIMARY, the others are ACTIVE until their tasks are gone.

Counts of tasks are derived, never kept. Source: API reference, `Deployment`; botocore's waiter ServicesStable.
"""

from collections.abc import Mapping, Sequence

import msgspec

from controlplane.core.model import Deployment, Service, Task
from controlplane.core.reconcile import deployments
from controlplane.core.view import Draft
from wire.status import DesiredStatus, TaskStatus

_LEAVING = {False: {"ACTIVE"}, True: {"DRAINING"}}
"""Statuses in which a deployment, or a task set, is gone with its last task."""
_UP = frozenset({TaskStatus.RUNNING, TaskStatus.DEACTIVATING})


def end(draft: Draft, service: Service) -> None:
    """A deleted service whose tasks are gone: INACTIVE, without deployments."""
    draft.put(msgspec.structs.replace(service, status="INACTIVE", deployments=(), ended_at=draft.now))
    for deployment in service.deployments:
        deployments.tell(draft, service, msgspec.structs.replace(deployment, status="INACTIVE", desired_count=0))


def is_gone(task: Task) -> bool:
    """Whether a task counts for nothing any more where deployments end and services are deleted.

    Source: DeleteService (STOPPING counts as gone); ServicesStable's waiter.
    """
    if task.last_status is TaskStatus.STOPPED:
        return True
    return task.desired_status is DesiredStatus.STOPPED and task.last_status not in _UP


def advance(draft: Draft, service: Service, tasks: Sequence[Task], desired: Mapping[str, int]) -> Service:
    """Bring the list of deployments up to date: counts wanted, old ones that are gone.

    `tasks` are all of the service's, `desired` maps deployment ids to how many tasks each is to have now.
    """
    standing = {task.deployment for task in tasks if not is_gone(task)}
    kept: list[Deployment] = []
    gone: list[Deployment] = []
    for deployment in service.deployments:
        is_over = deployment.id not in standing and not desired.get(deployment.id)
        (gone if is_over and deployment.status in _LEAVING[deployment.task_set is not None] else kept).append(
            deployment
        )
    changed = []
    for before in kept:
        count = desired.get(before.id, 0)
        if count == before.desired_count:
            changed.append(before)
            continue
        after = msgspec.structs.replace(before, desired_count=count, updated_at=draft.now)
        deployments.tell(draft, service, after)
        changed.append(after)
    if tuple(changed) == service.deployments:
        return service
    for deployment in gone:
        deployments.tell(draft, service, msgspec.structs.replace(deployment, status="INACTIVE", desired_count=0))
    advanced = msgspec.structs.replace(service, deployments=tuple(changed))
    draft.put(advanced)
    return advanced
