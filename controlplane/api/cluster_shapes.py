"""A cluster in Amazon's shape. Source: API reference, `Cluster`, `DescribeClusters` (`include`)."""

import hashlib
from collections.abc import Iterator

from controlplane.api.call import Answer
from controlplane.core.capacity.attachment import Terms, all_terms, is_attached
from controlplane.core.inhabitants import STANDING
from controlplane.core.model import Cluster, Service, Task
from controlplane.core.view import View
from wire.status import DesiredStatus, TaskStatus

_INCLUDES = {
    "TAGS": ("tags",),
    "SETTINGS": ("settings",),
    "CONFIGURATIONS": ("configuration", "serviceConnectDefaults"),
}
_ALWAYS = ("capacityProviders", "defaultCapacityProviderStrategy")


def render(view: View, cluster: Cluster, include: set[str] | None) -> Answer:
    """A cluster; `include` names the parts that are shown on request only, None asks for all but the statistics."""
    tasks, services = view.tasks(cluster.name), view.services(cluster.name)
    shape: Answer = {
        "clusterArn": cluster.arn,
        "clusterName": cluster.name,
        "status": cluster.status,
        "registeredContainerInstancesCount": sum(i.status in STANDING for i in view.instances(cluster.name)),
        "runningTasksCount": _running(tasks),
        "pendingTasksCount": _pending(tasks),
        "activeServicesCount": sum(service.status == "ACTIVE" for service in services),
        "statistics": [],
        "tags": [],
        "settings": [],
        "capacityProviders": [],
        "defaultCapacityProviderStrategy": [],
    }
    wanted = _INCLUDES if include is None else include
    members = [*_ALWAYS, *(member for part in _INCLUDES if part in wanted for member in _INCLUDES[part])]
    shape |= {member: cluster.body[member] for member in members if member in cluster.body}
    if "ATTACHMENTS" in wanted:
        shape["attachments"] = [
            _attachment(each) for each in all_terms(view) if each.scales and _has(view, cluster, each)
        ]
        shape["attachmentsStatus"] = "UPDATE_COMPLETE"
    if "STATISTICS" in wanted:
        shape["statistics"] = [{"name": name, "value": str(count)} for name, count in _statistics(tasks, services)]
    return shape


def _has(view: View, cluster: Cluster, each: Terms) -> bool:
    return each.cluster == cluster.name and is_attached(view, each)


def _attachment(each: Terms) -> Answer:
    """The scaling policy of a provider. Source: API reference, `Attachment`; ids are made from the provider's name."""
    id_ = hashlib.sha256(each.provider.encode()).hexdigest()
    uuid = f"{id_[:8]}-{id_[8:12]}-4{id_[12:15]}-a{id_[15:18]}-{id_[18:30]}"
    details = {"capacityProviderName": each.provider, "scalingPolicyName": f"ECSManagedAutoScalingPolicy-{uuid}"}
    return {
        "id": uuid,
        "type": "as_policy",
        "status": "CREATED",
        "details": [{"name": name, "value": value} for name, value in details.items()],
    }


def _statistics(tasks: list[Task], services: list[Service]) -> Iterator[tuple[str, int]]:
    """Everything runs on EC2-type hosts here, so Fargate's and External's figures are 0."""
    active = sum(service.status == "ACTIVE" for service in services)
    draining = sum(service.status == "DRAINING" for service in services)
    for launch_type, share in (("EC2", 1), ("Fargate", 0), ("External", 0)):
        yield f"running{launch_type}TasksCount", share * _running(tasks)
        yield f"pending{launch_type}TasksCount", share * _pending(tasks)
        yield f"active{launch_type}ServiceCount", share * active
        yield f"draining{launch_type}ServiceCount", share * draining


def _running(tasks: list[Task]) -> int:
    return sum(t.last_status is TaskStatus.RUNNING for t in tasks if t.desired_status is DesiredStatus.RUNNING)


def _pending(tasks: list[Task]) -> int:
    return sum(t.last_status.is_starting for t in tasks if t.desired_status is DesiredStatus.RUNNING)
