"""The view: what a decision may look at. `Draft` is an overlay on one (`state.State`) that becomes a plan.

A view is used synchronously: whoever awaits takes a new one. All that a decision needs is in here, so a missed or
doubled wake-up costs time, never truth.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from controlplane.core import gpus
from controlplane.core.model import Cluster, Instance, Service, Task, TaskDefinition, Token
from controlplane.core.plan import Key, Plan
from controlplane.core.record import Record
from controlplane.core.roster import Roster
from wire.holds import Hold, Proof
from wire.resources import Room
from wire.status import TaskStatus
from wire.story import Kind, StoryLine

R = TypeVar("R", bound=Record)

ACTOR = "controlplane"


class View(ABC):
    """What both a state and a draft can answer."""

    revision: int
    """Of the store, as it was when this view was true."""

    @abstractmethod
    def record(self, kind: type[R], key: str) -> R | None:
        """One record, or None."""

    @abstractmethod
    def records(self, kind: type[R]) -> Iterator[R]:
        """All records of a table."""

    @abstractmethod
    def tasks_of(self, service: str) -> list[Task]:
        """Tasks of a service (ARN), oldest first, stopped ones included."""

    @abstractmethod
    def tasks_on(self, instance: str) -> list[Task]:
        """Tasks placed on an instance (ARN), oldest first, stopped ones included."""

    @abstractmethod
    def tasks_in(self, cluster: str, group: str) -> list[Task]:
        """Tasks of a group (`service:NAME`, ...) of a cluster (name), oldest first, stopped ones included."""

    @abstractmethod
    def task_definitions_of(self, family: str) -> list[TaskDefinition]:
        """The revisions of a family (name) that are known, oldest first, INACTIVE ones included."""

    def active_task_definition(self, family: str) -> TaskDefinition | None:
        """The latest revision of a family (name) that is ACTIVE."""
        revisions = reversed(self.task_definitions_of(family))
        return next((known for known in revisions if known.status == "ACTIVE"), None)

    @abstractmethod
    def revision_of(self, key: Key) -> int:
        """Store's revision at which a record last changed; 0 where it is not there."""

    @abstractmethod
    def free(self, instance: str) -> Room:
        """What the placement ledger of an instance (ARN) has left."""

    @abstractmethod
    def moves(self, instance: str) -> int:
        """How often a hold began or ended on an instance (ARN), as far as its tasks are still known."""

    def version_of(self, instance: Instance) -> int:
        """ECS's counter of an instance: its own, and one for every move; so no placement has to write the instance."""
        return instance.version + self.moves(instance.arn)

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

    @abstractmethod
    def roster(self, cluster: str) -> Roster:
        """Instances of a cluster (name) as columns; readers do not change it."""

    def instances(self, cluster: str) -> list[Instance]:
        """Instances of a cluster (name)."""
        return list(self.roster(cluster).instances)

    def services(self, cluster: str) -> list[Service]:
        """Services of a cluster (name)."""
        return [s for s in self.records(Service) if s.cluster == cluster]

    def tasks(self, cluster: str) -> list[Task]:
        """Tasks of a cluster (name)."""
        return [t for t in self.records(Task) if t.cluster == cluster]


