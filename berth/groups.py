"""Instance groups as the command line knows them: what `--group` and `berth group create` say, and the calls for it."""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from berth.cli.options import duration_seconds
from berth.client import EcsClient
from berth.errors import UserError
from wire.errors import AwsError
from wire.instance_types import INSTANCE_TYPES, nearest
from wire.numerals import whole

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
KEYS = "min, max, desired, type, zone, boot, protect, command, provider, target, warmup"


class GroupSetting(msgspec.Struct, frozen=True, kw_only=True):
    """One group. `type` and `zone` may be several, with `+` between them."""

    name: str
    minimum: int = 0
    maximum: int = 10
    desired: int | None = None
    types: tuple[str, ...] = ("r5.large",)
    zones: tuple[str, ...] = ("us-east-1a", "us-east-1b")
    boot_seconds: float | None = None
    """None: as most of AWS's, two minutes on the scaler's clock."""
    protects_new: bool = False
    command: str = ""
    provider: str = ""
    """Name of a capacity provider with managed scaling that is made for it, and the cluster's
    default strategy where it has none."""
    target_percent: int = 100
    warmup_seconds: int = 300
    hooks: tuple[dict[str, Any], ...] = ()


def read_group(text: str) -> GroupSetting:
    """Read `NAME[,key=value...]`.

    Raises:
        UserError: one sentence about the first thing that cannot be understood.
    """
    name, *pairs = text.split(",")
    if not _NAME.fullmatch(name):
        raise UserError(f"--group {text!r}: a group's name has letters, digits, hyphens and underscores.")
    members: dict[str, Any] = {"name": name}
    for pair in pairs:
        key, _, value = pair.partition("=")
        members |= _member(key.strip(), value.strip(), text)
    group = GroupSetting(**members)
    desired = group.minimum if group.desired is None else group.desired
    if not group.minimum <= desired <= group.maximum:
        raise UserError(f"--group {text!r}: min <= desired <= max should hold.")
    return group


def _member(key: str, value: str, text: str) -> dict[str, Any]:
    numbers = {
        "min": "minimum",
        "max": "maximum",
        "desired": "desired",
        "target": "target_percent",
        "warmup": "warmup_seconds",
    }
    if key in numbers:
        number = whole(value.removesuffix("s"))
        if number is None:
            raise UserError(f"--group {text!r}: {key} needs a whole number.")
        return {numbers[key]: number}
    if key == "type":
        return {"types": tuple(known_type(name) for name in value.split("+"))}
    if key == "zone":
        return {"zones": tuple(value.split("+"))}
    if key == "boot":
        seconds = 0 if value in ("0", "0s") else duration_seconds(value)
        if seconds is None:
            raise UserError(f"--group {text!r}: boot is a duration such as 30s or 2m.")
        return {"boot_seconds": float(seconds)}
    if key == "protect":
        return {"protects_new": value in ("", "yes", "true")}
    if key in ("command", "provider"):
        return {key: value}
    raise UserError(f"--group {text!r}: {key!r} is not known; there are {KEYS}.")


def known_type(name: str) -> str:
    """The name of a known instance type.

    Raises:
        UserError: it is none.
    """
    if name not in INSTANCE_TYPES:
        raise UserError(f"{name!r} is no instance type that berth knows; the nearest are {', '.join(nearest(name))}.")
    return name


async def make_group(
    client: EcsClient, group: GroupSetting, *, cluster: str, tell: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Make a group, and its capacity provider where it names one. Those that were there stay, and that is told."""
    members: dict[str, Any] = {
        "AutoScalingGroupName": group.name,
        "cluster": cluster,
        "MinSize": group.minimum,
        "MaxSize": group.maximum,
        "InstanceTypes": list(group.types),
        "AvailabilityZones": list(group.zones),
        "NewInstancesProtectedFromScaleIn": group.protects_new,
        "Command": group.command,
        "LifecycleHookSpecificationList": list(group.hooks),
    }
    if group.desired is not None:
        members["DesiredCapacity"] = group.desired
    if group.boot_seconds is not None:
        members["BootSeconds"] = group.boot_seconds
    try:
        made: dict[str, Any] = (await client.call("CreateAutoScalingGroup", **members))["AutoScalingGroup"]
    except AwsError as error:
        if error.code != "AlreadyExistsFault":
            raise
        found = await client.call("DescribeAutoScalingGroups", AutoScalingGroupNames=[group.name])
        made = found["AutoScalingGroups"][0]
        tell(f"The group {group.name} was there and stays as it was; berth group set changes it.")
    if group.provider and not made["capacityProvider"]:
        await _make_provider(client, group, made["AutoScalingGroupARN"], cluster)
    return made


async def _make_provider(client: EcsClient, group: GroupSetting, arn: str, cluster: str) -> None:
    scaling = {
        "status": "ENABLED",
        "targetCapacity": group.target_percent,
        "instanceWarmupPeriod": group.warmup_seconds,
    }
    provider = {
        "autoScalingGroupArn": arn,
        "managedScaling": scaling,
        "managedTerminationProtection": "ENABLED",
        "managedDraining": "ENABLED",
    }
    await client.call("CreateCapacityProvider", name=group.provider, autoScalingGroupProvider=provider)
    described = (await client.call("DescribeClusters", clusters=[cluster]))["clusters"][0]
    names = [name for name in described.get("capacityProviders", []) if name != group.provider]
    strategy = described.get("defaultCapacityProviderStrategy") or [{"capacityProvider": group.provider, "weight": 1}]
    await client.call(
        "PutClusterCapacityProviders",
        cluster=cluster,
        capacityProviders=[*names, group.provider],
        defaultCapacityProviderStrategy=strategy,
    )
