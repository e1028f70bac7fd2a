"""Capacity providers: create, update, delete, describe. What they do with their group is `core/capacity`'s.

Source: API reference, the operations' pages and `CapacityProvider`; error texts as AWS gives them where known, else in
its style (assumed).
"""

import re
from typing import Any

import msgspec

from controlplane.api.call import Answer, Call
from controlplane.api.clusters import cluster_of
from controlplane.api.paging import page
from controlplane.api.references import short_name
from controlplane.api.tag_rules import check_tags
from controlplane.core import providers
from controlplane.core.capacity.attachment import group_name
from controlplane.core.capacity.model import CapacityProvider, Group
from controlplane.core.view import Draft, View
from wire.errors import AwsError, ClientException, InvalidParameterException

DESCRIBE_SIZE = 10
DESCRIBE_MAX = 100
PROVIDERS_KEPT_MAX = 1000
"""ACTIVE ones of this account (assumed)."""

_NAME = re.compile(r"(?!aws|ecs|fargate)[a-zA-Z0-9_-]{1,255}", re.IGNORECASE)
_GROUP_NAME_MAX = 255
_NOT_FOUND = "The specified capacity provider does not exist. Specify a valid name or ARN and try again."
_SCALING = {
    "status": "DISABLED",
    "targetCapacity": 100,
    "minimumScalingStepSize": 1,
    "maximumScalingStepSize": 10000,
    "instanceWarmupPeriod": 300,
}
"""Source: API reference, `ManagedScaling`. `status`: assumed."""
_GROUP = {"managedTerminationProtection": "DISABLED", "managedDraining": "ENABLED"}


def create_capacity_provider(draft: Draft, call: Call) -> Answer:
    """CreateCapacityProvider, over an Auto Scaling group. The same request again is answered with what it made."""
    name = call.body["name"]
    if not _NAME.fullmatch(name):
        raise InvalidParameterException(
            "The specified capacity provider name is invalid. Up to 255 characters are allowed, including letters "
            "(upper and lowercase), numbers, underscores, and hyphens. The name cannot be prefixed with 'aws', 'ecs', "
            "or 'fargate'. Specify a valid name and try again."
        )
    _refuse_managed_instances(call)
    check_tags(call.body.get("tags", ()))
    group = _with_defaults(call.body["autoScalingGroupProvider"])
    cluster = cluster_of(draft, call).name if call.text("cluster") else None
    group["autoScalingGroupArn"] = _group_arn(draft, group["autoScalingGroupArn"])
    body = {"autoScalingGroupProvider": group, "tags": call.body.get("tags", [])}
    existing = providers.find(draft, name)
    if existing is not None:
        if (existing.body, existing.cluster) != (body, cluster):
            raise ClientException(f"A capacity provider named {name} already exists with other settings.")
        return {"capacityProvider": render(call, existing)}
    _refuse_taken(draft, group["autoScalingGroupArn"])
    provider = CapacityProvider(name=name, arn=call.arns.capacity_provider(name), cluster=cluster, body=body)
    draft.put(provider)
    return {"capacityProvider": render(call, provider)}


def update_capacity_provider(draft: Draft, call: Call) -> Answer:
    """UpdateCapacityProvider: members that are not given stay."""
    if call.body["name"] in providers.FARGATE:
        raise InvalidParameterException("The FARGATE and FARGATE_SPOT capacity providers cannot be updated.")
    provider = _existing(draft, call, call.body["name"])
    _refuse_managed_instances(call)
    former = provider.body["autoScalingGroupProvider"]
    given = call.body["autoScalingGroupProvider"]
    scaling = {**former["managedScaling"], **given.get("managedScaling", {})}
    group = _with_defaults({**former, **given, "managedScaling": scaling})
    changed = msgspec.structs.replace(
        provider,
        update_status="UPDATE_COMPLETE",
        body={**provider.body, "autoScalingGroupProvider": group},
    )
    draft.put(changed)
    return {"capacityProvider": render(call, changed)}


def delete_capacity_provider(draft: Draft, call: Call) -> Answer:
    """DeleteCapacityProvider: one that no cluster and no service uses. It is INACTIVE as soon as this is answered."""
    reference = short_name(call, "capacity-provider", call.body["capacityProvider"])
    if reference in providers.FARGATE:
        raise InvalidParameterException("The FARGATE and FARGATE_SPOT capacity providers cannot be deleted.")
    provider = _existing(draft, call, reference)
    clusters = providers.clusters_with(draft, provider.name)
    if clusters:
        raise ClientException(
            "The capacity provider cannot be deleted because it is associated with cluster: "
            f"{', '.join(clusters)}. Remove the capacity provider from the cluster and try again."
        )
    if providers.users_of(draft, provider.name):
        raise ClientException(
            "The capacity provider cannot be deleted because it is in the capacity provider strategy of a service."
        )
    gone = msgspec.structs.replace(provider, status="INACTIVE", update_status="DELETE_COMPLETE", ended_at=draft.now)
    draft.put(gone)
    leaving = {"status": "ACTIVE", "updateStatus": "DELETE_IN_PROGRESS"}
    return {"capacityProvider": {**render(call, gone), **leaving}}


