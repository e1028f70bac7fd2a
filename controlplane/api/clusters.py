"""Clusters: create, describe, list, delete. Source: API reference, the operations' pages and `Cluster`."""

import re
from typing import Any

import msgspec

from controlplane.api.call import Answer, Call
from controlplane.api.paging import page
from controlplane.core.model import Cluster
from controlplane.core.view import Draft, View
from wire.arn import parse
from wire.errors import AwsError, ClusterNotFoundException, InvalidParameterException
from wire.status import DesiredStatus, InstanceStatus, TaskStatus

DEFAULT_CLUSTER = "default"
DESCRIBE_MAX = 100

NAME = re.compile(r"[a-zA-Z0-9_-]{1,255}")
"""Names of clusters, services, families and containers. Source: API reference, `CreateCluster`."""

_STANDING = (InstanceStatus.ACTIVE, InstanceStatus.DRAINING)


def cluster_name(reference: str) -> str:
    """The name in a cluster's name or ARN.

    Raises:
        InvalidParameterException: an ARN, but not a cluster's.
    """
    arn = parse(reference)
    if arn is not None and arn.kind != "cluster":
        raise InvalidParameterException(f"Invalid identifier: {reference} is not the ARN of a cluster.")
    return arn.path[0] if arn else reference


def cluster_of(view: View, call: Call) -> Cluster:
    """The ACTIVE cluster that a request names; without a name the one called `default`.

    Raises:
        ClusterNotFoundException: there is none.
    """
    cluster = view.cluster(cluster_name(call.text("cluster") or DEFAULT_CLUSTER))
    if cluster is None or cluster.status != "ACTIVE":
        raise ClusterNotFoundException
    if isinstance(view, Draft):
        view.expect(cluster)
    return cluster


def ensure_cluster(draft: Draft, call: Call, name: str, body: dict[str, Any] | None = None) -> Cluster:
    """The ACTIVE cluster of this name, made where it is missing."""
    cluster = draft.cluster(name)
    if cluster is not None and cluster.status == "ACTIVE":
        draft.expect(cluster)
        return cluster
    cluster = Cluster(name=name, arn=call.arns.cluster(name), policy=call.account.policy, body=body or {})
    draft.put(cluster)
    return cluster


def create_cluster(draft: Draft, call: Call) -> Answer:
    """CreateCluster. An existing ACTIVE cluster of that name is the answer as it is."""
    name = call.text("clusterName", DEFAULT_CLUSTER)
    if not NAME.fullmatch(name):
        raise InvalidParameterException(
            "Cluster name should be 1 to 255 letters (uppercase and lowercase), numbers, hyphens, and underscores."
        )
    if call.body.get("capacityProviders") or call.body.get("defaultCapacityProviderStrategy"):
        raise AwsError("Capacity providers are not served yet: create the cluster without them.")
    return {"cluster": render(draft, ensure_cluster(draft, call, name, call.body), set(_INCLUDES))}


def describe_clusters(view: View, call: Call) -> Answer:
    """DescribeClusters. Unknown ones are failures with reason MISSING; INACTIVE ones are still described."""
    references = call.body.get("clusters") or [DEFAULT_CLUSTER]
    if len(references) > DESCRIBE_MAX:
        raise InvalidParameterException(f"Clusters cannot have more than {DESCRIBE_MAX} elements.")
    include = set(call.body.get("include", ()))
    clusters, failures = [], []
    for reference in references:
        cluster = view.cluster(cluster_name(reference))
        if cluster is None:
            failures.append({"arn": call.arns.cluster(cluster_name(reference)), "reason": "MISSING"})
        else:
            clusters.append(render(view, cluster, include))
    return {"clusters": clusters, "failures": failures}


def list_clusters(view: View, call: Call) -> Answer:
    """ListClusters. ACTIVE ones only."""
    active = [cluster for cluster in view.records(Cluster) if cluster.status == "ACTIVE"]
    shown, more = page(active, call.body, key=lambda cluster: (cluster.name,))
    return {"clusterArns": [cluster.arn for cluster in shown], **more}


def delete_cluster(draft: Draft, call: Call) -> Answer:
    """DeleteCluster. The cluster goes INACTIVE; it must be empty."""
    cluster = draft.cluster(cluster_name(call.text("cluster")))
    if cluster is None:
        raise ClusterNotFoundException
    if cluster.status == "ACTIVE":
        _refuse_if_inhabited(draft, cluster)
        cluster = msgspec.structs.replace(cluster, status="INACTIVE")
        draft.put(cluster)
    return {"cluster": render(draft, cluster, set())}


def _refuse_if_inhabited(draft: Draft, cluster: Cluster) -> None:
    if any(instance.status in _STANDING for instance in draft.instances(cluster.name)):
        raise AwsError(
            "The Cluster cannot be deleted while Container Instances are active or draining.",
            code="ClusterContainsContainerInstancesException",
        )
    if any(service.status != "INACTIVE" for service in draft.services(cluster.name)):
        raise AwsError(
            "The Cluster cannot be deleted while Services are active.", code="ClusterContainsServicesException"
        )
    if any(task.last_status is not TaskStatus.STOPPED for task in draft.tasks(cluster.name)):
        raise AwsError("The Cluster cannot be deleted while Tasks are active.", code="ClusterContainsTasksException")


def render(view: View, cluster: Cluster, include: set[str]) -> Answer:
    """A cluster in Amazon's shape; `include` names the parts that are shown on request only."""
    wanted = [task for task in view.tasks(cluster.name) if task.desired_status is DesiredStatus.RUNNING]
    shape: Answer = {
        "clusterArn": cluster.arn,
        "clusterName": cluster.name,
        "status": cluster.status,
        "registeredContainerInstancesCount": sum(i.status in _STANDING for i in view.instances(cluster.name)),
        "runningTasksCount": sum(task.last_status is TaskStatus.RUNNING for task in wanted),
        "pendingTasksCount": sum(task.last_status.is_starting for task in wanted),
        "activeServicesCount": sum(service.status == "ACTIVE" for service in view.services(cluster.name)),
        "statistics": [],
        "tags": [],
        "settings": [],
        "capacityProviders": [],
        "defaultCapacityProviderStrategy": [],
    }
    for part, member in _INCLUDES.items():
        if part in include and member in cluster.body:
            shape[member] = cluster.body[member]
    return shape


_INCLUDES = {"TAGS": "tags", "SETTINGS": "settings", "CONFIGURATIONS": "configuration"}
