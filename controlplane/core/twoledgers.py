"""Both ledgers of every instance and the lifeline of every task, folded from the story.

The rule: phantom and queued come from `lifeline.stretches` and are summed here; terminal, report, record and tests
read this fold and compute nothing of their own. Lines are taken in order of sequence. An agent's lines come by post
and may be older than the lines before them: every figure is computed from spans by `at`, never from the order.

It does not know policies, tasks' wants, or who is to blame. An agent that sends no story (release `none`, Amazon's
own) has no host ledger to be seen: a task is taken to hold its host's room from RUNNING to STOPPED (assumed).
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, NamedTuple

import msgspec

from controlplane.core.lifeline import (
    FOREVER,
    NOTHING,
    REPORTED_STOPPED,
    ContainerLife,
    Lifeline,
    Side,
    Stretch,
    begin,
    end,
    stretches,
)
from wire.holds import Proof
from wire.resources import Amounts
from wire.status import TaskStatus
from wire.story import Kind, StoryLine

PROVEN = frozenset({Proof.EXIT_SEEN, Proof.NEVER_STARTED})
LIFELINES_MAX = 2000
"""Lifelines kept; beyond that the oldest finished ones are forgotten."""


class Balance(msgspec.Struct, frozen=True):
    """Both ledgers at one moment, of one instance or of several together."""

    registered: Amounts = NOTHING
    agreed: Amounts = NOTHING
    phantom: Amounts = NOTHING
    queued: Amounts = NOTHING
    unreported: Amounts = NOTHING
    unplaced: Amounts = NOTHING

    @property
    def placement_held(self) -> Amounts:
        """What the placement ledger counts as taken."""
        return self.agreed + self.queued + self.unreported

    @property
    def host_held(self) -> Amounts:
        """What is taken on the host."""
        return self.agreed + self.phantom + self.unplaced

    @property
    def placement_free(self) -> Amounts:
        """What the control plane believes is free."""
        return self.registered - self.placement_held

    @property
    def host_free(self) -> Amounts:
        """What the host has free."""
        return self.registered - self.host_held

    def plus(self, side: Side, amounts: Amounts) -> "Balance":
        """This balance with `amounts` more on one side."""
        return msgspec.structs.replace(self, **{side.value: getattr(self, side.value) + amounts})

    def minus(self, side: Side, amounts: Amounts) -> "Balance":
        """This balance with `amounts` less on one side."""
        return msgspec.structs.replace(self, **{side.value: getattr(self, side.value) - amounts})


class Point(NamedTuple):
    """From `at` on (until the next point) the balance was this."""

    at: float
    balance: Balance


class Instance(msgspec.Struct):
    """One registered instance. Times are epoch seconds."""

    arn: str
    registered: Amounts = NOTHING
    zone: str = ""
    instance_type: str = ""
    ec2_instance_id: str = ""
    release: str = ""
    status: str = "ACTIVE"
    is_connected: bool = False
    registered_at: float = 0
    gone_at: float = FOREVER

    @property
    def tells_its_story(self) -> bool:
        """Whether its agent reports the host ledger."""
        return self.release != "none"


class TwoLedgers:
    """The fold. Give it lines in order of sequence; ask it for balances and series at any time."""

    def __init__(self, lines: Iterable[StoryLine] = ()) -> None:
        self.instances: dict[str, Instance] = {}
        self.lifelines: dict[str, Lifeline] = {}
        self.newest_at = 0.0
        for line in lines:
            self.fold(line)

    def fold(self, line: StoryLine) -> None:
        """Take one more line; a kind that says nothing about ledgers or lifelines is passed over."""
        self.newest_at = max(self.newest_at, line.at)
        reader = self._READERS.get(line.kind)
        if reader is not None:
            reader(self, line, line.data)

    def balance(self, instance: str, at: float) -> Balance:
        """Both ledgers of an instance (ARN) at one moment."""
        record = self.instances.get(instance)
        balance = Balance(record.registered if record else NOTHING)
        for stretch in self._stretches((instance,)):
            if stretch.since <= at < stretch.until:
                balance = balance.plus(stretch.side, stretch.amounts)
        return balance

    def series(self, instances: Iterable[str] | None = None) -> list[Point]:
        """Both ledgers over time, of these instances together (ARNs; None: all), as steps in order of time."""
        wanted = tuple(self.instances if instances is None else instances)
        steps: dict[float, list[tuple[Amounts, Amounts, Side | None]]] = {}
        for arn in wanted:
            record = self.instances.get(arn)
            if record is not None:
                steps.setdefault(record.registered_at, []).append((record.registered, NOTHING, None))
                steps.setdefault(record.gone_at, []).append((NOTHING, record.registered, None))
        for stretch in self._stretches(wanted):
            steps.setdefault(stretch.since, []).append((stretch.amounts, NOTHING, stretch.side))
            steps.setdefault(stretch.until, []).append((NOTHING, stretch.amounts, stretch.side))
        points, balance = [], Balance()
        for at in sorted(at for at in steps if at < FOREVER):
            for more, less, side in steps[at]:
                if side is None:
                    balance = msgspec.structs.replace(balance, registered=balance.registered + more - less)
                else:
                    balance = balance.plus(side, more).minus(side, less)
            points.append(Point(at, balance))
        return points

    def tasks_on(self, instance: str) -> list[Lifeline]:
        """Lifelines of the tasks that ever held room on an instance (ARN), oldest first."""
        return [
            life
            for life in self.lifelines.values()
            if any(span.instance == instance for span in (*life.placements, *life.admissions))
        ]

    def queue(self, instance: str, at: float) -> list[Lifeline]:
        """Tasks that wait on an instance (ARN) for their admission, first in line first."""
        waiting = [life for life in self.tasks_on(instance) if life.instance == instance and life.is_waiting(at)]
        return sorted(waiting, key=lambda life: life.queued_at or life.placed_at or 0)

    def _stretches(self, instances: tuple[str, ...]) -> Iterator[Stretch]:
        for life in self.lifelines.values():
            for stretch in stretches(life):
                gone_at = self.instances[stretch.instance].gone_at if stretch.instance in self.instances else FOREVER
                if stretch.instance in instances and stretch.since < gone_at:
                    yield stretch._replace(until=min(stretch.until, gone_at))

    # -- readers of lines ----------------------------------------------------------------------------------------------

    def _life(self, line: StoryLine, data: dict[str, Any]) -> Lifeline:
        life = self.lifelines.get(line.subject)
        if life is None:
            life = self.lifelines[line.subject] = Lifeline(line.subject)
            if len(self.lifelines) > LIFELINES_MAX:
                self._forget_oldest()
        life.group = data.get("group") or life.group
        life.task_definition = data.get("task_definition") or life.task_definition
        life.instance = data.get("instance") or life.instance
        if "cpu" in data or "memory_mib" in data:
            life.amounts = _amounts(data)
        return life

    def _forget_oldest(self) -> None:
        finished = next((task for task, life in self.lifelines.items() if life.ended_at() < FOREVER), None)
        if finished is not None:
            del self.lifelines[finished]

    def _instance(self, arn: str) -> Instance:
        return self.instances.setdefault(arn, Instance(arn))

    def _on_registered(self, line: StoryLine, data: dict[str, Any]) -> None:
        instance = self._instance(line.subject)
        instance.registered = _amounts(data)
        instance.zone = data.get("zone", "")
        instance.instance_type = data.get("instance_type", "")
        instance.ec2_instance_id = data.get("ec2_instance_id", "")
        instance.release = data.get("release", "")
        instance.registered_at = instance.registered_at or line.at
        instance.status, instance.gone_at = "ACTIVE", FOREVER

    def _on_instance_status(self, line: StoryLine, data: dict[str, Any]) -> None:
        instance = self._instance(line.subject)
        instance.status = data.get("status", instance.status)
        instance.is_connected = bool(data.get("connected", instance.is_connected))
        if instance.status == "INACTIVE":
            instance.gone_at = min(instance.gone_at, line.at)

    def _on_placement_held(self, line: StoryLine, data: dict[str, Any]) -> None:
        life = self._life(line, data)
        begin(life.placements, life, line.at)

    def _on_placement_ended(self, line: StoryLine, data: dict[str, Any]) -> None:
        life = self._life(line, data)
        if not life.placements:
            begin(life.placements, life, float(data.get("since", line.at)))
        proof = str(data.get("proof", ""))
        end(life.placements, life.instance, line.at, proof)
        if proof in PROVEN:
            # The agent has seen the end; its own line about the host comes by post, and takes this one's place.
            end(life.admissions, life.instance, line.at, REPORTED_STOPPED)

    def _on_desired(self, line: StoryLine, data: dict[str, Any]) -> None:
        life = self._life(line, data)
        if data.get("desired") == "STOPPED" and life.told_to_stop_at is None:
            life.told_to_stop_at = line.at
            life.stop_reason = str(data.get("reason") or "")

    def _on_status(self, line: StoryLine, data: dict[str, Any]) -> None:
        life = self._life(line, data)
        last = TaskStatus(data["last"])
        if life.last != last:
            life.statuses.append((line.at, last.value))
        is_told = self._instance(life.instance).tells_its_story if life.instance else True
        if not is_told and not last.is_starting and last is not TaskStatus.STOPPED:
            begin(life.admissions, life, line.at)
        if last is TaskStatus.STOPPED:
            # The agent's own line says it better, but it comes by post and may be lost.
            end(life.admissions, life.instance, line.at, REPORTED_STOPPED)

    def _on_queued(self, line: StoryLine, data: dict[str, Any]) -> None:
        life = self._life(line, data)
        life.queued_at = life.queued_at or line.at
        life.lacks = tuple(data.get("lacks") or ())

    def _on_host_held(self, line: StoryLine, data: dict[str, Any]) -> None:
        life = self._life(line, data)
        begin(life.admissions, life, line.at)

    def _on_host_ended(self, line: StoryLine, data: dict[str, Any]) -> None:
        life = self._life(line, data)
        end(life.admissions, life.instance, line.at, str(data.get("proof", "")))

    def _on_container(self, line: StoryLine, data: dict[str, Any]) -> None:
        life = self._life(line, {})
        container = life.containers.setdefault(str(data.get("container", "")), ContainerLife())
        container.docker_id = data.get("docker_id") or container.docker_id
        match line.kind:
            case Kind.CONTAINER_STARTED:
                container.started_at = line.at
            case Kind.CONTAINER_SIGNALLED:
                container.signalled_at = container.signalled_at or line.at
                container.signal = str(data.get("signal", ""))
                container.deadline = data.get("deadline")
            case Kind.CONTAINER_KILLED:
                container.killed_at = container.killed_at or line.at
            case Kind.CONTAINER_EXITED:
                container.exited_at = data.get("finished_at") or line.at
                container.exit_code = data.get("exit_code")

    _READERS: ClassVar[dict[str, Callable[["TwoLedgers", StoryLine, dict[str, Any]], None]]] = {
        Kind.INSTANCE_REGISTERED: _on_registered,
        Kind.INSTANCE_STATUS: _on_instance_status,
        Kind.PLACEMENT_HELD: _on_placement_held,
        Kind.PLACEMENT_ENDED: _on_placement_ended,
        Kind.TASK_DESIRED: _on_desired,
        Kind.TASK_STATUS: _on_status,
        Kind.HOST_QUEUED: _on_queued,
        Kind.HOST_HELD: _on_host_held,
        Kind.HOST_ENDED: _on_host_ended,
        Kind.CONTAINER_CREATED: _on_container,
        Kind.CONTAINER_STARTED: _on_container,
        Kind.CONTAINER_SIGNALLED: _on_container,
        Kind.CONTAINER_KILLED: _on_container,
        Kind.CONTAINER_EXITED: _on_container,
    }


def _amounts(data: dict[str, Any]) -> Amounts:
    return Amounts(int(data.get("cpu", 0)), int(data.get("memory_mib", 0)))


class Measure(msgspec.Struct, frozen=True):
    """Peaks and integrals of phantom and queued room over a time."""

    phantom_cpu_peak: int = 0
    phantom_memory_mib_peak: int = 0
    phantom_cpu_seconds: float = 0
    """CPU units times seconds."""
    phantom_memory_mib_seconds: float = 0
    queued_cpu_seconds: float = 0
    queued_memory_mib_seconds: float = 0


def measure(series: list[Point], since: float, until: float) -> Measure:
    """Measure a series between two moments (epoch seconds)."""
    ends = [point.at for point in series[1:]] + [FOREVER]
    cut = [
        (point.balance, min(end, until) - max(point.at, since))
        for point, end in zip(series, ends, strict=True)
        if end > since and point.at < until
    ]
    return Measure(
        phantom_cpu_peak=max((b.phantom.cpu for b, _ in cut), default=0),
        phantom_memory_mib_peak=max((b.phantom.memory_mib for b, _ in cut), default=0),
        phantom_cpu_seconds=sum(b.phantom.cpu * seconds for b, seconds in cut),
        phantom_memory_mib_seconds=sum(b.phantom.memory_mib * seconds for b, seconds in cut),
        queued_cpu_seconds=sum(b.queued.cpu * seconds for b, seconds in cut),
        queued_memory_mib_seconds=sum(b.queued.memory_mib * seconds for b, seconds in cut),
    )
