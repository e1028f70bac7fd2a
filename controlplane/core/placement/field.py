"""The field: a cluster's instances as arrays, for one placement request. It knows what fits, not what is better."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from controlplane.core.model import Instance, Task
from controlplane.core.names import Dice
from controlplane.core.placement import explain
from controlplane.core.placement.explain import Refusal
from controlplane.core.view import View
from wire.resources import Amounts, Room
from wire.status import InstanceStatus

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""Constants of splitmix64, which makes one draw of the dice into a rank for every instance."""


class Field:
    """Instances of a cluster in the order of their registration; all arrays run parallel to `instances`."""

    def __init__(self, instances: list[Instance], rooms: list[Room], want: Amounts) -> None:
        self.instances = instances
        self.want = want
        self.cpu: Integers = np.array([room.cpu for room in rooms], dtype=np.int64)
        self.memory: Integers = np.array([room.memory_mib for room in rooms], dtype=np.int64)
        self.taken: Integers = np.zeros(len(instances), dtype=np.int64)
        """Copies of this request that each instance has taken so far."""
        self.open: Mask = np.array([is_eligible(instance) for instance in instances], dtype=bool)
        self.counts: Integers = np.zeros(len(instances), dtype=np.int64)
        """Live tasks of the request's group on each instance, those taken so far included."""
        self.single = False
        """Whether an instance takes one copy at most: fixed host ports, distinctInstance."""
        self.barred: dict[str, str] = {}
        """Reasons of instances (ARN) that a rule other than their room keeps out."""
        if want.gpus:
            self.open[:] = False  # see Amounts.gpus
        if want.ports or want.ports_udp:
            self.single = True
            self.open &= np.array([_ports_free(room, want) for room in rooms], dtype=bool)

    def caps(self, limit: int) -> Integers:
        """How many copies each instance takes, at most `limit`."""
        caps = np.full(len(self.instances), limit, dtype=np.int64)
        if self.want.cpu:
            caps = np.minimum(caps, self.cpu // self.want.cpu)
        if self.want.memory_mib:
            caps = np.minimum(caps, self.memory // self.want.memory_mib)
        # An instance that is over-committed (it came back smaller) takes nothing, not even a task that costs nothing.
        caps = np.where((self.cpu < 0) | (self.memory < 0), 0, caps)
        if self.single:
            caps = np.minimum(caps, 1 - self.taken)
        return np.where(self.open, np.maximum(caps, 0), 0)

    def take(self, chosen: Integers) -> None:
        """Copies go to these indexes."""
        copies = np.bincount(chosen, minlength=len(self.instances))
        self.cpu -= copies * self.want.cpu
        self.memory -= copies * self.want.memory_mib
        self.taken += copies
        self.counts += copies

    def bar(self, arns: frozenset[str], reason: str) -> None:
        """Keep these instances out, for `reason`."""
        self.barred.update(dict.fromkeys(arns, reason))
        self.open &= np.array([instance.arn not in arns for instance in self.instances], dtype=bool)

    def refusals(self, rooms: list[Room]) -> Iterator[Refusal]:
        """One for each instance that does not take the next copy; `rooms` are the rooms before this request."""
        for index, instance in enumerate(self.instances):
            room = rooms[index]
            for _ in range(int(self.taken[index])):
                room = room.minus(self.want)
            refusal = refused(instance, room, self.want)
            if refusal is None and (instance.arn in self.barred or (self.single and self.taken[index])):
                refusal = Refusal(instance.arn, self.barred.get(instance.arn, explain.DISTINCT))
            if refusal is not None:
                yield refusal


def is_eligible(instance: Instance) -> bool:
    """Whether an instance takes tasks at all: ACTIVE (not DRAINING), and its agent is there."""
    return instance.status is InstanceStatus.ACTIVE and instance.agent_connected


def refused(instance: Instance, room: Room, want: Amounts) -> Refusal | None:
    """Why `instance` does not take one more task; None where it does."""
    if not is_eligible(instance):
        return Refusal(instance.arn, explain.AGENT)
    return explain.lacking(instance.arn, room, want)


def believed(view: View, instance: Instance) -> Room:
    """What the placement ledger has left."""
    return view.free(instance.arn)


def doubted(view: View, instance: Instance) -> Room:
    """The same less the room of tasks that are still stopping though their holds have ended: it may be taken yet."""
    room = view.free(instance.arn)
    for task in view.tasks_on(instance.arn):
        if is_phantom(task):
            room = room.minus(task.amounts)
    return room


def is_phantom(task: Task) -> bool:
    """Whether a task may still hold its host's room while the placement ledger shows it as free."""
    return task.is_stopping and task.hold is None


def ranks(count: int, dice: Dice) -> Integers:
    """A random order of `count` instances, from one draw."""
    with np.errstate(over="ignore"):
        mixed = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_MIX[0]) + np.uint64(dice.getrandbits(64))
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(_MIX[1])
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(_MIX[2])
        mixed ^= mixed >> np.uint64(31)
    order: Integers = np.empty(count, dtype=np.int64)
    order[np.argsort(mixed, kind="stable")] = np.arange(count)
    return order


def _ports_free(room: Room, want: Amounts) -> bool:
    return not (want.ports & room.ports_taken or want.ports_udp & room.ports_udp_taken)
