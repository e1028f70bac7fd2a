"""A task set in Amazon's shape. Source: API reference, `TaskSet`."""

from controlplane.api.call import Answer
from controlplane.core.model import Deployment, Service
from controlplane.core.reconcile import taskset
from controlplane.core.view import View
from wire.status import TaskStatus


def render(view: View, service: Service, deployment: Deployment, *, with_tags: bool = True) -> Answer:
    """A task set in Amazon's shape."""
    cluster = view.cluster(service.cluster)
    task_set = deployment.task_set
    assert task_set is not None
    assert cluster is not None
    tasks = [task for task in view.tasks_of(service.arn) if task.is_live and task.deployment == deployment.id]
    kept = {member: value for member, value in task_set.body.items() if member not in {"clientToken", "tags"}}
    return {
        **kept,
        "id": deployment.id,
        "taskSetArn": service.arn.replace(":service/", ":task-set/") + f"/{deployment.id}",
        "serviceArn": service.arn,
        "clusterArn": cluster.arn,
        "status": deployment.status,
        "taskDefinition": deployment.task_definition,
        "computedDesiredCount": taskset.computed_desired_count(service, deployment),
        "runningCount": sum(task.last_status is TaskStatus.RUNNING for task in tasks),
        "pendingCount": sum(task.last_status.is_starting for task in tasks),
        "createdAt": deployment.created_at,
        "updatedAt": deployment.updated_at,
        **({} if kept.get("capacityProviderStrategy") else {"launchType": "EC2"}),
        "scale": {"value": task_set.scale_percent, "unit": "PERCENT"},
        "stabilityStatus": "STEADY_STATE" if task_set.is_steady else "STABILIZING",
        "stabilityStatusAt": task_set.steady_at,
        "tags": task_set.body.get("tags", []) if with_tags else [],
    }
