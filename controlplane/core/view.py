"""The view: what a decision may look at. `State` is the tables at one revision, `Draft` an overlay that becomes a plan.

A view is used synchronously: whoever awaits takes a new one. All that a decision needs is in here, so a missed or
doubled wake-up costs time, never truth.
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, cast

import msgspec

from controlplane.core.model import (
    RECORDS,
    Cluster,
    Instance,
    Record,
    Service,
    Task,
    TaskDefinition,
    Token,
)
from controlplane.core.plan import Conflict, Key, Plan
from wire.holds import Hold, Ledger, Proof
from wire.resources import Room
from wire.status import TaskStatus
from wire.story import Kind, StoryLine

R = TypeVar("R", bound=Record)

ACTOR = "controlplane"


class View:
    """What both a state and a draft can answer."""

    def record(self, kind: type[R], key: str) -> R | None:
        """One record, or None."""
        raise NotImplementedError

    def records(self, kind: type[R]) -> Iterator[R]:
        """All records of a table."""
        raise NotImplementedError

    def tasks_of(self, service: str) -> list[Task]:
        """Tasks of a service (ARN), oldest first, stopped ones included."""
        raise NotImplementedError

    def tasks_on(self, instance: str) -> list[Task]:
        """Tasks placed on an instance (ARN), oldest first, stopped ones included."""
        raise NotImplementedError

    def free(self, instance: str) -> Room:
        """What the placement ledger of an instance (ARN) has left."""
        raise NotImplementedError

    def cluster(self, name: str) -> Cluster | None:
        """A cluster by name."""
        return self.record(Cluster, name)

    def instance(self, arn: str) -> Instance | None:
        """An instance by ARN."""
        return self.record(Instance, arn)

    def service(self, arn: str) -> Service | None:
        """A service by ARN."""
        return self.record(Service, arn)

    def task(self, arn: str) -> Task | None:
        """A task by ARN."""
        return self.record(Task, arn)

    def task_definition(self, arn: str) -> TaskDefinition | None:
        """A task definition by ARN."""
        return self.record(TaskDefinition, arn)

    def token(self, key: str) -> Token | None:
        """A used client token by key."""
        return self.record(Token, key)

    def instances(self, cluster: str) -> list[Instance]:
        """Instances of a cluster (name)."""
        return [i for i in self.records(Instance) if i.cluster == cluster]

    def services(self, cluster: str) -> list[Service]:
        """Services of a cluster (name)."""
        return [s for s in self.records(Service) if s.cluster == cluster]

    def tasks(self, cluster: str) -> list[Task]:
        """Tasks of a cluster (name)."""
        return [t for t in self.records(Task) if t.cluster == cluster]


class State(View):
    """The tables at one revision, with their indexes and placement ledgers. Only a store applies changes to it."""

    def __init__(self) -> None:
        self.revision = 0
        self._tables: dict[str, dict[str, Record]] = {kind.table: {} for kind in RECORDS}
        self._revisions: dict[Key, int] = {}
        self._by_service: dict[str, dict[str, None]] = {}
        self._by_instance: dict[str, dict[str, None]] = {}
        self._ledgers: dict[str, Ledger] = {}

    def record(self, kind: type[R], key: str) -> R | None:
        return cast("R | None", self._tables[kind.table].get(key))

    def records(self, kind: type[R]) -> Iterator[R]:
        return cast("Iterator[R]", iter(self._tables[kind.table].values()))

    def tasks_of(self, service: str) -> list[Task]:
        table = cast("dict[str, Task]", self._tables[Task.table])
        return [table[arn] for arn in self._by_service.get(service, ())]

    def tasks_on(self, instance: str) -> list[Task]:
        table = cast("dict[str, Task]", self._tables[Task.table])
        return [table[arn] for arn in self._by_instance.get(instance, ())]

    def free(self, instance: str) -> Room:
        return self._ledgers[instance].free

    def ledger(self, instance: str) -> Ledger:
        """The placement ledger of an instance (ARN); readers do not change it."""
        return self._ledgers[instance]

    def revision_of(self, key: Key) -> int:
        """Revision at which a record last changed; 0 where it is not there."""
        return self._revisions.get(key, 0)

    def verify(self, plan: Plan) -> None:
        """The check at the commit: versions unchanged, and each instance still has room for its new holds.

        Raises:
            Conflict: the plan was made from a world that is gone.
        """
        for key, revision in plan.expected.items():
            if self.revision_of(key) != revision:
                raise Conflict(f"{key[0]} {key[1]} has changed")
        rooms: dict[str, Ledger] = {}
        tasks = [record for record in plan.puts if isinstance(record, Task)]
        for task in tasks:
            before = self.task(task.arn)
            if before is None or before.instance is None or before.hold is None or before.hold == task.hold:
                continue
            self._scratch(rooms, before.instance).end(task.arn, Proof.AGENT_RELEASED)
        for task in tasks:
            if task.hold is None or task.instance is None:
                continue
            if task.instance not in self._ledgers:
                raise Conflict(f"instance {task.instance} is gone")
            room = self._scratch(rooms, task.instance)
            if task.arn in room:
                continue
            lacking = room.lacks(task.hold.amounts)
            if lacking:
                raise Conflict(f"{task.instance} has no {', '.join(lacking)} left for {task.arn}")
            room.begin(task.hold)

    def _scratch(self, rooms: dict[str, Ledger], instance: str) -> Ledger:
        if instance not in rooms:
            rooms[instance] = Ledger(self._ledgers[instance].registered)
            for hold in self._ledgers[instance]:
                rooms[instance].begin(hold)
        return rooms[instance]

    def apply(self, puts: Iterable[Record], deletes: Iterable[Key], revision: int) -> None:
        """Make the changes of a verified plan true. Ends of holds come before beginnings."""
        assert revision > self.revision
        puts = list(puts)
        for table, key in deletes:
            self._forget(table, key)
        for record in puts:
            if isinstance(record, Instance):
                self._open_ledger(record)
        for record in puts:
            if isinstance(record, Task):
                self._end_hold(record)
        for record in puts:
            self._tables[record.table][record.key] = record
            self._revisions[record.table, record.key] = revision
            if isinstance(record, Task):
                self._index(record)
        self.revision = revision

    def _open_ledger(self, instance: Instance) -> None:
        old = self._ledgers.get(instance.arn)
        if old is not None and old.registered == instance.registered:
            return
        self._ledgers[instance.arn] = Ledger(instance.registered)
        for hold in old or ():
            self._ledgers[instance.arn].begin(hold)

    def _end_hold(self, task: Task) -> None:
        before = self.task(task.arn)
        if before and before.hold and before.hold != task.hold and before.instance:
            # The proof stands in the plan's story; here only the room moves.
            self._ledgers[before.instance].end(task.arn, Proof.AGENT_RELEASED)

    def _index(self, task: Task) -> None:
        if task.service:
            self._by_service.setdefault(task.service, {})[task.arn] = None
        if task.instance:
            self._by_instance.setdefault(task.instance, {})[task.arn] = None
            ledger = self._ledgers.get(task.instance)
            if task.hold and ledger is not None and task.arn not in ledger:
                ledger.begin(task.hold)

    def _forget(self, table: str, key: str) -> None:
        record = self._tables[table].pop(key, None)
        self._revisions.pop((table, key), None)
        if isinstance(record, Task):
            self._by_service.get(record.service or "", {}).pop(key, None)
            self._by_instance.get(record.instance or "", {}).pop(key, None)
            if record.instance in self._ledgers:
                self._ledgers[record.instance].end(key, Proof.INSTANCE_LOST)
        elif isinstance(record, Instance):
            self._ledgers.pop(key, None)


class Draft(View):
    """A view plus the changes made so far; what it reads of single records it expects unchanged at the commit."""

    def __init__(self, state: State, *, now: float, cause: str) -> None:
        self.now = now
        self.cause = cause
        self._state = state
        self._puts: dict[Key, Record] = {}
        self._deletes: dict[Key, None] = {}
        self._expected: dict[Key, int] = {}
        self._story: list[StoryLine] = []

    def record(self, kind: type[R], key: str) -> R | None:
        if (kind.table, key) in self._deletes:
            return None
        if (kind.table, key) in self._puts:
            return cast("R", self._puts[kind.table, key])
        return self._state.record(kind, key)

    def records(self, kind: type[R]) -> Iterator[R]:
        for record in self._state.records(kind):
            current = self.record(kind, record.key)
            if current is not None:
                yield current
        for (table, key), put in self._puts.items():
            if table == kind.table and self._state.record(kind, key) is None:
                yield cast("R", put)

    def tasks_of(self, service: str) -> list[Task]:
        return self._merged(self._state.tasks_of(service), lambda task: task.service == service)

    def tasks_on(self, instance: str) -> list[Task]:
        return self._merged(self._state.tasks_on(instance), lambda task: task.instance == instance)

    def _merged(self, base: list[Task], belongs: Any) -> list[Task]:
        current = [self.task(task.arn) for task in base]
        new = [
            put
            for put in self._puts.values()
            if isinstance(put, Task) and belongs(put) and put.arn not in {t.arn for t in base}
        ]
        return [task for task in current if task is not None and belongs(task)] + new

    def free(self, instance: str) -> Room:
        changed = [(self._state.task(put.arn), put) for put in self._puts.values() if isinstance(put, Task)]
        if not any(t and t.instance == instance for pair in changed for t in pair):
            return self._state.free(instance)
        ledger = Ledger(cast("Instance", self.instance(instance)).registered)
        for task in self.tasks_on(instance):
            if task.hold is not None:
                ledger.begin(task.hold)
        return ledger.free

    def put(self, record: Record) -> None:
        """Change a record; its revision in the view must still stand at the commit."""
        key = (record.table, record.key)
        self.expect(record)
        self._deletes.pop(key, None)
        self._puts[key] = record

    def delete(self, record: Record) -> None:
        """Drop a record."""
        self.expect(record)
        self._puts.pop((record.table, record.key), None)
        self._deletes[record.table, record.key] = None

    def expect(self, record: Record) -> None:
        """The decision leans on this record: it must be unchanged at the commit."""
        key = (record.table, record.key)
        self._expected.setdefault(key, self._state.revision_of(key))

    def tell(self, kind: Kind, subject: str, *, id: str = "", **data: Any) -> None:  # noqa: A002 - the story's word
        """Add a line to the story, in the same commit."""
        self._story.append(StoryLine(self.now, ACTOR, subject, str(kind), self.cause, msgspec.to_builtins(data), id))

    def begin_hold(self, task: Task, instance: str, reason: str) -> Task:
        """Take room for `task` on the placement ledger. Returns the task as it now stands in the draft."""
        hold = Hold(task.arn, task.amounts, self.now, reason)
        held = msgspec.structs.replace(task, hold=hold, instance=instance)
        self.put(held)
        self.tell(
            Kind.PLACEMENT_HELD,
            task.arn,
            instance=instance,
            cpu=task.amounts.cpu,
            memory_mib=task.amounts.memory_mib,
            group=task.group,
            task_definition=task.task_definition,
        )
        return held

    def end_hold(self, task: Task, proof: Proof) -> Task:
        """The one function that ends a hold on the placement ledger, and it must name its proof. Idempotent."""
        assert isinstance(proof, Proof)
        if task.hold is None:
            return task
        freed = msgspec.structs.replace(task, hold=None)
        self.put(freed)
        self.tell(
            Kind.PLACEMENT_ENDED,
            task.arn,
            instance=task.instance,
            cpu=task.hold.amounts.cpu,
            memory_mib=task.hold.amounts.memory_mib,
            since=task.hold.since,
            proof=proof,
        )
        return freed

    def plan(self) -> Plan:
        """The plan, whole."""
        for record in self._puts.values():
            if isinstance(record, Task):
                assert record.hold is None or record.last_status is not TaskStatus.STOPPED, (
                    f"{record.arn} is STOPPED and still holds room"
                )
        return Plan(
            cause=self.cause,
            puts=tuple(self._puts.values()),
            deletes=tuple(self._deletes),
            expected=self._expected,
            story=tuple(self._story),
        )
