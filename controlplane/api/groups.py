"""Instance groups: Auto Scaling's operations for what runs on this machine, in JSON on the ECS port, and the runner's.

Names, members and rules are EC2 Auto Scaling's; the protocol is not (theirs is XML). Source: EC2 Auto Scaling API
reference. What a group's machines do is `core/capacity/fleet`'s.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from controlplane.api.call import Answer, Call
from controlplane.api.clusters import DEFAULT_CLUSTER, cluster_of
from controlplane.core.capacity import fleet, leaving
from controlplane.core.capacity.attachment import group_name, instance_of, machines, terms_of_group
from controlplane.core.capacity.model import (
    HEARTBEAT_SECONDS,
    Group,
    Hook,
    Machine,
    MachineState,
    Transition,
    Waiting,
)
from controlplane.core.view import Draft, View
from wire.errors import AwsError, InvalidParameterException
from wire.instance_types import INSTANCE_TYPES, nearest
from wire.story import Kind

GROUPS_MAX = 50
"""Ours: all of them live on one machine."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_ZONE = re.compile(r"[a-z0-9-]{1,64}")
_SETTABLE = {
    "MinSize": "minimum",
    "MaxSize": "maximum",
    "DesiredCapacity": "desired",
    "BootSeconds": "boot_seconds",
    "NewInstancesProtectedFromScaleIn": "protects_new",
    "Command": "command",
}


def create_group(draft: Draft, call: Call) -> Answer:
    """CreateAutoScalingGroup. `InstanceTypes`, `BootSeconds` and `Command` are ours, in place of a launch template."""
    name = call.text("AutoScalingGroupName")
    if not _NAME.fullmatch(name):
        raise InvalidParameterException("A group's name has 1 to 255 letters, digits, hyphens and underscores.")
    if draft.record(Group, name) is not None:
        raise AwsError(f"An instance group named {name} exists already.", code="AlreadyExistsFault")
    if len(list(draft.records(Group))) >= GROUPS_MAX:
        raise AwsError(f"There are {GROUPS_MAX} groups already.", code="LimitExceededException")
    cluster = cluster_of(draft, call).name if call.text("cluster") else DEFAULT_CLUSTER
    arns = call.arns
    group = Group(
        name=name,
        arn=f"arn:aws:autoscaling:{arns.region}:{arns.account}:autoScalingGroup:{call.names.uuid()}:"
        f"autoScalingGroupName/{name}",
        cluster=cluster,
        maximum=0,
        instance_types=_types(call.body.get("InstanceTypes") or ["r5.large"]),
        zones=_zones(call.body.get("AvailabilityZones") or [f"{arns.region}a"]),
        hooks=_hooks(call.body.get("LifecycleHookSpecificationList", ())),
        created_at=draft.now,
    )
    group = _with(group, {"DesiredCapacity": call.body.get("MinSize", 0), **call.body})
    _put(draft, group, "created")
    return {"AutoScalingGroup": render(draft, group)}


def update_group(draft: Draft, call: Call) -> Answer:
    """UpdateAutoScalingGroup and SetDesiredCapacity: members that are not given stay."""
    group = _existing(draft, call)
    changed = _with(group, call.body)
    if "LifecycleHookSpecificationList" in call.body:
        changed = msgspec.structs.replace(changed, hooks=_hooks(call.body["LifecycleHookSpecificationList"]))
    if changed != group:
        _put(draft, changed, "changed")
    return {"AutoScalingGroup": render(draft, changed)}


def delete_group(draft: Draft, call: Call) -> Answer:
    """DeleteAutoScalingGroup. With `ForceDelete` its machines go first, by their hooks; without it must be empty."""
    group = _existing(draft, call)
    each = terms_of_group(draft, group.name)
    if each is not None:
        raise AwsError(
            f"The group {group.name} is used by the capacity provider {each.provider}; delete that first.",
            code="ResourceInUseFault",
        )
    if machines(draft, group.name) and not call.body.get("ForceDelete", False):
        raise AwsError(f"The group {group.name} has instances; ForceDelete takes them away.", code="ResourceInUseFault")
    _put(draft, msgspec.structs.replace(group, is_ending=True, desired=0, minimum=0), "is deleted")
    return {}


def describe_groups(view: View, call: Call) -> Answer:
    """DescribeAutoScalingGroups: those that are named, or all."""
    wanted = set(call.body.get("AutoScalingGroupNames", ()))
    groups = sorted(view.records(Group), key=lambda group: group.name)
    return {"AutoScalingGroups": [render(view, group) for group in groups if not wanted or group.name in wanted]}


