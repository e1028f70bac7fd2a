"""The machines of a group: launched, replaced, taken away, one step at a time, until they are what the group wants.

Level-driven: a look brings every machine as far as it can go now, and says when time alone brings the next step. A
machine that goes is held up by its hooks and by the draining of its tasks; nothing else holds it up.
Source: EC2 Auto Scaling User Guide, "Lifecycle hooks", "Termination policies" (zone with most, then oldest), "Instance
scale-in protection", "Health checks" (a replacement ignores protection).
"""

from collections import Counter

import msgspec

from controlplane.core.capacity import leaving
from controlplane.core.capacity.attachment import machines
from controlplane.core.capacity.model import Group, Hook, Machine, MachineState, Transition, Waiting
from controlplane.core.capacity.pace import Pace
from controlplane.core.names import Names
from controlplane.core.view import Draft
from wire.story import Kind

MACHINES_MAX = 200
"""Of one group; the laptop has its limits (ours)."""
ACTION_SECONDS_MAX = 48 * 3600.0
HEARTBEATS_MAX = 100
KEPT_SECONDS = 3600.0
"""A machine that is gone is shown for so long."""


def look(draft: Draft, group: str, *, names: Names, pace: Pace) -> float | None:
    """Bring the machines of `group` (name) as far as they can go. Returns when to look again (epoch seconds)."""
    record = draft.record(Group, group)
    if record is None:
        return None
    draft.expect(record)
    for machine in machines(draft, group):
        if not machine.is_healthy and not machine.state.is_going:
            condemn(draft, machine, "it is unhealthy")
    again = [_boot(draft, record, machine, names, pace) for machine in machines(draft, group)]
    _fit(draft, record, names)
    going = [machine for machine in machines(draft, group) if machine.state.is_going]
    again += [leaving.advance(draft, record, machine, names=names, pace=pace) for machine in going]
    if record.is_ending and not machines(draft, group):
        _end(draft, record)
    return min((at for at in again if at is not None), default=None)


def condemn(draft: Draft, machine: Machine, why: str) -> Machine:
    """This machine goes. A no-op where it goes already."""
    return machine if machine.state.is_going else move(draft, machine, MachineState.TERMINATING, why=why)


def move(
    draft: Draft, machine: Machine, state: MachineState, *, why: str = "", waits: tuple[Waiting, ...] = ()
) -> Machine:
    """The machine in another state, and the line that tells of it."""
    moved = msgspec.structs.replace(
        machine, state=state, changed_at=draft.now, why=why or machine.why, waits=waits or machine.waits
    )
    draft.put(moved)
    draft.tell(
        Kind.MACHINE_STATE,
        machine.id,
        group=machine.group,
        state=state,
        instance_type=machine.instance_type,
        zone=machine.zone,
        why=moved.why,
    )
    return moved


def hook_seconds_max(hook: Hook) -> float:
    """How long a machine waits for a hook at most, whoever prolongs it.

    Source: Auto Scaling API reference, `LifecycleHook.GlobalTimeout`.
    """
    return min(ACTION_SECONDS_MAX, HEARTBEATS_MAX * hook.heartbeat_seconds)


def waits_for(
    hooks: tuple[Hook, ...], transition: Transition, *, now: float, names: Names, pace: Pace
) -> tuple[Waiting, ...]:
    """What a machine waits for at a transition."""
    return tuple(
        Waiting(hook=hook.name, until=now + pace.wall(hook.heartbeat_seconds), token=names.uuid())
        for hook in hooks
        if hook.transition is transition
    )


def time_out(machine: Machine, hooks: tuple[Hook, ...], now: float) -> Machine:
    """The machine with the default results of the hooks whose heartbeat is over."""
    defaults = {hook.name: hook.default_result for hook in hooks}
    waits = tuple(
        msgspec.structs.replace(wait, result=defaults.get(wait.hook, "CONTINUE"))
        if not wait.result and wait.until <= now
        else wait
        for wait in machine.waits
    )
    return msgspec.structs.replace(machine, waits=waits)


def _boot(draft: Draft, group: Group, machine: Machine, names: Names, pace: Pace) -> float | None:
    if machine.state is MachineState.PENDING:
        booted_at = machine.launched_at + pace.wall(group.boot_seconds)
        if draft.now < booted_at:
            return booted_at
        waits = waits_for(group.hooks, Transition.LAUNCHING, now=draft.now, names=names, pace=pace)
        state = MachineState.PENDING_WAIT if waits else MachineState.IN_SERVICE
        machine = move(draft, machine, state, waits=waits)
    if machine.state is not MachineState.PENDING_WAIT:
        return None
    timed = time_out(machine, group.hooks, draft.now)
    if any(wait.result == "ABANDON" for wait in timed.waits):
        condemn(draft, msgspec.structs.replace(timed, waits=()), "its launch was abandoned")
    elif all(wait.result for wait in timed.waits):
        move(draft, msgspec.structs.replace(timed, waits=()), MachineState.IN_SERVICE)
    else:
        return min(wait.until for wait in timed.waits if not wait.result)
    return None


def _fit(draft: Draft, group: Group, names: Names) -> None:
    """As many machines as are wanted."""
    alive = [machine for machine in machines(draft, group.name) if not machine.state.is_going]
    for nth in range(min(group.desired, MACHINES_MAX) - len(alive)):
        alive.append(_launch(draft, group, alive, nth=nth, names=names))
    surplus = len(alive) - group.desired
    spare = [machine for machine in alive if not machine.is_protected or group.is_ending]
    while surplus > 0 and spare:
        zones = Counter(machine.zone for machine in alive)
        victim = min(spare, key=lambda m: (-zones[m.zone], m.launched_at, m.id))
        condemn(draft, victim, "the group is deleted" if group.is_ending else "the group is larger than desired")
        alive.remove(victim)
        spare.remove(victim)
        surplus -= 1


def _launch(draft: Draft, group: Group, alive: list[Machine], *, nth: int, names: Names) -> Machine:
    zones = Counter(machine.zone for machine in alive)
    types = Counter(machine.instance_type for machine in alive)
    machine = Machine(
        id=names.ec2_instance(),
        group=group.name,
        instance_type=min(group.instance_types, key=lambda name: types[name]),
        zone=min(group.zones, key=lambda name: zones[name]),
        launched_at=draft.now + nth * 1e-6,  # the order of their launch is the order of their age
        changed_at=draft.now,
        is_protected=group.protects_new,
    )
    return move(draft, machine, MachineState.PENDING, why="the group is smaller than desired")


def _end(draft: Draft, group: Group) -> None:
    draft.delete(group)
    draft.tell(Kind.GROUP, group.name, status="deleted")


def forget(draft: Draft, limit: int) -> float | None:
    """Drop the records of machines that went long ago, at most `limit`."""
    old = [
        machine
        for machine in draft.records(Machine)
        if machine.state is MachineState.TERMINATED and draft.now - machine.changed_at >= KEPT_SECONDS
    ]
    for machine in old[:limit]:
        draft.delete(machine)
    return None
