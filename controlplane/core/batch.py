"""The check at the commit: plans for one transaction, against the state and against each other.

A plan passes where every record it leaned on is unchanged, and every instance still has room for its new holds. This
is what makes optimistic scheduling safe: whoever decided on an old view decides again.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat
from operator import eq
from typing import Any, TypeVar

from controlplane.core import inhabitants
from controlplane.core.model import Cluster, Instance, Task
from controlplane.core.plan import Conflict, Key, Plan
from controlplane.core.record import HOLD_MOVES, Record
from controlplane.core.state import State
from wire.resources import Room
from wire.status import InstanceStatus

R = TypeVar("R", bound=Record)


class Batch:
    """Plans accepted so far; a refused plan leaves no trace."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._changed: dict[Key, Any] = {}
        """The record as it then is, or None."""
        self._rooms: dict[str, Room] = {}
        self._moves: defaultdict[str, int] = defaultdict(int)

    def record(self, kind: type[R], key: str) -> R | None:
        """A record as it is once everything accepted is true."""
        known_as = (kind.table, key)
        if known_as in self._changed:
            then: R | None = self._changed[known_as]
            return then
        return self._state.record(kind, key)

    def records(self, kind: type[R]) -> Iterator[R]:
        """All records of a table then, those that are new last."""
        known = [self.record(kind, record.key) for record in self._state.records(kind)]
        new = (record for key, record in self._changed.items() if self._is_new(kind, key))
        yield from (record for record in (*known, *new) if record is not None)

    def _is_new(self, kind: type[R], key: Key) -> bool:
        return key[0] == kind.table and self._state.record(kind, key[1]) is None

    def free(self, instance: str) -> Room:
        """What the placement ledger of an instance (ARN) has left then."""
        return self._rooms.get(instance) or self._state.free(instance)

    def moves(self, instance: str) -> int:
        """As in `View`, then."""
        return self._state.moves(instance) + self._moves[instance]

    def accept(self, plan: Plan) -> None:
        """Take a plan in.

        Raises:
            Conflict: the plan was made from a world that is gone.
        """
        self._require_unchanged(plan.expected)
        rooms: dict[str, Room] = {}
        moves: defaultdict[str, int] = defaultdict(int)
        instances: dict[str, Instance] = {}
        beginnings: list[Task] = []
        for record in plan.puts:
            if isinstance(record, Task):
                before = self.record(Task, record.arn)
                if before is not None and before.hold is not None:
                    self._give_back(before, record, plan, rooms, moves)
                elif record.hold is not None:
                    beginnings.append(record)
            elif isinstance(record, Instance):
                instances[record.arn] = record
                if self._state.instance(record.arn) is None:
                    rooms[record.arn] = Room.whole(record.registered)
            elif isinstance(record, Cluster) and record.status == "INACTIVE":
                self._require_empty(record)
        self._drop(plan.deletes, moves)
        for task in beginnings:
            self._take(task, instances, rooms, moves)
        self._rooms.update(rooms)
        for arn, by in moves.items():
            self._moves[arn] += by
        self._changed.update({(record.table, record.key): record for record in plan.puts})
        self._changed.update(dict.fromkeys(plan.deletes))

    def _require_unchanged(self, expected: Mapping[Key, int]) -> None:
        known = map(self._state.revisions.get, expected, repeat(0))
        if self._changed.keys().isdisjoint(expected) and all(map(eq, known, expected.values())):
            return
        for (table, key), revision in expected.items():
            if (table, key) in self._changed or self._state.revision_of((table, key)) != revision:
                raise Conflict(f"{table} {key} has changed")

    def _require_empty(self, cluster: Cluster) -> None:
        """What moves in expects its cluster unchanged, which says nothing to a deletion that comes behind it."""
        records = (record for kind in inhabitants.KINDS for record in self.records(kind))
        found = inhabitants.first_kind(records, cluster.name)
        if found is not None:
            raise Conflict(f"the cluster {cluster.name} has got {found}")

    def _give_back(
        self, before: Task, task: Task, plan: Plan, rooms: dict[str, Room], moves: defaultdict[str, int]
    ) -> None:
        if before.hold is None or before.instance is None:
            return
        if task.hold is None:
            assert task.arn in plan.ended, f"the hold of {task.arn} ends without a proof"
            rooms[before.instance] = self._room(before.instance, rooms).plus(before.hold.amounts)
            moves[before.instance] += 1
        else:
            same = before.instance == task.instance and before.hold.amounts == task.hold.amounts
            assert same, f"the hold of {task.arn} changes without an end"

    def _drop(self, deletes: Iterable[Key], moves: defaultdict[str, int]) -> None:
        for table, arn in deletes:
            dropped = self.record(Task, arn) if table == Task.table else None
            assert dropped is None or dropped.hold is None, f"{arn} is dropped and still holds room"
            if dropped is not None and dropped.instance:
                moves[dropped.instance] -= HOLD_MOVES

    def _take(
        self, task: Task, instances: dict[str, Instance], rooms: dict[str, Room], moves: defaultdict[str, int]
    ) -> None:
        arn, hold = task.instance, task.hold
        if arn is None or hold is None:
            return
        instance = instances.get(arn) or self.record(Instance, arn)
        if instance is None or instance.status is not InstanceStatus.ACTIVE:
            raise Conflict(f"instance {arn} takes no tasks any more")
        room = self._room(arn, rooms)
        lacking = room.lacks(hold.amounts)
        if lacking:
            raise Conflict(f"{arn} has no {', '.join(lacking)} left for {task.arn}")
        rooms[arn] = room.minus(hold.amounts)
        moves[arn] += 1

    def _room(self, arn: str, rooms: dict[str, Room]) -> Room:
        return rooms.get(arn) or self.free(arn)
