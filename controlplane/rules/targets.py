"""From a rule's target to the RunTask that it stands for. Pure; members go over by name, never by what they mean.

Source: EventBridge API reference, `Target` and `EcsParameters`; ECS Developer Guide, "Scheduled tasks" (`Input` is the
task's overrides).
"""

from hashlib import sha256
from typing import Any

import msgspec

from wire.arn import ArnMaker, parse, short_id

Shape = dict[str, Any]

NOT_SERVED = ("InputPath", "InputTransformer")
OVERRIDES = ("containerOverrides", "cpu", "memory", "taskRoleArn", "executionRoleArn", "ephemeralStorage")
_MEMBERS = {
    "TaskDefinitionArn": "taskDefinition",
    "TaskCount": "count",
    "LaunchType": "launchType",
    "PlatformVersion": "platformVersion",
    "Group": "group",
    "CapacityProviderStrategy": "capacityProviderStrategy",
    "EnableECSManagedTags": "enableECSManagedTags",
    "EnableExecuteCommand": "enableExecuteCommand",
    "PlacementConstraints": "placementConstraints",
    "PlacementStrategy": "placementStrategy",
    "PropagateTags": "propagateTags",
    "ReferenceId": "referenceId",
}
_VPC = {"Subnets": "subnets", "SecurityGroups": "securityGroups", "AssignPublicIp": "assignPublicIp"}


class TargetError(ValueError):
    """A target that cannot be served; the text says why."""


def check(target: Shape, arns: ArnMaker) -> None:
    """Refuse a target that starts no task here. `arns` are those of this account.

    Raises:
        TargetError: see there.
    """
    arn = parse(target["Arn"])
    if arn is None or arn.kind != "cluster" or "EcsParameters" not in target:
        raise TargetError("only ECS targets are served here: the Arn of a cluster, with EcsParameters")
    if (arn.region, arn.account) != arns:
        raise TargetError(f"its cluster is not in the region {arns.region} of the account {arns.account}")
    for member in NOT_SERVED:
        if member in target:
            raise TargetError(f"{member} is not served here; Input is")
    _overrides(target)


def run_task(target: Shape, *, rule: str, token: str) -> Shape:
    """The body of a RunTask. `rule` is a name; equal tokens start their tasks once."""
    parameters = target["EcsParameters"]
    body: Shape = {ours: parameters[theirs] for theirs, ours in _MEMBERS.items() if theirs in parameters}
    vpc = parameters.get("NetworkConfiguration", {}).get("awsvpcConfiguration")
    if vpc:
        configuration = {ours: vpc[theirs] for theirs, ours in _VPC.items() if theirs in vpc}
        body["networkConfiguration"] = {"awsvpcConfiguration": configuration}
    if "Tags" in parameters:
        body["tags"] = [{"key": tag["Key"], "value": tag["Value"]} for tag in parameters["Tags"]]
    overrides = _overrides(target)
    if overrides:
        body["overrides"] = overrides
    return {**body, "cluster": target["Arn"], "startedBy": f"events-rule/{rule}", "clientToken": token}


def token_of(rule_arn: str, target: str, occasion: str) -> str:
    """A client token for one target (id) at one occasion: a tick, or an event. 64 characters."""
    return sha256(f"{rule_arn} {target} {occasion}".encode()).hexdigest()


def cluster_of(target: Shape) -> str:
    """Name of the target's cluster."""
    return short_id(target["Arn"])


def _overrides(target: Shape) -> Shape:
    text = target.get("Input")
    if not text:
        return {}
    try:
        given = msgspec.json.decode(text.encode(), type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        raise TargetError("Input is no JSON object") from None
    return {member: value for member, value in given.items() if member in OVERRIDES}
