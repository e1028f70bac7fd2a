"""The check at the commit: plans for one transaction, against the state and against each other.

A plan passes where every record it leaned on is unchanged, and every instance still has room for its new holds. This
is what makes optimistic scheduling safe: whoever decided on an old view decides again.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import TypeVar, cast

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
        self._changed: dict[Key, Record | None] = {}
        self._rooms: dict[str, Room] = {}
        self._moves: defaultdict[str, int] = defaultdict(int)

    def record(self, kind: type[R], key: str) -> R | None:
        """A record as it is once everything accepted is true."""
        if (kind.table, key) in self._changed:
            return cast("R | None", self._changed[kind.table, key])
        return self._state.record(kind, key)

    def records(self, kind: type[R]) -> Iterator[R]:
        """All records of a table then, those that are new last."""
        known = [self.record(kind, record.key) for record in self._state.records(kind)]
        new = (cast("R", record) for key, record in self._changed.items() if self._is_new(kind, key))
        yield from (record for record in (*known, *new) if record is not None)

    def _is_new(self, kind: type[R], key: Key) -> bool:
        return key[0] == kind.table and self._state.record(kind, key[1]) is None

    def free(self, instance: str) -> Room:
        """What the placement ledger of an instance (ARN) has left then."""
        return self._room(instance, {}, self.record(Instance, instance))

    def moves(self, instance: str) -> int:
        """As in `View`, then."""
        return self._state.moves(instance) + self._moves[instance]

    def accept(self, plan: Plan) -> None:
        """Take a plan in.

        Raises:
            Conflict: the plan was made from a world that is gone.
        """
        for key, revision in plan.expected.items():
            if key in self._changed or self._state.revision_of(key) != revision:
                raise Conflict(f"{key[0]} {key[1]} has changed")
        for record in plan.puts:
            if isinstance(record, Cluster) and record.status == "INACTIVE":
                self._require_empty(record)
        rooms: dict[str, Room] = {}
        moves: defaultdict[str, int] = defaultdict(int)
        instances = {record.arn: record for record in plan.puts if isinstance(record, Instance)}
        tasks = [record for record in plan.puts if isinstance(record, Task)]
        for task in tasks:
            self._give_back(task, plan, rooms, moves)
        for table, arn in plan.deletes:
            dropped = self._task(arn) if table == Task.table else None
            assert dropped is None or dropped.hold is None, f"{arn} is dropped and still holds room"
            if dropped is not None and dropped.instance:
                moves[dropped.instance] -= HOLD_MOVES
        for task in tasks:
            self._take(task, instances, rooms, moves)
        self._rooms.update(rooms)
        for arn, by in moves.items():
            self._moves[arn] += by
        self._changed.update({(record.table, record.key): record for record in plan.puts})
        self._changed.update(dict.fromkeys(plan.deletes))

    def _require_empty(self, cluster: Cluster) -> None:
        """What moves in expects its cluster unchanged, which says nothing to a deletion that comes behind it."""
        records = (record for kind in inhabitants.KINDS for record in self.records(kind))
        found = inhabitants.first_kind(records, cluster.name)
        if found is not None:
            raise Conflict(f"the cluster {cluster.name} has got {found}")

    def _give_back(self, task: Task, plan: Plan, rooms: dict[str, Room], moves: defaultdict[str, int]) -> None:
        before = self._task(task.arn)
        if before is None or before.hold is None or before.instance is None:
            return
        if task.hold is None:
            assert task.arn in plan.ended, f"the hold of {task.arn} ends without a proof"
            rooms[before.instance] = self._room(before.instance, rooms).plus(before.hold.amounts)
            moves[before.instance] += 1
        else:
            same = before.instance == task.instance and before.hold.amounts == task.hold.amounts
            assert same, f"the hold of {task.arn} changes without an end"

    def _take(
        self, task: Task, instances: dict[str, Instance], rooms: dict[str, Room], moves: defaultdict[str, int]
    ) -> None:
        before = self._task(task.arn)
        if task.hold is None or task.instance is None or (before is not None and before.hold is not None):
            return
        instance = instances.get(task.instance) or self._instance(task.instance)
        if instance is None or instance.status is not InstanceStatus.ACTIVE:
            raise Conflict(f"instance {task.instance} takes no tasks any more")
        room = self._room(instance.arn, rooms, instance)
        lacking = room.lacks(task.hold.amounts)
        if lacking:
            raise Conflict(f"{task.instance} has no {', '.join(lacking)} left for {task.arn}")
        rooms[task.instance] = room.minus(task.hold.amounts)
        moves[task.instance] += 1

    def _room(self, arn: str, rooms: dict[str, Room], new: Instance | None = None) -> Room:
        room = rooms.get(arn) or self._rooms.get(arn)
        if room is not None:
            return room
        if new is not None and self._state.instance(arn) is None:
            return Room.whole(new.registered)
        return self._state.free(arn)

    def _task(self, arn: str) -> Task | None:
        changed = self._changed.get((Task.table, arn), self._state.task(arn))
        assert changed is None or isinstance(changed, Task)
        return changed

    def _instance(self, arn: str) -> Instance | None:
        changed = self._changed.get((Instance.table, arn), self._state.instance(arn))
        assert changed is None or isinstance(changed, Instance)
        return changed