def terminate_machine(draft: Draft, call: Call) -> Answer:
    """TerminateInstanceInAutoScalingGroup: this one goes, whether protected or not."""
    machine, group = _member(draft, call)
    if call.body.get("ShouldDecrementDesiredCapacity", False):
        if group.desired <= group.minimum:
            raise InvalidParameterException(f"The group {group.name} is at its minimum of {group.minimum}.")
        draft.put(msgspec.structs.replace(group, desired=group.desired - 1))
    going = fleet.condemn(draft, machine, "somebody asked for it")
    return {"Activity": {"AutoScalingGroupName": group.name, "Instance": _render(draft, group, going)}}


def set_protection(draft: Draft, call: Call) -> Answer:
    """SetInstanceProtection."""
    for reference in call.body.get("InstanceIds", ()):
        machine, group = _member(draft, call, reference)
        is_protected = bool(call.body.get("ProtectedFromScaleIn", False))
        if machine.is_protected != is_protected:
            draft.put(msgspec.structs.replace(machine, is_protected=is_protected))
            draft.tell(Kind.MACHINE_PROTECTED, machine.id, group=group.name, protected=is_protected)
    return {}


def set_health(draft: Draft, call: Call) -> Answer:
    """SetInstanceHealth: an Unhealthy one is replaced, whether protected or not."""
    machine, _ = _member(draft, call)
    status = call.text("HealthStatus")
    if status not in ("Healthy", "Unhealthy"):
        raise InvalidParameterException("HealthStatus should be one of [Healthy,Unhealthy]")
    if machine.is_healthy != (status == "Healthy"):
        draft.put(msgspec.structs.replace(machine, is_healthy=status == "Healthy"))
    return {}


def complete_action(draft: Draft, call: Call) -> Answer:
    """CompleteLifecycleAction: the machine goes on, or is given up."""
    machine, _, wait = _waiting(draft, call)
    return _put_wait(draft, machine, wait, result=call.body["LifecycleActionResult"])


def record_heartbeat(draft: Draft, call: Call) -> Answer:
    """RecordLifecycleActionHeartbeat: the wait begins anew; as a whole it has its limit."""
    machine, hook, wait = _waiting(draft, call)
    pace = call.account.pace
    latest = machine.changed_at + pace.wall(fleet.hook_seconds_max(hook))
    until = min(draft.now + pace.wall(hook.heartbeat_seconds), latest)
    return _put_wait(draft, machine, wait, until=until)


def _waiting(draft: Draft, call: Call) -> tuple[Machine, Hook, Waiting]:
    machine, group = _member(draft, call)
    hook = next((hook for hook in group.hooks if hook.name == call.text("LifecycleHookName")), None)
    wait = next((w for w in machine.waits if w.hook == call.text("LifecycleHookName") and not w.result), None)
    token = call.text("LifecycleActionToken")
    if hook is None or wait is None or (token and token != wait.token):
        raise InvalidParameterException(f"No active lifecycle action found with instance id {machine.id}.")
    return machine, hook, wait


def _put_wait(draft: Draft, machine: Machine, wait: Waiting, **changes: Any) -> Answer:
    changed = msgspec.structs.replace(wait, **changes)
    waits = tuple(changed if each is wait else each for each in machine.waits)
    draft.put(msgspec.structs.replace(machine, waits=waits))
    return {}


def sync_machines(draft: Draft, call: Call) -> Answer:
    """SyncMachines, ours: a runner says which machines have ended, and is told which it is to have."""
    runner = call.text("runner")
    for reference in call.body.get("ended", ()):
        machine = draft.record(Machine, reference)
        group = draft.record(Group, machine.group) if machine is not None else None
        if machine is not None and group is not None and machine.runner == runner:
            leaving.observe_ended(draft, group, machine)
    answer = []
    for machine in sorted(draft.records(Machine), key=lambda m: m.launched_at):
        group = draft.record(Group, machine.group)
        if group is None or machine.runner not in ("", runner):
            continue
        if machine.state.is_on:
            if not machine.runner:
                draft.put(msgspec.structs.replace(machine, runner=runner))
            answer.append(_order(draft, group, machine, is_on=True))
        elif machine.state is MachineState.TERMINATING_PROCEED and machine.runner:
            answer.append(_order(draft, group, machine, is_on=False))
    return {"machines": answer}


def render(view: View, group: Group) -> Answer:
    """A group in Auto Scaling's shape, and what is ours beside it."""
    each = terms_of_group(view, group.name)
    return {
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        "cluster": group.cluster,
        "capacityProvider": each.provider if each else "",
        "MinSize": group.minimum,
        "MaxSize": group.maximum,
        "DesiredCapacity": group.desired,
        "InstanceTypes": list(group.instance_types),
        "AvailabilityZones": list(group.zones),
        "BootSeconds": group.boot_seconds,
        "NewInstancesProtectedFromScaleIn": group.protects_new,
        "Command": group.command,
        "Status": "Delete in progress" if group.is_ending else "",
        "CreatedTime": group.created_at,
        "LifecycleHookSpecificationList": [_render_hook(hook) for hook in group.hooks],
        "Instances": [_render(view, group, machine) for machine in machines(view, group.name)],
    }


