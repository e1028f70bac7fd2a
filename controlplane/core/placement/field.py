"""The field: a cluster's instances as arrays, for one placement request. It knows what fits, not what is better.

The looks at an instance stand in AWS's order: its agent, the room, required attributes, then the constraints; whoever
is refused gets the first reason. Source: ECS Developer Guide, "Task placement".
"""

from collections.abc import Callable, Iterator
from functools import partial

import msgspec
import numpy as np
import numpy.typing as npt

from controlplane.core.model import Instance, Task
from controlplane.core.placement import explain
from controlplane.core.placement.constraints import expressions, is_distinct
from controlplane.core.placement.explain import Refusal
from controlplane.core.placement.expression import Subject
from controlplane.core.placement.query import OF_TASKS, facts_of, matches, subjects
from controlplane.core.placement.request import Attribute, Caution, Request
from controlplane.core.placement.strategies import Spread
from controlplane.core.roster import Integers
from controlplane.core.view import View
from wire.resources import Amounts, Room
from wire.status import InstanceStatus

Mask = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]

_LOOKED_AT = frozenset({InstanceStatus.ACTIVE, InstanceStatus.DRAINING})
_MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""Constants of splitmix64."""


class Rule(msgspec.Struct, frozen=True):
    """A look that an instance passes or not, besides its room; `reason` is AWS's, `lacks` says it in words."""

    passes: Mask
    reason: str
    lacks: Callable[[Instance], str]


