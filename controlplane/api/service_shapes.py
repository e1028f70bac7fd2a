"""A service in Amazon's shape. Counts are of tasks that are wanted: one told to stop is in none of them.

Source: API reference, `Service` and `Deployment`; botocore's waiter `ServicesStable` for what the counts must mean.
"""

from collections.abc import Iterable

from controlplane.api.call import Answer
from controlplane.core.model import Deployment, Service, Task
from controlplane.core.view import View
from wire.status import TaskStatus

EVENTS_MAX = 100


def render(view: View, service: Service, *, with_tags: bool = True) -> Answer:
    """A service with its deployments and events, the newest first."""
    tasks = [task for task in view.tasks_of(service.arn) if task.is_live]
    cluster = view.cluster(service.cluster)
    assert cluster is not None, f"{service.arn} is in no cluster"
    body = service.body
    own = body.get("capacityProviderStrategy")
    strategy: Answer = {"capacityProviderStrategy": own} if own else {"launchType": "EC2"}
    return {
        "serviceArn": service.arn,
        "serviceName": service.name,
        "clusterArn": cluster.arn,
        "status": service.status,
        "desiredCount": service.desired_count,
        **_counts(tasks),
        "taskDefinition": service.task_definition,
        **strategy,
        "schedulingStrategy": "REPLICA",
        "deploymentController": {"type": "ECS"},
        "deploymentConfiguration": {
            "deploymentCircuitBreaker": {"enable": False, "rollback": False},
            **body.get("deploymentConfiguration", {}),
            "maximumPercent": service.maximum_percent,
            "minimumHealthyPercent": service.minimum_healthy_percent,
            "strategy": "ROLLING",
        },
        "deployments": [_deployment(deployment, tasks) | strategy for deployment in service.deployments],
        "events": [
            {"id": event.id, "createdAt": event.created_at, "message": event.message}
            for event in service.events[:EVENTS_MAX]
        ],
        "loadBalancers": [],
        "serviceRegistries": [],
        "placementStrategy": list(service.placement_strategy),
        "placementConstraints": body.get("placementConstraints", []),
        "propagateTags": body.get("propagateTags", "NONE"),
        "enableECSManagedTags": body.get("enableECSManagedTags", False),
        "enableExecuteCommand": False,
        "availabilityZoneRebalancing": "DISABLED",
        "createdAt": service.created_at,
        "createdBy": body["createdBy"],
        "tags": body.get("tags", []) if with_tags else [],
    }


def _deployment(deployment: Deployment, tasks: Iterable[Task]) -> Answer:
    return {
        "id": deployment.id,
        "status": deployment.status,
        "taskDefinition": deployment.task_definition,
        "desiredCount": deployment.desired_count,
        **_counts([task for task in tasks if task.deployment == deployment.id]),
        "failedTasks": deployment.failed_tasks,
        "createdAt": deployment.created_at,
        "updatedAt": deployment.updated_at,
        "rolloutState": deployment.rollout_state,
        "rolloutStateReason": deployment.rollout_reason,
    }


def _counts(tasks: list[Task]) -> dict[str, int]:
    return {
        "runningCount": sum(task.last_status is TaskStatus.RUNNING for task in tasks),
        "pendingCount": sum(task.last_status.is_starting for task in tasks),
    }
