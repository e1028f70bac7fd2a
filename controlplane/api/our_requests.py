"""Requests of operations that are ours, held against shapes of ours: what botocore's model does for Amazon's.

Types and ranges of single members stand here; what members must be to each other and to the world, their handlers say.
Names are EC2 Auto Scaling's where the operation is. Its ranges are too, but times may be shorter: a test need not wait.
Source: Auto Scaling API reference, `LifecycleHookSpecification` (HeartbeatTimeout 30 to 7200 seconds).
"""

from typing import Annotated, Any, Literal

import msgspec

from controlplane.core.capacity.fleet import MACHINES_MAX
from wire.errors import InvalidParameterException
from wire.extensions import EXPLAIN_PLACEMENT, FORCE_STOP_TASK, GET_POLICY, PUT_POLICY, SYNC_MACHINES

TEXT_CHARACTERS_MAX = 2048
ZONES_MAX = 20
TYPES_MAX = 40
"""Of one group. Source: Auto Scaling API reference, `LaunchTemplate.Overrides`."""
HOOKS_MAX = 10
INSTANCES_MAX = 1000
"""That one request names."""

_Text = Annotated[str, msgspec.Meta(max_length=TEXT_CHARACTERS_MAX)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=MACHINES_MAX)]
_Result = Literal["CONTINUE", "ABANDON"]


class _Hook(msgspec.Struct, rename="pascal", kw_only=True):
    lifecycle_hook_name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    lifecycle_transition: Literal["autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"]
    heartbeat_timeout: Annotated[float, msgspec.Meta(gt=0, le=7200)] = 3600
    default_result: _Result = "ABANDON"
    webhook: Annotated[str, msgspec.Meta(pattern="^(https?://.*)?$", max_length=TEXT_CHARACTERS_MAX)] = ""


class _Settings(msgspec.Struct, rename="pascal", kw_only=True):
    """Of a group; what is not given stays."""

    auto_scaling_group_name: _Text = ""
    min_size: _Count = 0
    max_size: _Count = 0
    desired_capacity: _Count = 0
    boot_seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 0
    new_instances_protected_from_scale_in: bool = False
    command: _Text = ""
    lifecycle_hook_specification_list: Annotated[list[_Hook], msgspec.Meta(max_length=HOOKS_MAX)] = []


class _NewGroup(_Settings, rename="pascal", kw_only=True):
    max_size: _Count
    cluster: _Text = msgspec.field(default="", name="cluster")
    instance_types: Annotated[list[_Text], msgspec.Meta(max_length=TYPES_MAX)] = []
    availability_zones: Annotated[list[_Text], msgspec.Meta(max_length=ZONES_MAX)] = []


class _DeleteGroup(msgspec.Struct, rename="pascal"):
    auto_scaling_group_name: _Text = ""
    force_delete: bool = False


class _DescribeGroups(msgspec.Struct, rename="pascal"):
    auto_scaling_group_names: Annotated[list[_Text], msgspec.Meta(max_length=INSTANCES_MAX)] = []


class _OfMachine(msgspec.Struct, rename="pascal"):
    instance_id: _Text = ""
    should_decrement_desired_capacity: bool = False
    health_status: Literal["Healthy", "Unhealthy"] = "Healthy"


class _Protection(msgspec.Struct, rename="pascal"):
    instance_ids: Annotated[list[_Text], msgspec.Meta(max_length=INSTANCES_MAX)] = []
    protected_from_scale_in: bool = False


class _Heartbeat(msgspec.Struct, rename="pascal"):
    instance_id: _Text = ""
    lifecycle_hook_name: _Text = ""
    lifecycle_action_token: _Text = ""


class _Completion(_Heartbeat, rename="pascal", kw_only=True):
    lifecycle_action_result: _Result


class _Sync(msgspec.Struct):
    runner: Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_CHARACTERS_MAX)]
    ended: list[_Text] = []


class _Explain(msgspec.Struct):
    subject: _Text = ""
    cluster: _Text = ""


class _Policy(msgspec.Struct):
    cluster: _Text = ""
    preset: _Text = ""
    switches: dict[str, Any] = {}


class _ForceStop(msgspec.Struct):
    task: _Text
    cluster: _Text = ""
    reason: _Text = ""


_SHAPES: dict[str, type[msgspec.Struct]] = {
    "CreateAutoScalingGroup": _NewGroup,
    "UpdateAutoScalingGroup": _Settings,
    "SetDesiredCapacity": _Settings,
    "DeleteAutoScalingGroup": _DeleteGroup,
    "DescribeAutoScalingGroups": _DescribeGroups,
    "TerminateInstanceInAutoScalingGroup": _OfMachine,
    "SetInstanceProtection": _Protection,
    "SetInstanceHealth": _OfMachine,
    "CompleteLifecycleAction": _Completion,
    "RecordLifecycleActionHeartbeat": _Heartbeat,
    SYNC_MACHINES: _Sync,
    EXPLAIN_PLACEMENT: _Explain,
    FORCE_STOP_TASK: _ForceStop,
    GET_POLICY: _Policy,
    PUT_POLICY: _Policy,
}
"""Agents' reports are read by `agents/reports`."""


def check_request(operation: str, body: dict[str, Any]) -> dict[str, Any]:
    """The request with its nulls left out, and 2 where a whole number came as 2.0; unknown members are kept.

    Raises:
        InvalidParameterException: one sentence about the first member that is not right.
    """
    request = {member: value for member, value in body.items() if value is not None}
    if operation not in _SHAPES:
        return request
    try:
        read = msgspec.convert(request, _SHAPES[operation])
    except msgspec.ValidationError as error:
        what, _, where = str(error).replace("`", "").partition(" - at ")
        raise InvalidParameterException(f"{operation} can not be read: {what}{_at(where)}.") from None
    given = [field for field in msgspec.structs.fields(read) if field.encode_name in request]
    return request | {field.encode_name: msgspec.to_builtins(getattr(read, field.name)) for field in given}


def _at(path: str) -> str:
    return f" ({path.removeprefix('$.')})" if path else ""