class Field:
    """Instances of a cluster in the order of their registration; all arrays run parallel to `instances`."""

    def __init__(self, view: View, request: Request, caution: Caution = Caution.NONE) -> None:
        roster = view.roster(request.cluster)
        self._view = view
        self._roster = roster
        self._room_of = believed if caution is Caution.NONE else doubted
        self.instances = roster.instances
        self.want = request.amounts
        self.cpu: Integers = roster.cpu.copy()
        self.memory: Integers = roster.memory.copy()
        self.gpus: Integers = roster.gpus.copy()
        if caution is not Caution.NONE:
            self.cpu -= self._column("phantom cpu", lambda i: sum(t.amounts.cpu for t in phantoms(view, i)))
            self.memory -= self._column(
                "phantom memory", lambda i: sum(t.amounts.memory_mib for t in phantoms(view, i))
            )
            self.gpus -= self._column("phantom gpus", lambda i: sum(t.amounts.gpus for t in phantoms(view, i)))
        self.counts: Integers = roster.counts(
            request.group, lambda: view.tasks_in(request.cluster, request.group)
        ).copy()
        """Live tasks of the request's group on each instance, those taken so far included."""
        self.taken: Integers = np.zeros(len(self.instances), dtype=np.int64)
        """Copies of this request that each instance has taken so far."""
        distinct = is_distinct(request.constraints)
        self.single = distinct or bool(self.want.ports or self.want.ports_udp)
        """Whether an instance takes one copy at most: fixed host ports, distinctInstance."""
        self.looked_at: Mask = self._looked_at(request.avoid, request.only)
        self._group = request.group
        self._expressions = expressions(request.constraints)
        self.asks_about_copies = any(Subject.TASK_GROUP in subjects(e) for e in self._expressions.values())
        """Whether a copy can change what a constraint says of its instance; then they are placed one by one."""
        self.asks_about_tasks = any(subjects(e) & OF_TASKS for e in self._expressions.values())
        """Whether any task can."""
        self.rules = list(self._rules(request))
        self.admitted: Mask = self.looked_at & (roster.column("eligible", is_eligible) > 0)
        """Who passes every look at the instance itself: its agent, attributes, `memberOf`."""
        for rule in self.rules:
            self.admitted &= rule.passes
        self.open: Mask = self.admitted & self._ports_free()
        if distinct:
            self.rules.append(self._distinct())
            self.open &= self.rules[-1].passes
        self.fits: Mask = self.caps(1) > 0
        """Who takes the next copy; kept up by `take_one`."""

    def _column(self, key: object, value_of: Callable[[Instance], int]) -> Integers:
        """A column that changes with the tasks."""
        return self._roster.column(key, value_of, of_tasks=True)

    def _looked_at(self, avoid: frozenset[str], only: frozenset[str] | None) -> Mask:
        mask: Mask = self._roster.column("looked at", lambda instance: instance.status in _LOOKED_AT) > 0
        if only is not None:
            inside = np.zeros_like(mask)
            inside[[self._roster.index_of[arn] for arn in only & self._roster.index_of.keys()]] = True
            mask &= inside
        for arn in avoid & self._roster.index_of.keys():
            mask[self._roster.index_of[arn]] = False
        return mask

    def _rules(self, request: Request) -> Iterator[Rule]:
        view, required = self._view, request.required
        if required:
            having = self._roster.column(("has", required), lambda instance: not missing(instance, required))
            yield Rule(having > 0, explain.ATTRIBUTE, lambda instance: explain.attribute(missing(instance, required)))
        for text, expression in self._expressions.items():
            inside = self._roster.column(
                ("member of", text),
                partial(lambda expression, i: matches(expression, facts_of(view, i)), expression),
                of_tasks=bool(subjects(expression) & OF_TASKS),
            )
            yield Rule(inside > 0, explain.MEMBER_OF, partial(lambda text, _: explain.member_of(text), text))

    def _distinct(self) -> Rule:
        return Rule(self.counts == 0, explain.DISTINCT, lambda _: "an instance without a task of the group")

    def _ports_free(self) -> Mask | bool:
        want, view, room_of = self.want, self._view, self._room_of
        if not want.ports and not want.ports_udp:
            return True
        key = ("ports", room_of.__name__, want.ports, want.ports_udp)
        return self._column(key, lambda instance: _has_ports(room_of(view, instance), want)) > 0

    def domains(self, spread: Spread) -> Integers:
        """Domain of each instance under `spread`, as a number."""
        if spread.attribute is None:
            return np.arange(len(self.instances), dtype=np.int64)
        return self._roster.domains(spread.attribute)

    def caps(self, limit: int) -> Integers:
        """How many copies each instance takes, at most `limit`."""
        caps = np.full(len(self.instances), limit, dtype=np.int64)
        for free, wanted in (
            (self.cpu, self.want.cpu),
            (self.memory, self.want.memory_mib),
            (self.gpus, self.want.gpus),
        ):
            if wanted:
                caps = np.minimum(caps, free // wanted)
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
        self.gpus -= copies * self.want.gpus
        self.taken += copies
        self.counts += copies
        for index in np.flatnonzero(copies).tolist() if self.asks_about_copies else ():
            self.open[index] &= self._still_inside(index)
        self.fits = self.caps(1) > 0

    def take_one(self, index: int) -> None:
        """One copy goes to `index`, which fits."""
        want = self.want
        self.cpu[index] -= want.cpu
        self.memory[index] -= want.memory_mib
        self.gpus[index] -= want.gpus
        self.taken[index] += 1
        self.counts[index] += 1
        room = self.cpu[index] >= want.cpu and self.memory[index] >= want.memory_mib and self.gpus[index] >= want.gpus
        self.open[index] &= self._still_inside(index)
        self.fits[index] = room and not self.single and self.open[index]

    def _still_inside(self, index: int) -> bool:
        """Whether the constraints hold for one more copy beside those taken."""
        return not self.asks_about_copies or self._outside(index) is None

    def _outside(self, index: int) -> str | None:
        """The constraint that does not hold of an instance with the copies that it has taken."""
        facts = facts_of(self._view, self.instances[index])
        if self.taken[index]:
            facts = msgspec.structs.replace(facts, groups=facts.groups | {self._group})
        return next((text for text, e in self._expressions.items() if not matches(e, facts)), None)

    def refusals(self) -> Iterator[Refusal]:
        """One for each instance looked at that does not take the next copy."""
        for index in np.flatnonzero(self.looked_at).tolist():
            refusal = self.refusal(index)
            if refusal is not None:
                yield refusal

    def refusal(self, index: int) -> Refusal | None:
        """Why the instance at `index` does not take the next copy; None where it does."""
        instance = self.instances[index]
        room = self._room_of(self._view, instance)
        for _ in range(int(self.taken[index])):
            room = room.minus(self.want)
        refusal = refused(instance, room, self.want)
        if refusal is not None:
            return refusal
        for rule in self.rules:
            if not rule.passes[index]:
                return Refusal(instance.arn, rule.reason, lacks=rule.lacks(instance))
        text = self._outside(index) if self.asks_about_copies else None
        if text is not None:
            return Refusal(instance.arn, explain.MEMBER_OF, lacks=explain.member_of(text))
        if self.single and self.taken[index]:
            return Refusal(instance.arn, explain.DISTINCT, lacks=self._distinct().lacks(instance))
        return None


def is_eligible(instance: Instance) -> bool:
    """Whether an instance takes tasks at all: ACTIVE (not DRAINING), and its agent is there."""
    return instance.status is InstanceStatus.ACTIVE and instance.agent_connected


def refused(instance: Instance, room: Room, want: Amounts) -> Refusal | None:
    """Why `instance` does not take one more task, by its agent and its room; None where it does."""
    if not is_eligible(instance):
        lacks = "a connected agent" if instance.status is InstanceStatus.ACTIVE else "the status ACTIVE"
        return Refusal(instance.arn, explain.AGENT, lacks=lacks)
    return explain.lacking(instance.arn, room, want)


def missing(instance: Instance, required: tuple[Attribute, ...]) -> Attribute | None:
    """The first of the required attributes that `instance` has not; one without a value asks for the name alone."""
    for name, value in required:
        has = instance.attribute(name)
        if has is None or (value is not None and has != value):
            return name, value
    return None


def believed(view: View, instance: Instance) -> Room:
    """What the placement ledger has left."""
    return view.free(instance.arn)


def doubted(view: View, instance: Instance) -> Room:
    """The same less the room of tasks that are still stopping though their holds have ended: it may be taken yet."""
    room = view.free(instance.arn)
    for task in phantoms(view, instance):
        room = room.minus(task.amounts)
    return room


def phantoms(view: View, instance: Instance) -> list[Task]:
    """Tasks of `instance` that may still hold its room though the placement ledger shows it as free."""
    return [task for task in view.tasks_on(instance.arn) if is_phantom(task)]


def is_phantom(task: Task) -> bool:
    """Whether a task may still hold its host's room while the placement ledger shows it as free."""
    return task.is_stopping and task.hold is None


def scattered(indexes: Integers) -> Hashes:
    """A hash of each index, the same at any time: what `ranked` takes."""
    mixed = (indexes + 1).astype(np.uint64) * np.uint64(_MIX[0])
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(_MIX[1])
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(_MIX[2])
    return mixed ^ (mixed >> np.uint64(31))


def ranked(hashes: Hashes, draw: int) -> Hashes:
    """A random order of all instances, from one draw of 64 bits: the rank of each, the least first."""
    ranks: Hashes = hashes ^ np.uint64(draw)
    ranks *= np.uint64(draw | 1)
    return ranks


def _has_ports(room: Room, want: Amounts) -> bool:
    return not (want.ports & room.ports_taken or want.ports_udp & room.ports_udp_taken)
