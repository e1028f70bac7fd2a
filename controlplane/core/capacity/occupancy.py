"""Whether an instance is empty: what the reservation counts, what protection protects, what draining waits for.

Daemons do not count (ECS Developer Guide, "Amazon ECS managed scaling behavior"). From when on a stopping task does not
count either is the policy's switch `empty_when`.
"""

from controlplane.core.model import Cluster, Instance, Service, Task
from controlplane.core.policy import EmptyWhen, Policy
from controlplane.core.view import View
from wire.status import TaskStatus


def policy_of(view: View, cluster: str) -> Policy:
    """The policy of a cluster (name)."""
    record = view.record(Cluster, cluster)
    return record.policy if record is not None else Policy()


def occupants(view: View, instance: Instance) -> list[Task]:
    """The tasks for which an instance is not empty, oldest first."""
    when = policy_of(view, instance.cluster).empty_when
    return [
        task
        for task in view.tasks_on(instance.arn)
        if (task.is_live if when is EmptyWhen.STOP_REQUESTED else task.last_status is not TaskStatus.STOPPED)
        and not is_daemon(view, task)
    ]


def left_behind(view: View, instance: Instance) -> list[Task]:
    """Every task that has not STOPPED, daemons too: what goes down with the instance if it goes now."""
    return [task for task in view.tasks_on(instance.arn) if task.last_status is not TaskStatus.STOPPED]


def is_daemon(view: View, task: Task) -> bool:
    """Whether a task is one of a service that runs one on every instance."""
    service = view.record(Service, task.service) if task.service else None
    return service is not None and service.body.get("schedulingStrategy") == "DAEMON"