class Draft(View):
    """A view plus the changes made so far; what it reads of single records it expects unchanged at the commit."""

    def __init__(self, state: View, *, now: float, cause: str) -> None:
        """A draft over a draft sees its changes and leaves them alone."""
        self.now = now
        self.cause = cause
        self._state = state
        self.revision = state.revision
        self._puts: dict[Key, Any] = {}
        self._deletes: dict[Key, None] = {}
        self._changed_kinds: set[type[Record]] = set()
        """What is of none of them is as in the view below."""
        self._expected: dict[Key, int] = {}
        self._ended: dict[str, Proof] = {}
        self._story: list[StoryLine] = []
        self._rooms: dict[str, Room] = {}
        self._moves: defaultdict[str, int] = defaultdict(int)
        self._rosters: dict[str, Roster] = {}
        """By cluster, where one was asked for after something had changed here; `put` keeps it up."""

    def record(self, kind: type[R], key: str) -> R | None:
        if kind in self._changed_kinds:
            known_as = (kind.table, key)
            own: R | None = self._puts.get(known_as)
            if own is not None or known_as in self._deletes:
                return own
        return self._state.record(kind, key)

    def records(self, kind: type[R]) -> Iterator[R]:
        for record in self._state.records(kind):
            current = self._current(record) if kind in self._changed_kinds else record
            if current is not None:
                yield current
        for (table, key), put in self._puts.items():
            if table == kind.table and self._state.record(kind, key) is None:
                yield put

    def _current(self, record: R) -> R | None:
        """What has become here of a record of the view below."""
        key = (record.table, record.key)
        return None if key in self._deletes else self._puts.get(key, record)

    def tasks_of(self, service: str) -> list[Task]:
        return self._merged(self._state.tasks_of(service), lambda task: task.service == service)

    def tasks_on(self, instance: str) -> list[Task]:
        return self._merged(self._state.tasks_on(instance), lambda task: task.instance == instance)

    def tasks_in(self, cluster: str, group: str) -> list[Task]:
        found = self._state.tasks_in(cluster, group)
        return self._merged(found, lambda task: (task.cluster, task.group) == (cluster, group))

    def _merged(self, base: list[Task], belongs: Callable[[Task], bool]) -> list[Task]:
        if Task not in self._changed_kinds:
            return [task for task in base if belongs(task)]
        known = {task.arn for task in base}
        current = map(self._current, base)
        new = [put for put in self._puts.values() if isinstance(put, Task) and put.arn not in known and belongs(put)]
        return [task for task in current if task is not None and belongs(task)] + new

    def task_definitions_of(self, family: str) -> list[TaskDefinition]:
        if TaskDefinition not in self._changed_kinds:
            return self._state.task_definitions_of(family)
        known = {definition.arn: None for definition in self._state.task_definitions_of(family)}
        puts = (put for put in self._puts.values() if isinstance(put, TaskDefinition) and put.family == family)
        arns = [*known, *(put.arn for put in puts if put.arn not in known)]
        return [definition for definition in map(self.task_definition, arns) if definition is not None]

    def active_task_definition(self, family: str) -> TaskDefinition | None:
        if TaskDefinition not in self._changed_kinds:
            return self._state.active_task_definition(family)
        return super().active_task_definition(family)

    def revision_of(self, key: Key) -> int:
        return self._state.revision_of(key)

    def free(self, instance: str) -> Room:
        room = self._rooms.get(instance)
        return self._state.free(instance) if room is None else room

    def roster(self, cluster: str) -> Roster:
        if Task not in self._changed_kinds and Instance not in self._changed_kinds:
            return self._state.roster(cluster)
        own = self._rosters.get(cluster)
        if own is not None:
            return own
        if Instance in self._changed_kinds:
            own = Roster((i for i in self.records(Instance) if i.cluster == cluster), self.free)
        else:
            tasks = [put for put in self._puts.values() if isinstance(put, Task) and put.cluster == cluster]
            if not tasks:
                return self._state.roster(cluster)
            own = self._state.roster(cluster).fork()
            for task in tasks:
                own.see_task(self._state.task(task.arn), task, self.free)
        self._rosters[cluster] = own
        return own

    def moves(self, instance: str) -> int:
        return self._state.moves(instance) + self._moves[instance]

    def put(self, record: Record) -> None:
        """Change a record; its revision in the view must still stand at the commit."""
        key = (record.table, record.key)
        self._expected.setdefault(key, self._state.revision_of(key))
        self._changed_kinds.add(type(record))
        self._deletes.pop(key, None)
        if isinstance(record, Task):
            before = self._puts.get(key) or self._state.task(record.arn)
            self._puts[key] = record
            self._move_room(before, record)
            roster = self._rosters.get(record.cluster)
            if roster is not None:
                roster.see_task(before, record, self.free)
            return
        self._puts[key] = record
        if isinstance(record, Instance):
            self._measure_room(record)
            self._rosters.pop(record.cluster, None)

    def _move_room(self, before: Task | None, after: Task) -> None:
        if before is None or before.hold is None:
            if after.hold is not None and after.instance:
                self._rooms[after.instance] = self.free(after.instance).minus(after.hold.amounts)
                self._moves[after.instance] += 1
        elif after.hold is None and before.instance:
            self._rooms[before.instance] = self.free(before.instance).plus(before.hold.amounts)
            self._moves[before.instance] += 1

    def _measure_room(self, instance: Instance) -> None:
        room = Room.whole(instance.registered)
        for task in self.tasks_on(instance.arn):
            room = room if task.hold is None else room.minus(task.hold.amounts)
        self._rooms[instance.arn] = room

    def delete(self, record: Record) -> None:
        """Drop a record."""
        self.expect(record)
        self._puts.pop((record.table, record.key), None)
        self._deletes[record.table, record.key] = None
        self._changed_kinds.add(type(record))
        if isinstance(record, Instance):
            self._rosters.pop(record.cluster, None)

    def expect(self, record: Record) -> None:
        """The decision leans on this record: it must be unchanged at the commit."""
        key = (record.table, record.key)
        self._expected.setdefault(key, self._state.revision_of(key))

    def tell(self, kind: Kind, subject: str, *, id: str = "", **data: Any) -> None:  # noqa: A002 - the story's word
        """Add a line to the story, in the same commit. Nobody changes `data` any more; it is written as JSON."""
        self._story.append(StoryLine(self.now, ACTOR, subject, kind, self.cause, data, id))

    def begin_hold(self, task: Task, instance: str, reason: str) -> Task:
        """Take room for `task` on the placement ledger. Returns the task as it now stands in the draft."""
        amounts = task.amounts
        if amounts.gpus:
            task = gpus.hand_out(task, self.free(instance).gpu_ids)
            amounts = msgspec.structs.replace(amounts, gpu_ids=gpus.handed_out(task))
        hold = Hold(task.arn, amounts, self.now, reason)
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
        self._ended[task.arn] = proof
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
            if isinstance(record, Task) and record.last_status is TaskStatus.STOPPED:
                assert record.hold is None, f"{record.arn} is STOPPED and still holds room"
        return Plan(
            cause=self.cause,
            puts=tuple(self._puts.values()),
            deletes=tuple(self._deletes),
            expected=self._expected,
            ended=self._ended,
            story=tuple(self._story),
        )
