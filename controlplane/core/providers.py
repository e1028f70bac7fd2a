"""Capacity providers as objects: which there are, who uses one, and what a strategy over them must keep to.

It knows nothing of scaling: what a provider launches is not decided here. Source: API reference,
`CapacityProviderStrategyItem`, `PutClusterCapacityProviders`, `DeleteCapacityProvider`; texts as AWS gives them where
known, else in its style (assumed).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from controlplane.core.capacity.model import CapacityProvider
from controlplane.core.model import Cluster, Service, Task
from controlplane.core.view import View

FARGATE = ("FARGATE", "FARGATE_SPOT")
"""Built in: every account has them, nobody can change or delete them."""
PROVIDERS_MAX = 20
"""For a cluster, and in a strategy. Source: ECS Developer Guide, "Service quotas"."""

Strategy = Sequence[Mapping[str, Any]]
"""Amazon's `{capacityProvider, weight?, base?}`."""


def find(view: View, name: str) -> CapacityProvider | None:
    """A provider that somebody made and that still stands."""
    provider = view.record(CapacityProvider, name)
    return provider if provider is not None and provider.status == "ACTIVE" else None


def of_cluster(view: View, cluster: Cluster) -> list[str]:
    """Names of the providers that strategies in this cluster may name."""
    own = [p.name for p in view.records(CapacityProvider) if p.cluster == cluster.name and p.status == "ACTIVE"]
    return [*cluster.body.get("capacityProviders", ()), *own]


def refuse_association(view: View, cluster: str, names: Sequence[str]) -> str | None:
    """One sentence about the first provider that the cluster (name) cannot have; None where it can have all."""
    if len(names) > PROVIDERS_MAX:
        return f"A cluster has at most {PROVIDERS_MAX} capacity providers, not {len(names)}."
    for name in names:
        if names.count(name) > 1:
            return f"The capacity provider '{name}' is named more than once."
        provider = find(view, name)
        if name not in FARGATE and provider is None:
            return f"The specified capacity provider '{name}' was not found. Specify a valid name or ARN and try again."
        if provider is not None and provider.cluster not in (None, cluster):
            return f"The specified capacity provider '{name}' belongs to the cluster {provider.cluster}."
    return None


def refuse_strategy(strategy: Strategy, associated: Iterable[str]) -> str | None:
    """One sentence about a strategy that cannot be used in a cluster with these providers; None where it can."""
    if not strategy:
        return None
    names = [item["capacityProvider"] for item in strategy]
    weights = [item.get("weight", 0) for item in strategy]
    rules = {
        f"A capacity provider strategy has at most {PROVIDERS_MAX} items, not {len(names)}.": (
            len(names) <= PROVIDERS_MAX
        ),
        "A capacity provider strategy cannot name the same capacity provider more than once.": (
            len(set(names)) == len(names)
        ),
        (
            "The specified capacity provider strategy cannot contain a capacity provider that is not associated with "
            "the cluster. Associate the capacity provider with the cluster and try again."
        ): set(names) <= set(associated),
        "Only one capacity provider in a capacity provider strategy can have a base value defined.": (
            sum(item.get("base", 0) > 0 for item in strategy) <= 1
        ),
        "At least one capacity provider in a capacity provider strategy must have a weight greater than 0.": (
            len(names) <= 1 or any(weights)
        ),
        "A capacity provider strategy holds either Auto Scaling group or Fargate capacity providers, not both.": (
            len(set(names) & set(FARGATE)) in (0, len(set(names)))
        ),
    }
    return next((sentence for sentence, is_kept in rules.items() if not is_kept), None)


def clusters_with(view: View, name: str) -> list[str]:
    """Names of the ACTIVE clusters that have this provider."""
    return [
        c.name for c in view.records(Cluster) if c.status == "ACTIVE" and name in c.body.get("capacityProviders", ())
    ]


def users_of(view: View, name: str, cluster: str | None = None) -> list[str]:
    """ARNs of the services and tasks that use this provider, in one cluster (name) or in any."""
    services = [
        service.arn
        for service in view.records(Service)
        if service.status != "INACTIVE"
        and cluster in (None, service.cluster)
        and any(_names(body.get("capacityProviderStrategy", ()), name) for body in _bodies(service))
    ]
    tasks = [
        task.arn
        for task in view.records(Task)
        if task.is_live and cluster in (None, task.cluster) and task.body.get("capacityProviderName") == name
    ]
    return [*services, *tasks]


def _bodies(service: Service) -> Iterator[Mapping[str, Any]]:
    """Its own, and those of its task sets."""
    yield service.body
    yield from (each.task_set.body for each in service.deployments if each.task_set is not None)


def _names(strategy: Strategy, name: str) -> bool:
    return any(item["capacityProvider"] == name for item in strategy)
