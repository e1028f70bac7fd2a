"""Clusters: create, update, describe, list, delete; and their capacity providers.

Source: API reference, the operations' pages and `Cluster`; error texts as AWS gives them where they are known.
"""

import re
from itertools import chain
from typing import Any

import msgspec

from controlplane.api import account_settings
from controlplane.api.call import Answer, Call
from controlplane.api.cluster_shapes import render
from controlplane.api.paging import page
from controlplane.api.references import short_name
from controlplane.api.tag_rules import check_tags
from controlplane.core import inhabitants, providers
from controlplane.core.model import Cluster
from controlplane.core.view import Draft, View
from wire.errors import AwsError, ClusterNotFoundException, InvalidParameterException

DEFAULT_CLUSTER = "default"
DESCRIBE_MAX = 100
INSIGHTS = ("enhanced", "enabled", "disabled")

NAME = re.compile(r"[a-zA-Z0-9_-]{1,255}")
"""Names of clusters, services, families and containers. Source: API reference, `CreateCluster`."""

_WHILE = {
    inhabitants.Inhabitants.CONTAINER_INSTANCES: "Container Instances are active or draining.",
    inhabitants.Inhabitants.SERVICES: "Services are active.",
    inhabitants.Inhabitants.TASKS: "Tasks are active.",
    inhabitants.Inhabitants.CAPACITY_PROVIDER: "Capacity Providers are active.",
}
_KEPT = ("tags", "settings", "configuration", "serviceConnectDefaults")


def cluster_of(view: View, call: Call) -> Cluster:
    """The ACTIVE cluster that a request names; without a name the one called `default`.

    Raises:
        ClusterNotFoundException: there is none.
    """
    cluster = view.cluster(short_name(call, "cluster", call.body.get("cluster") or DEFAULT_CLUSTER))
    if cluster is None:
        raise ClusterNotFoundException
    if cluster.status != "ACTIVE":
        raise ClusterNotFoundException("The referenced cluster was inactive.")
    if isinstance(view, Draft):
        view.expect(cluster)
    return cluster


def ensure_cluster(draft: Draft, call: Call, name: str, body: dict[str, Any] | None = None) -> Cluster:
    """The ACTIVE cluster of this name, made where it is missing."""
    cluster = draft.cluster(name)
    if cluster is not None and cluster.status == "ACTIVE":
        draft.expect(cluster)
        return cluster
    insights = {"name": "containerInsights", "value": account_settings.effective(draft, call, "containerInsights")}
    cluster = Cluster(
        name=name,
        arn=call.arns.cluster(name),
        policy=call.account.policy,
        body={"settings": [insights], **(body or {})},
    )
    draft.put(cluster)
    return cluster


def create_cluster(draft: Draft, call: Call) -> Answer:
    """CreateCluster. An existing ACTIVE cluster of that name is the answer as it is."""
    name = call.text("clusterName", DEFAULT_CLUSTER)
    if not NAME.fullmatch(name):
        raise InvalidParameterException(
            "Cluster name should be 1 to 255 letters (uppercase and lowercase), numbers, hyphens, and underscores."
        )
    check_tags(call.body.get("tags", ()))
    _check_settings(call)
    body = {**{member: call.body[member] for member in _KEPT if member in call.body}, **_capacity(draft, call, name)}
    return {"cluster": render(draft, ensure_cluster(draft, call, name, body), None)}


def update_cluster(draft: Draft, call: Call) -> Answer:
    """UpdateCluster: settings, configuration and Service Connect defaults; a member that is not given stays."""
    cluster = cluster_of(draft, call)
    _check_settings(call)
    return {"cluster": render(draft, _changed(draft, cluster, call, _KEPT[1:]), None)}


def update_cluster_settings(draft: Draft, call: Call) -> Answer:
    """UpdateClusterSettings."""
    cluster = cluster_of(draft, call)
    if not call.body["settings"]:
        raise InvalidParameterException("settings can not be empty.")
    _check_settings(call)
    return {"cluster": render(draft, _changed(draft, cluster, call, ("settings",)), None)}


