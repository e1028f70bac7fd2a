"""The state: the tables at one revision, with their indexes and placement ledgers. Only a store changes it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from controlplane.core.index import Index
from controlplane.core.model import Instance, Task, TaskDefinition
from controlplane.core.plan import Key, Plan
from controlplane.core.record import HOLD_MOVES, Record
from controlplane.core.roster import Roster, Rosters
from controlplane.core.tables import BY_TABLE, RECORDS
from controlplane.core.view import R, View
from wire.holds import Ledger
from wire.resources import Room


class State(View):
    """The tables at one revision, with their indexes and placement ledgers. Only a store changes it."""

    def __init__(self) -> None:
        self.revision = 0
        self._tables: dict[type[Record], dict[str, Any]] = {kind: {} for kind in RECORDS}
        self._tasks: dict[str, Task] = self._tables[Task]
        self._revisions: dict[Key, int] = {}
        self._by_service, self._by_instance, self._by_group = Index(), Index(), Index()
        self._by_family = Index()
        self._ledgers: dict[str, Ledger] = {}
        self._rosters = Rosters(lambda: self.records(Instance), self.free)
        self._moves: Counter[str] = Counter()

    def record(self, kind: type[R], key: str) -> R | None:
        found: R | None = self._tables[kind].get(key)
        return found

    def task(self, arn: str) -> Task | None:
        return self._tasks.get(arn)

    def records(self, kind: type[R]) -> Iterator[R]:
        return iter(self._tables[kind].values())

    def tasks_of(self, service: str) -> list[Task]:
        return self._listed(self._by_service.under(service))

    def tasks_on(self, instance: str) -> list[Task]:
        return self._listed(self._by_instance.under(instance))

    def tasks_in(self, cluster: str, group: str) -> list[Task]:
        return self._listed(self._by_group.under((cluster, group)))

    def task_definitions_of(self, family: str) -> list[TaskDefinition]:
        table = self._tables[TaskDefinition]
        return [table[arn] for arn in self._by_family.under(family)]

    def active_task_definition(self, family: str) -> TaskDefinition | None:
        table = self._tables[TaskDefinition]
        for arn in reversed(self._by_family.under(family)):
            known: TaskDefinition = table[arn]
            if known.status == "ACTIVE":
                return known
        return None

    def _listed(self, arns: Iterable[str]) -> list[Task]:
        return [self._tasks[arn] for arn in arns]

    def free(self, instance: str) -> Room:
        return self._ledgers[instance].free

    def roster(self, cluster: str) -> Roster:
        return self._rosters.of(cluster)

    def moves(self, instance: str) -> int:
        return self._moves[instance]

    def ledger(self, instance: str) -> Ledger:
        """The placement ledger of an instance (ARN); readers do not change it."""
        return self._ledgers[instance]

    def revision_of(self, key: Key) -> int:
        return self._revisions.get(key, 0)

    @property
    def revisions(self) -> Mapping[Key, int]:
        """Of all records, by key."""
        return self._revisions

    def load(self, records: Iterable[tuple[Record, int]], revision: int) -> None:
        """Fill an empty state with what a store has kept: records in the order of their making, with revisions."""
        assert not self._revisions
        tasks = []
        for record, at in records:
            assert at <= revision
            self._keep(record, at)
            if isinstance(record, Instance):
                self._open_ledger(record)
            elif isinstance(record, Task):
                tasks.append(record)
        for task in tasks:
            self._index(task)
            if task.instance and task.hold is None:
                self._moves[task.instance] += HOLD_MOVES
        self.revision = revision

    def apply(self, plan: Plan, revision: int) -> None:
        """Make a plan true that a `Batch` has accepted."""
        assert revision > self.revision
        for record in plan.puts:
            if type(record) is Instance:  # before the tasks that are placed on it
                self._open_ledger(record)
        for record in plan.puts:
            if isinstance(record, Task):
                self._move(record, plan)
            elif isinstance(record, Instance):
                self._rosters.see_instance(record)
            self._keep(record, revision)
        for table, key in plan.deletes:
            self._forget(table, key)
        self.revision = revision

    def _keep(self, record: Record, revision: int) -> None:
        key = record.key
        self._tables[type(record)][key] = record
        self._revisions[record.table, key] = revision
        if type(record) is TaskDefinition:
            self._by_family.add(record.family, record.arn)

    def _open_ledger(self, instance: Instance) -> None:
        old = self._ledgers.get(instance.arn)
        if old is not None and old.registered == instance.registered:
            return
        self._ledgers[instance.arn] = Ledger(instance.registered)
        for hold in old or ():
            self._ledgers[instance.arn].begin(hold)

    def _move(self, task: Task, plan: Plan) -> None:
        """The order of moves is free: each that ends counts anew what others have of the same."""
        before = self._tasks.get(task.arn)
        if before is not None and before.hold is not None and before.instance and task.hold is None:
            self._ledgers[before.instance].end(task.arn, plan.ended[task.arn])
            self._moves[before.instance] += 1
        self._index(task)
        self._rosters.see_task(before, task)

    def _index(self, task: Task) -> None:
        self._by_group.add((task.cluster, task.group), task.arn)
        if task.service:
            self._by_service.add(task.service, task.arn)
        if not task.instance:
            return
        self._by_instance.add(task.instance, task.arn)
        if task.hold is None:
            return
        ledger = self._ledgers[task.instance]
        known = ledger.get(task.arn)
        if known is None:
            ledger.begin(task.hold)
            self._moves[task.instance] += 1
        elif known != task.hold:
            ledger.limit(task.arn, task.hold.until)

    def _forget(self, table: str, key: str) -> None:
        record = self._tables[BY_TABLE[table]].pop(key, None)
        self._revisions.pop((table, key), None)
        if isinstance(record, Task):
            assert record.hold is None, f"{key} is dropped and still holds room"
            self._by_service.drop(record.service, key)
            self._by_instance.drop(record.instance, key)
            self._by_group.drop((record.cluster, record.group), key)
            if record.instance and record.instance in self._moves:
                self._moves[record.instance] -= HOLD_MOVES
        elif isinstance(record, TaskDefinition):
            self._by_family.drop(record.family, key)
        elif isinstance(record, Instance):
            self._rosters.forget(record.cluster)
            ledger = self._ledgers.pop(key)
            self._moves.pop(key, None)
            assert not len(ledger), f"{key} is dropped and still has holds"