def describe_capacity_providers(view: View, call: Call) -> Answer:
    """DescribeCapacityProviders: those that are named, those of a cluster, or all; the built-in ones among them."""
    references = call.body.get("capacityProviders", [])
    if len(references) > DESCRIBE_MAX:
        raise InvalidParameterException(f"capacityProviders cannot have more than {DESCRIBE_MAX} elements.")
    names = list(dict.fromkeys(short_name(call, "capacity-provider", reference) for reference in references))
    cluster = cluster_of(view, call) if call.text("cluster") else None
    known = {p.name: render(call, p) for p in view.records(CapacityProvider)}
    known |= {name: _built_in(call, name) for name in providers.FARGATE}
    if cluster is not None:
        here = providers.of_cluster(view, cluster)
        known = {name: shape for name, shape in known.items() if name in here}
    failures = [{"arn": call.arns.capacity_provider(name), "reason": "MISSING"} for name in names if name not in known]
    chosen = [known[name] for name in names if name in known] if names else list(known.values())
    limited = {**call.body, "maxResults": _size(call, len(names))}
    shown, more = page(chosen, limited, key=lambda provider: (provider["name"],))
    if "TAGS" not in call.body.get("include", ()):
        shown = [{**provider, "tags": []} for provider in shown]
    return {"capacityProviders": shown, "failures": failures, **more}


def render(call: Call, provider: CapacityProvider) -> Answer:
    """A capacity provider in Amazon's shape."""
    shape = {
        "capacityProviderArn": provider.arn,
        "name": provider.name,
        "status": provider.status,
        "type": "EC2_AUTOSCALING",
        "updateStatus": provider.update_status,
        **provider.body,
    }
    if provider.cluster is not None:
        shape["cluster"] = call.arns.cluster(provider.cluster)
    return shape


def _built_in(call: Call, name: str) -> Answer:
    return {
        "capacityProviderArn": call.arns.capacity_provider(name),
        "name": name,
        "status": "ACTIVE",
        "type": name,
        "tags": [],
    }


def _existing(draft: Draft, call: Call, reference: str) -> CapacityProvider:
    provider = providers.find(draft, short_name(call, "capacity-provider", reference))
    if provider is None:
        raise ClientException(_NOT_FOUND)
    return provider


def _refuse_managed_instances(call: Call) -> None:
    if call.body.get("managedInstancesProvider"):
        raise AwsError(
            "Amazon ECS Managed Instances have AWS launch EC2 instances, which berth has none of; "
            "use an autoScalingGroupProvider.",
            code="UnsupportedFeatureException",
        )
    if "autoScalingGroupProvider" not in call.body:
        raise InvalidParameterException("autoScalingGroupProvider should not be null or empty.")


def _group_arn(draft: Draft, reference: str) -> str:
    """The ARN of a group that is there, by its ARN or name."""
    group = draft.record(Group, group_name(reference))
    if group is None or group.is_ending:
        known = ", ".join(sorted(each.name for each in draft.records(Group) if not each.is_ending)) or "none"
        raise ClientException(
            f"The specified Auto Scaling group {reference} does not exist: groups are made by `berth group create`; "
            f"there are: {known}."
        )
    draft.expect(group)
    return group.arn


def _refuse_taken(draft: Draft, group: str) -> None:
    """One group serves one provider."""
    active = [p for p in draft.records(CapacityProvider) if p.status == "ACTIVE"]
    if any(p.body["autoScalingGroupProvider"]["autoScalingGroupArn"] == group for p in active):
        raise ClientException(
            "The specified Auto Scaling group ARN is already being used by another capacity provider. "
            "Specify a unique Auto Scaling group ARN and try again."
        )
    if len(active) >= PROVIDERS_KEPT_MAX:
        raise AwsError(
            f"The limit of {PROVIDERS_KEPT_MAX} capacity providers is reached.", code="LimitExceededException"
        )


def _with_defaults(group: dict[str, Any]) -> dict[str, Any]:
    """The group with the members that AWS fills in.

    Raises:
        InvalidParameterException: the settings contradict each other.
    """
    if not group.get("autoScalingGroupArn"):
        raise InvalidParameterException("autoScalingGroupArn should not be null or empty.")
    scaling = {**_SCALING, **group.get("managedScaling", {})}
    if scaling["minimumScalingStepSize"] > scaling["maximumScalingStepSize"]:
        raise InvalidParameterException("minimumScalingStepSize should be at most maximumScalingStepSize.")
    whole = {**_GROUP, **group, "managedScaling": scaling}
    if whole["managedTerminationProtection"] == "ENABLED" and scaling["status"] != "ENABLED":
        raise InvalidParameterException(
            "The managed termination protection setting for the capacity provider is invalid. To enable managed "
            "termination protection for a capacity provider, managed scaling must be enabled."
        )
    return whole


def _size(call: Call, named: int) -> int:
    size: int = call.body.get("maxResults", max(DESCRIBE_SIZE, named))
    if "maxResults" in call.body and not 1 <= size <= DESCRIBE_SIZE:
        raise InvalidParameterException(f"maxResults should be between 1 and {DESCRIBE_SIZE}.")
    return size
