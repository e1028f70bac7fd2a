"""How a machine leaves: hooks and draining hold it up, then it is ended, and what was still on it is told.

Draining is ECS's own hook (managed draining): the instance is DRAINING, its service tasks are moved by their services'
rules, its standalone tasks are left alone, and after 48 hours it goes all the same.
Source: ECS Developer Guide, "Safely stop workloads on EC2 instances" (managed instance draining);
UpdateContainerInstancesState; DeregisterContainerInstance (a terminated instance with its agent connected).
"""

import msgspec

from controlplane.core.capacity import fleet
from controlplane.core.capacity.attachment import instance_of, terms_of_group
from controlplane.core.capacity.model import Group, Machine, MachineState, Transition, Waiting
from controlplane.core.capacity.occupancy import left_behind, occupants
from controlplane.core.capacity.pace import Pace
from controlplane.core.instances import lose, set_status
from controlplane.core.model import Instance
from controlplane.core.names import Names
from controlplane.core.view import Draft
from wire.arn import short_id
from wire.status import InstanceStatus, StopCode
from wire.story import Kind

DRAINING = "ecs-managed-draining"
"""Name of ECS's own hook."""
DRAINING_SECONDS_MAX = 48 * 3600.0
"""ECS Developer Guide, managed instance draining."""


def advance(draft: Draft, group: Group, machine: Machine, *, names: Names, pace: Pace) -> float | None:
    """Bring a machine that is going as far as it can go. Returns when to look again (epoch seconds)."""
    if machine.state is MachineState.TERMINATING:
        machine = _begin(draft, group, machine, names, pace)
    if machine.state is not MachineState.TERMINATING_WAIT:
        return None
    timed = fleet.time_out(_drained(draft, group, machine), group.hooks, draft.now)
    if all(wait.result for wait in timed.waits):
        _proceed(draft, group, timed)
        return None
    if timed.waits != machine.waits:
        draft.put(timed)
    return min(wait.until for wait in timed.waits if not wait.result)


def observe_ended(draft: Draft, group: Group, machine: Machine) -> None:
    """The machine is gone: its instance is INACTIVE, its tasks are lost."""
    if machine.state is MachineState.TERMINATED:
        return
    instance = instance_of(draft, machine, group.cluster)
    if instance is not None:
        if machine.state is not MachineState.TERMINATING_PROCEED:
            _tell_taken(draft, instance, machine.why or "it ended by itself")
        reason = f"Host EC2 (instance {machine.id}) terminated."
        lose(draft, instance, InstanceStatus.INACTIVE, stop_code=StopCode.TERMINATION_NOTICE, reason=reason)
    fleet.move(draft, msgspec.structs.replace(machine, waits=()), MachineState.TERMINATED)


def _begin(draft: Draft, group: Group, machine: Machine, names: Names, pace: Pace) -> Machine:
    waits = fleet.waits_for(group.hooks, Transition.TERMINATING, now=draft.now, names=names, pace=pace)
    each = terms_of_group(draft, group.name)
    instance = instance_of(draft, machine, group.cluster)
    if each is not None and each.drains and instance is not None and machine.is_healthy:
        if instance.status is InstanceStatus.ACTIVE:
            set_status(draft, instance, InstanceStatus.DRAINING)
        waits += (Waiting(hook=DRAINING, until=draft.now + pace.wall(DRAINING_SECONDS_MAX)),)
    if waits:
        return fleet.move(draft, machine, MachineState.TERMINATING_WAIT, waits=waits)
    return _proceed(draft, group, machine)


def _drained(draft: Draft, group: Group, machine: Machine) -> Machine:
    """The machine with its draining done, where nothing is on it any more."""
    if not any(wait.hook == DRAINING and not wait.result for wait in machine.waits):
        return machine
    instance = instance_of(draft, machine, group.cluster)
    if instance is not None and occupants(draft, instance):
        return machine
    waits = tuple(
        msgspec.structs.replace(wait, result="CONTINUE") if wait.hook == DRAINING else wait for wait in machine.waits
    )
    return msgspec.structs.replace(machine, waits=waits)


def _proceed(draft: Draft, group: Group, machine: Machine) -> Machine:
    """Nothing holds it up. One that nobody runs is gone at once."""
    instance = instance_of(draft, machine, group.cluster)
    if instance is not None:
        _tell_taken(draft, instance, machine.why)
    going = fleet.move(draft, msgspec.structs.replace(machine, waits=()), MachineState.TERMINATING_PROCEED)
    if not machine.runner:
        observe_ended(draft, group, going)
    return going


def _tell_taken(draft: Draft, instance: Instance, why: str) -> None:
    """Count what goes down with an instance: tasks told to stop that are still at work, and all others."""
    lost = left_behind(draft, instance)
    draft.tell(
        Kind.INSTANCE_TAKEN,
        instance.arn,
        why=why,
        killed_under_drainer=[short_id(task.arn) for task in lost if task.is_stopping],
        killed=[short_id(task.arn) for task in lost if not task.is_stopping],
    )
