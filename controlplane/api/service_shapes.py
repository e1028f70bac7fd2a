"""A service in Amazon's shape. Counts are of tasks that are wanted: one told to stop is in none of them.

Source: API reference, `Service` and `Deployment`; botocore's waiter `ServicesStable` for what the counts must mean.
"""

from collections.abc import Iterable

from controlplane.api import deployment_configuration, task_set_shapes
from controlplane.api.call import Answer
from controlplane.core.model import Deployment, Service, Task
from controlplane.core.rollouts import ServiceRevision
from controlplane.core.view import View
from wire.status import TaskStatus

EVENTS_MAX = 100
SERVICE_ROLE = "arn:aws:iam::{account}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"

_OF_DEPLOYMENTS = ("networkConfiguration", "serviceConnectConfiguration", "volumeConfigurations")
"""Members of a service that are shown with its deployments."""


def render(view: View, service: Service, *, with_tags: bool = True) -> Answer:
    """A service with its deployments and events, the newest first."""
    tasks = [task for task in view.tasks_of(service.arn) if task.is_live]
    cluster = view.cluster(service.cluster)
    assert cluster is not None, f"{service.arn} is in no cluster"
    body = service.body
    given = {member: body[member] for member in ("networkConfiguration",) if member in body}
    if service.health_grace_seconds is not None or service.body.get("loadBalancers"):
        given["healthCheckGracePeriodSeconds"] = service.health_grace_seconds or 0
    return {
        "serviceArn": service.arn,
        "serviceName": service.name,
        "clusterArn": cluster.arn,
        "status": service.status,
        "desiredCount": service.desired_count,
        **_counts(tasks),
        **({"taskDefinition": service.task_definition} if service.task_definition else {}),
        **_launch(service),
        "schedulingStrategy": str(service.scheduling),
        "deploymentController": {"type": str(service.controller)},
        "deploymentConfiguration": deployment_configuration.render(service),
        "deployments": [
            _deployment(view, service, deployment, tasks)
            for deployment in service.deployments
            if deployment.task_set is None
        ],
        "taskSets": [
            task_set_shapes.render(view, service, deployment)
            for deployment in service.deployments
            if deployment.task_set is not None
        ],
        **_current(service, tasks),
        "events": [
            {"id": event.id, "createdAt": event.created_at, "message": event.message}
            for event in service.events[:EVENTS_MAX]
        ],
        "roleArn": body.get("role") or SERVICE_ROLE.format(account=cluster.arn.split(":")[4]),
        "loadBalancers": body.get("loadBalancers", []),
        "serviceRegistries": [],
        "placementStrategy": list(service.placement_strategy),
        "placementConstraints": body.get("placementConstraints", []),
        "propagateTags": body.get("propagateTags", "NONE"),
        "enableECSManagedTags": body.get("enableECSManagedTags", False),
        "enableExecuteCommand": body.get("enableExecuteCommand", False),
        "availabilityZoneRebalancing": "ENABLED" if service.rebalances else "DISABLED",
        "createdAt": service.created_at,
        "createdBy": body["createdBy"],
        "tags": body.get("tags", []) if with_tags else [],
        **given,
    }


def _current(service: Service, tasks: list[Task]) -> Answer:
    """The newest service deployment, and the revisions that have tasks or are to have some."""
    shown: Answer = {}
    if not service.current or not service.deployments:
        return shown
    shown["currentServiceDeployment"] = service.current
    shown["currentServiceRevisions"] = [
        {
            "arn": deployment.revision,
            "requestedTaskCount": deployment.desired_count,
            **_task_counts([task for task in tasks if task.deployment == deployment.id]),
        }
        for deployment in service.deployments
        if deployment.revision
    ]
    return shown


def _task_counts(tasks: list[Task]) -> Answer:
    counts = _counts(tasks)
    return {"runningTaskCount": counts["runningCount"], "pendingTaskCount": counts["pendingCount"]}


def _deployment(view: View, service: Service, deployment: Deployment, tasks: Iterable[Task]) -> Answer:
    revision = view.record(ServiceRevision, deployment.revision)
    own = revision.body if revision is not None else service.body
    return {
        "id": deployment.id,
        "status": deployment.status,
        "taskDefinition": deployment.task_definition,
        "desiredCount": deployment.desired_count,
        **_counts([task for task in tasks if task.deployment == deployment.id]),
        "failedTasks": deployment.failed_tasks,
        "createdAt": deployment.created_at,
        "updatedAt": deployment.updated_at,
        **_launch(service),
        "rolloutState": deployment.rollout_state,
        "rolloutStateReason": deployment.rollout_reason,
        **{member: own[member] for member in _OF_DEPLOYMENTS if member in own},
    }


def _launch(service: Service) -> Answer:
    own = service.body.get("capacityProviderStrategy")
    return {"capacityProviderStrategy": own} if own else {"launchType": "EC2"}


def _counts(tasks: list[Task]) -> dict[str, int]:
    return {
        "runningCount": sum(task.last_status is TaskStatus.RUNNING for task in tasks),
        "pendingCount": sum(task.last_status.is_starting for task in tasks),
    }
