"""The roster: a cluster's instances as columns of numbers, kept up with every commit, so a decision starts at once.

What is asked of every instance (an expression, a free port, the zone) is a *column*: computed once, and again only for
the instances that have changed since. It knows no request and no strategy.
"""

import copy
from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from controlplane.core.model import Instance, Task
from wire.resources import Amounts, Room

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Integers = npt.NDArray[np.int64]

COLUMNS_MAX = 256
"""Columns kept at most, and as many groups' counts and followers; the oldest goes."""
MOVES_MAX = 1024
"""Changes of single instances that are remembered one by one, for those who follow."""


class Column(NamedTuple):
    """Values in the order of the instances, as they were at `tick`."""

    values: Integers
    tick: int


class Follower(Protocol):
    """Something worked out from a roster, which is kept beside it and catches up with its changes."""

    def forked(self, roster: "Roster") -> "Follower":
        """The same for a fork of the roster; this one stays as it is."""
        ...


class Roster:
    """One cluster. Positions are the order of registration; all arrays run parallel to `instances`."""

    def __init__(self, instances: Iterable[Instance], room_of: Callable[[str], Room]) -> None:
        self.instances = list(instances)
        self.index_of = {instance.arn: index for index, instance in enumerate(self.instances)}
        rooms = [room_of(instance.arn) for instance in self.instances]
        self.cpu: Integers = np.array([room.cpu for room in rooms], dtype=np.int64)
        self.memory: Integers = np.array([room.memory_mib for room in rooms], dtype=np.int64)
        self.gpus: Integers = np.array([room.gpus for room in rooms], dtype=np.int64)
        self._tick = 1
        self.instance_tick = 1
        """Tick at which any of the instances themselves last changed."""
        self._changed: Integers = np.ones(len(rooms), dtype=np.int64)
        """Tick at which each instance itself last changed."""
        self._touched: Integers = np.ones(len(rooms), dtype=np.int64)
        """The same, with the tasks on it."""
        self._moves: list[int] = []
        """Positions that were touched, one for each tick, the newest last."""
        self._columns: dict[Hashable, Column] = {}
        self._counts: dict[str, Integers] = {}
        self._foreign_counts: set[str] = set()
        """Groups whose counts belong to the roster that this one was forked from."""
        self._numbers: dict[str, dict[str | None, int]] = {}
        self._followers: dict[Hashable, tuple[Roster, Follower]] = {}

    def column(self, key: Hashable, value_of: Callable[[Instance], int], *, of_tasks: bool = False) -> Integers:
        """`value_of` every instance; `of_tasks`: its answer depends on the tasks there too. Not to be written to.

        `key` stands for the question: asked again, only what has changed is looked at.
        """
        column = self._columns.get(key)
        if column is None:
            column = Column(np.zeros(len(self.instances), dtype=np.int64), 0)
        if column.tick >= (self._tick if of_tasks else self.instance_tick):
            return column.values
        moved = np.flatnonzero((self._touched if of_tasks else self._changed) > column.tick)
        values = column.values
        if len(moved):
            values = values.copy()
            for index in moved.tolist():
                values[index] = value_of(self.instances[index])
        _keep(self._columns, key, Column(values, self._tick))
        return values

    def domains(self, attribute: str) -> Integers:
        """Which instances share a value of `attribute`: a number for each value, one for those without it."""
        numbers = self._numbers.setdefault(attribute, {})
        if len(numbers) > 2 * len(self.instances) + COLUMNS_MAX:  # values come and go; their numbers must not grow
            numbers.clear()
            self._columns.pop(("domain", attribute), None)
        return self.column(
            ("domain", attribute),
            lambda instance: numbers.setdefault(instance.attribute(attribute), len(numbers)),
        )

    def counts(self, group: str, tasks_of: Callable[[], Iterable[Task]]) -> Integers:
        """Live tasks of a group on each instance; `tasks_of` lists the group's where it was not asked before."""
        counts = self._counts.get(group)
        if counts is None:
            counts = np.zeros(len(self.instances), dtype=np.int64)
            for task in tasks_of():
                if task.is_live and task.instance in self.index_of:
                    counts[self.index_of[task.instance]] += 1
            _keep(self._counts, group, counts)
        return counts

    @property
    def tick(self) -> int:
        """One more with every change of an instance or of what it holds."""
        return self._tick

    def moved_since(self, tick: int) -> list[int]:
        """Positions that were touched after `tick`; one may come twice."""
        changes = self._tick - tick
        if changes <= len(self._moves):
            return self._moves[len(self._moves) - changes :]
        moved: list[int] = np.flatnonzero(self._touched > tick).tolist()
        return moved

    def follower(self, key: Hashable) -> Follower | None:
        """What follows this roster under `key`, a fork's own; it catches up when whoever uses it says so."""
        found = self._followers.get(key)
        if found is None:
            return None
        followed, follower = found
        if followed is not self:
            follower = follower.forked(self)
            self._followers[key] = (self, follower)
        return follower

    def follow(self, key: Hashable, follower: Follower) -> None:
        """From now on it follows this roster under `key`."""
        _keep(self._followers, key, (self, follower))

    def known_counts(self, group: str) -> Integers | None:
        """`counts`, where they are kept; None where nobody has asked of late."""
        return self._counts.get(group)

    def see_instance(self, instance: Instance, room: Room) -> None:
        """An instance of this roster is now `instance`, with `room`."""
        index = self.index_of[instance.arn]
        self.instances[index] = instance
        self._measure(index, room)
        self.instance_tick = self._tick
        self._changed[index] = self._tick

    def see_task(self, before: Task | None, after: Task, room_of: Callable[[str], Room]) -> None:
        """A task of the cluster was `before` and is now `after`; `room_of` tells what an instance has left since."""
        if before is not None:
            self._see(before, -1, room_of)
        self._see(after, 1, room_of)

    def _see(self, task: Task, change: int, room_of: Callable[[str], Room]) -> None:
        arn = task.instance
        if arn is None or arn not in self.index_of:
            return
        index = self.index_of[arn]
        if task.is_live:
            self._count(task.group, index, change)
        self._measure(index, room_of(arn))

    def book(self, index: int, amounts: Amounts, group: str) -> None:
        """One copy of `amounts` goes to the instance at `index`; there is no task for it yet. Of ports it is silent."""
        self._count(group, index, 1)
        self.cpu[index] -= amounts.cpu
        self.memory[index] -= amounts.memory_mib
        self.gpus[index] -= amounts.gpus
        self._touch(index)

    def fork(self) -> "Roster":
        """A roster of its own, in which tasks may change; this one stays as it is."""
        other = copy.copy(self)
        other._unshare()  # noqa: SLF001 - it is of this class
        return other

    def _unshare(self) -> None:
        """Get copies of what tasks can change; counts are copied where they are written to."""
        self.cpu, self.memory, self.gpus = self.cpu.copy(), self.memory.copy(), self.gpus.copy()
        self._touched, self._moves = self._touched.copy(), self._moves.copy()
        self._columns, self._followers = self._columns.copy(), self._followers.copy()
        self._counts, self._foreign_counts = self._counts.copy(), set(self._counts)

    def _count(self, group: str, index: int, change: int) -> None:
        counts = self._counts.get(group)
        if counts is None:
            return
        if group in self._foreign_counts:
            self._foreign_counts.remove(group)
            counts = self._counts[group] = counts.copy()
        counts[index] += change

    def _measure(self, index: int, room: Room) -> None:
        self.cpu[index] = room.cpu
        self.memory[index] = room.memory_mib
        self.gpus[index] = room.gpus
        self._touch(index)

    def _touch(self, index: int) -> None:
        self._tick += 1
        self._touched[index] = self._tick
        self._moves.append(index)
        if len(self._moves) > MOVES_MAX:
            del self._moves[: MOVES_MAX // 2]


class Rosters:
    """Every cluster's, made when it is first asked for. `all_instances` and `room_of` read the state behind it."""

    def __init__(self, all_instances: Callable[[], Iterable[Instance]], room_of: Callable[[str], Room]) -> None:
        self._all_instances = all_instances
        self._room_of = room_of
        self._rosters: dict[str, Roster] = {}

    def of(self, cluster: str) -> Roster:
        """The roster of a cluster (name)."""
        if cluster not in self._rosters:
            members = (instance for instance in self._all_instances() if instance.cluster == cluster)
            self._rosters[cluster] = Roster(members, self._room_of)
        return self._rosters[cluster]

    def see_instance(self, instance: Instance) -> None:
        """An instance is now `instance`."""
        roster = self._rosters.get(instance.cluster)
        if roster is None:
            return
        if instance.arn in roster.index_of:
            roster.see_instance(instance, self._room_of(instance.arn))
        else:
            self.forget(instance.cluster)

    def see_task(self, before: Task | None, after: Task) -> None:
        """A task was `before` and is now `after`."""
        roster = self._rosters.get(after.cluster)
        if roster is not None:
            roster.see_task(before, after, self._room_of)

    def forget(self, cluster: str) -> None:
        """A cluster has other members; its roster is made anew when it is asked for."""
        self._rosters.pop(cluster, None)


def _keep(kept: dict[K, V], key: K, value: V) -> None:
    """Put it last; the oldest makes room."""
    kept.pop(key, None)
    while len(kept) >= COLUMNS_MAX:
        kept.pop(next(iter(kept)))
    kept[key] = value