def put_cluster_capacity_providers(draft: Draft, call: Call) -> Answer:
    """PutClusterCapacityProviders: the whole list and the default strategy anew. One in use cannot go."""
    cluster = cluster_of(draft, call)
    capacity = _capacity(draft, call, cluster.name)
    for name in cluster.body.get("capacityProviders", ()):
        if name not in capacity["capacityProviders"] and providers.users_of(draft, name, cluster.name):
            raise AwsError(
                "The specified capacity provider is in use and cannot be removed.", code="ResourceInUseException"
            )
    changed = msgspec.structs.replace(cluster, body={**cluster.body, **capacity})
    draft.put(changed)
    return {"cluster": render(draft, changed, None)}


def describe_clusters(view: View, call: Call) -> Answer:
    """DescribeClusters. Unknown ones are failures with reason MISSING; INACTIVE ones are described for a while."""
    references = call.body.get("clusters") or [DEFAULT_CLUSTER]
    if len(references) > DESCRIBE_MAX:
        raise InvalidParameterException(f"Clusters cannot have more than {DESCRIBE_MAX} elements.")
    include = set(call.body.get("include", ()))
    clusters, failures = [], []
    for reference in references:
        cluster = view.cluster(short_name(call, "cluster", reference))
        if cluster is None:
            failures.append({"arn": call.arns.cluster(short_name(call, "cluster", reference)), "reason": "MISSING"})
        else:
            clusters.append(render(view, cluster, include))
    return {"clusters": clusters, "failures": failures}


def list_clusters(view: View, call: Call) -> Answer:
    """ListClusters. ACTIVE ones only."""
    active = [cluster for cluster in view.records(Cluster) if cluster.status == "ACTIVE"]
    shown, more = page(active, call.body, key=lambda cluster: (cluster.name,))
    return {"clusterArns": [cluster.arn for cluster in shown], **more}


def delete_cluster(draft: Draft, call: Call) -> Answer:
    """DeleteCluster. The cluster goes INACTIVE; it must be empty, which the commit looks at once more."""
    cluster = draft.cluster(short_name(call, "cluster", call.text("cluster")))
    if cluster is None:
        raise ClusterNotFoundException
    if cluster.status == "ACTIVE":
        found = inhabitants.first_kind(chain.from_iterable(map(draft.records, inhabitants.KINDS)), cluster.name)
        if found is not None:
            raise AwsError(
                f"The Cluster cannot be deleted while {_WHILE[found]}", code=f"ClusterContains{found}Exception"
            )
        cluster = msgspec.structs.replace(cluster, status="INACTIVE", ended_at=draft.now)
        draft.put(cluster)
    return {"cluster": render(draft, cluster, set())}


def _changed(draft: Draft, cluster: Cluster, call: Call, members: tuple[str, ...]) -> Cluster:
    given = {member: call.body[member] for member in members if member in call.body}
    changed = msgspec.structs.replace(cluster, body={**cluster.body, **given})
    if changed != cluster:
        draft.put(changed)
    return changed


def _capacity(draft: Draft, call: Call, cluster: str) -> dict[str, Any]:
    """The providers (by name, whatever they were named by) and the default strategy of a request, checked."""
    names = [short_name(call, "capacity-provider", reference) for reference in call.body.get("capacityProviders", ())]
    strategy = call.body.get("defaultCapacityProviderStrategy", [])
    sentence = providers.refuse_association(draft, cluster, names) or providers.refuse_strategy(strategy, names)
    if sentence is not None:
        raise InvalidParameterException(sentence)
    for name in names:
        provider = providers.find(draft, name)
        if provider is not None:
            draft.expect(provider)
    return {"capacityProviders": names, "defaultCapacityProviderStrategy": strategy}


def _check_settings(call: Call) -> None:
    for setting in call.body.get("settings", ()):
        if setting.get("name") != "containerInsights" or setting.get("value") not in INSIGHTS:
            raise InvalidParameterException(
                f"The cluster setting containerInsights should be one of [{','.join(INSIGHTS)}]."
            )
