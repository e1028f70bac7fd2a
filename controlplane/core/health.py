"""How containers and tasks are: what their health checks say, as last heard. It decides nothing; it is kept and shown.

An agent that goes away takes no outcome with it: the last one stands. Only checks of the container definition count.
Source: API reference, `HealthCheck` (the table of task health) and `Container.healthStatus`.
"""

from collections.abc import Mapping

import msgspec

from controlplane.core.model import Task
from controlplane.core.view import Draft
from wire.status import HealthStatus, TaskStatus
from wire.story import Kind

_FROM_THE_WORST = (HealthStatus.UNHEALTHY, HealthStatus.UNKNOWN, HealthStatus.HEALTHY)


def of_task(task: Task) -> HealthStatus:
    """Health of a task: the worst of its essential containers that have a check; UNKNOWN where none has one."""
    known = [c.health_status for c in task.containers if c.essential and c.health_status is not None]
    return min(known, key=_FROM_THE_WORST.index) if known else HealthStatus.UNKNOWN


def observe(draft: Draft, task: Task, outcomes: Mapping[str, HealthStatus]) -> Task:
    """Take the outcomes in, by container name. No-op for a STOPPED task, and for a container without a check."""
    if task.last_status is TaskStatus.STOPPED:
        return task
    changed = {
        container.name: outcomes[container.name]
        for container in task.containers
        if container.health_status is not None
        and outcomes.get(container.name, container.health_status) is not container.health_status
    }
    if not changed:
        return task
    seen = msgspec.structs.replace(
        task,
        version=task.version + 1,
        containers=tuple(
            msgspec.structs.replace(c, health_status=changed.get(c.name, c.health_status)) for c in task.containers
        ),
    )
    draft.put(seen)
    draft.tell(Kind.TASK_HEALTH, task.arn, health=of_task(seen), containers=changed, instance=task.instance)
    return seen
