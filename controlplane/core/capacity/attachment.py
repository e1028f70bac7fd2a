"""Who belongs to whom: group, capacity provider, instance, task. Nothing here acts.

A provider names its group, one to one; an instance is its provider's because its machine is a member of the group.
Source: API reference, `AutoScalingGroupProvider`; ECS Developer Guide, "Auto Scaling group capacity providers".
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from controlplane.core.capacity.model import CapacityProvider, Group, Machine, MachineState
from controlplane.core.capacity.scaling import Tracking
from controlplane.core.capacity.strategy import Item
from controlplane.core.model import Cluster, Instance, Task
from controlplane.core.view import View
from wire.status import InstanceStatus

PROVIDER_MEMBER = "capacityProviderName"
"""Member of a task's body: the provider that its strategy chose."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider does with its group."""

    provider: str
    """Name."""
    group: str
    """Name."""
    cluster: str
    """Name."""
    scales: bool
    protects: bool
    drains: bool
    tracking: Tracking


def terms(view: View, name: str, cluster: str | None = None) -> Terms | None:
    """The terms of a provider; None where it is not ACTIVE, or its group is no group of ours."""
    provider = view.record(CapacityProvider, name)
    if provider is None or provider.status != "ACTIVE":
        return None
    settings = provider.body.get("autoScalingGroupProvider", {})
    group = view.record(Group, group_name(settings.get("autoScalingGroupArn", "")))
    if group is None:
        return None
    scaling = settings.get("managedScaling", {})
    scales = scaling.get("status") == "ENABLED"
    return Terms(
        provider=name,
        group=group.name,
        cluster=cluster or group.cluster,
        scales=scales,
        protects=scales and settings.get("managedTerminationProtection") == "ENABLED",
        drains=settings.get("managedDraining", "ENABLED") == "ENABLED",
        tracking=Tracking(
            target_percent=scaling.get("targetCapacity", 100),
            least_step=scaling.get("minimumScalingStepSize", 1),
            most_step=scaling.get("maximumScalingStepSize", 10_000),
            warmup_seconds=scaling.get("instanceWarmupPeriod", 300),
        ),
    )


def all_terms(view: View) -> Iterator[Terms]:
    """The terms of every ACTIVE provider with a group of ours."""
    for provider in view.records(CapacityProvider):
        found = terms(view, provider.name)
        if found is not None:
            yield found


def terms_of_group(view: View, group: str) -> Terms | None:
    """The terms of the provider that has this group; None where none has."""
    return next((each for each in all_terms(view) if each.group == group), None)


def is_attached(view: View, each: Terms) -> bool:
    """Whether its cluster uses the provider: only then is it scaled."""
    cluster = view.cluster(each.cluster)
    provider = view.record(CapacityProvider, each.provider)
    if cluster is None or provider is None:
        return False
    return each.provider in cluster.body.get("capacityProviders", ()) or provider.cluster == cluster.name


def group_name(reference: str) -> str:
    """Name of the group in an Auto Scaling group's ARN, or the name itself."""
    return reference.rsplit("autoScalingGroupName/", 1)[-1]


def machines(view: View, group: str) -> list[Machine]:
    """Machines of a group (name) that are not gone, oldest first."""
    own = [m for m in view.records(Machine) if m.group == group and m.state is not MachineState.TERMINATED]
    return sorted(own, key=lambda machine: (machine.launched_at, machine.id))


def instance_of(view: View, machine: Machine, cluster: str) -> Instance | None:
    """The container instance that a machine is; None as long as its agent has not registered, or once it is gone."""
    for instance in view.instances(cluster):
        if instance.ec2_instance_id == machine.id and instance.status is not InstanceStatus.INACTIVE:
            return instance
    return None


def provider_of(view: View, instance: Instance) -> str | None:
    """Name of the provider that an instance belongs to."""
    if instance.group is None:
        return None
    found = terms_of_group(view, instance.group)
    return found.provider if found else None


def instances_of(view: View, each: Terms) -> frozenset[str]:
    """ARNs of a provider's instances."""
    return frozenset(i.arn for i in view.instances(each.cluster) if i.group == each.group)


def provider_of_task(task: Task) -> str | None:
    """Name of the provider that a task was given to; None: it has a launch type."""
    name: str | None = task.body.get(PROVIDER_MEMBER)
    return name


def strategy_of(cluster: Cluster, body: dict[str, Any]) -> Sequence[Item]:
    """The strategy of a request: its own, or the cluster's default; empty where it has, or comes to, a launch type."""
    own: Sequence[Item] = body.get("capacityProviderStrategy") or ()
    if own or body.get("launchType"):
        return own
    default: Sequence[Item] = cluster.body.get("defaultCapacityProviderStrategy") or ()
    return default