def _render(view: View, group: Group, machine: Machine) -> Answer:
    instance = instance_of(view, machine, group.cluster)
    return {
        "InstanceId": machine.id,
        "InstanceType": machine.instance_type,
        "AvailabilityZone": machine.zone,
        "LifecycleState": machine.state,
        "HealthStatus": "Healthy" if machine.is_healthy else "Unhealthy",
        "ProtectedFromScaleIn": machine.is_protected,
        "containerInstanceArn": instance.arn if instance else "",
        "waitsFor": [wait.hook for wait in machine.waits if not wait.result],
        "why": machine.why,
    }


def _render_hook(hook: Hook) -> Answer:
    return {
        "LifecycleHookName": hook.name,
        "LifecycleTransition": f"autoscaling:EC2_INSTANCE_{hook.transition.upper()}",
        "HeartbeatTimeout": hook.heartbeat_seconds,
        "DefaultResult": hook.default_result,
        "Webhook": hook.webhook,
    }


def _order(view: View, group: Group, machine: Machine, *, is_on: bool) -> dict[str, Any]:
    instance = instance_of(view, machine, group.cluster)
    return {
        "id": machine.id,
        "group": group.name,
        "cluster": group.cluster,
        "instanceType": machine.instance_type,
        "zone": machine.zone,
        "command": group.command,
        "containerInstanceArn": instance.arn if instance else "",
        "isOn": is_on,
    }


def _with(group: Group, body: dict[str, Any]) -> Group:
    members = {name: body[member] for member, name in _SETTABLE.items() if member in body}
    changed = msgspec.structs.replace(group, **members)
    if changed.minimum > changed.maximum:
        raise InvalidParameterException("MinSize <= MaxSize should hold.")
    if "DesiredCapacity" not in body:  # the bounds move it along
        within = min(max(changed.desired, changed.minimum), changed.maximum)
        changed = msgspec.structs.replace(changed, desired=within)
    if not changed.minimum <= changed.desired <= changed.maximum:
        raise InvalidParameterException(
            f"DesiredCapacity should be between MinSize {changed.minimum} and MaxSize {changed.maximum}."
        )
    return changed


def _types(names: list[str]) -> tuple[str, ...]:
    for name in names:
        if name not in INSTANCE_TYPES:
            raise InvalidParameterException(
                f"{name} is no instance type that is known here; the nearest are {', '.join(nearest(name))}."
            )
    return tuple(names)


def _zones(names: list[str]) -> tuple[str, ...]:
    if not all(_ZONE.fullmatch(name) for name in names):
        raise InvalidParameterException("AvailabilityZones should be names such as us-east-1a.")
    return tuple(names)


def _hooks(shapes: Sequence[Answer]) -> tuple[Hook, ...]:
    hooks = tuple(
        Hook(
            name=shape["LifecycleHookName"],
            transition=Transition(shape["LifecycleTransition"].rpartition("_")[2].lower()),
            heartbeat_seconds=shape.get("HeartbeatTimeout", HEARTBEAT_SECONDS),
            default_result=shape.get("DefaultResult", "ABANDON"),
            webhook=shape.get("Webhook", ""),
        )
        for shape in shapes
    )
    if len({hook.name for hook in hooks}) < len(hooks):
        raise InvalidParameterException("The lifecycle hooks of a group have a name each.")
    return hooks


def _put(draft: Draft, group: Group, status: str) -> None:
    draft.put(msgspec.structs.replace(group, cause=draft.cause))
    draft.tell(
        Kind.GROUP,
        group.name,
        status=status,
        desired=group.desired,
        minimum=group.minimum,
        maximum=group.maximum,
    )


def _existing(view: View, call: Call) -> Group:
    name = group_name(call.text("AutoScalingGroupName"))
    group = view.record(Group, name)
    if group is None or group.is_ending:
        known = ", ".join(sorted(each.name for each in view.records(Group))) or "none"
        raise InvalidParameterException(f"There is no instance group named {name!r}; there are: {known}.")
    return group


def _member(draft: Draft, call: Call, reference: str = "") -> tuple[Machine, Group]:
    reference = reference or call.text("InstanceId")
    machine = draft.record(Machine, reference)
    group = draft.record(Group, machine.group) if machine is not None else None
    if machine is None or group is None or machine.state is MachineState.TERMINATED:
        raise InvalidParameterException(f"No instance {reference!r} is a member of a group.")
    return machine, group
