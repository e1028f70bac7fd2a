"""The lifeline of one task as both ledgers saw it: spans, and how two ledgers' spans lie over each other.

The rule: `stretches` is the one place where *phantom* and *queued* come from. Spans are kept by `at`, so an agent's
lines may arrive late without a trace in any figure. This module knows one task at a time, and no story lines.
"""

from collections.abc import Iterator
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

import msgspec

from wire.resources import Amounts
from wire.status import TaskStatus

FOREVER = float("inf")
NOTHING = Amounts()
REPORTED_STOPPED = "REPORTED_STOPPED"
"""Stands for the proof where the agent's own line has not arrived (yet)."""


class Span(msgspec.Struct):
    """One hold on one ledger. Times are epoch seconds."""

    instance: str
    amounts: Amounts
    since: float
    until: float = FOREVER
    proof: str = ""

    def stands(self, at: float) -> bool:
        """Whether the hold stands at that moment."""
        return self.since <= at < self.until


class ContainerLife(msgspec.Struct):
    """What happened to one container of a task. Times are epoch seconds."""

    docker_id: str = ""
    started_at: float | None = None
    signal: str = ""
    signalled_at: float | None = None
    deadline: float | None = None
    """End of the grace."""
    killed_at: float | None = None
    exited_at: float | None = None
    exit_code: int | None = None


class Lifeline(msgspec.Struct):
    """One task, from its placement to the end of its last hold. Times are epoch seconds."""

    task: str
    group: str = ""
    task_definition: str = ""
    instance: str = ""
    amounts: Amounts = NOTHING
    placements: list[Span] = []
    """Holds on the placement ledger; more than one where the task was placed anew."""
    admissions: list[Span] = []
    """Holds on the host ledger."""
    queued_at: float | None = None
    """When the host said that it has no room yet."""
    lacks: tuple[str, ...] = ()
    told_to_stop_at: float | None = None
    """When desiredStatus became STOPPED."""
    stop_reason: str = ""
    statuses: list[tuple[float, str]] = []
    """`lastStatus` as the control plane saw it, oldest first."""
    containers: dict[str, ContainerLife] = {}

    @property
    def last(self) -> str:
        """Newest `lastStatus`; empty before the first."""
        return self.statuses[-1][1] if self.statuses else ""

    @property
    def is_stopped(self) -> bool:
        """Whether the control plane knows it as STOPPED."""
        return self.last == TaskStatus.STOPPED

    @property
    def placed_at(self) -> float | None:
        """Beginning of the first hold on the placement ledger."""
        return self.placements[0].since if self.placements else None

    @property
    def admitted_at(self) -> float | None:
        """Beginning of the first hold on the host ledger."""
        return self.admissions[0].since if self.admissions else None

    @property
    def started_at(self) -> float | None:
        """Start of the first container."""
        return min((c.started_at for c in self.containers.values() if c.started_at is not None), default=None)

    @property
    def signalled_at(self) -> float | None:
        """First stop signal."""
        return min((c.signalled_at for c in self.containers.values() if c.signalled_at is not None), default=None)

    @property
    def killed_at(self) -> float | None:
        """First SIGKILL."""
        return min((c.killed_at for c in self.containers.values() if c.killed_at is not None), default=None)

    @property
    def exited_at(self) -> float | None:
        """Exit of the last container; None while one of them runs."""
        exits = [c.exited_at for c in self.containers.values()]
        return max(e for e in exits if e is not None) if exits and None not in exits else None

    @property
    def exit_codes(self) -> list[int]:
        """Exit codes of the containers that have exited."""
        return [c.exit_code for c in self.containers.values() if c.exit_code is not None]

    def ends_latest(self, at: float) -> float | None:
        """When the grace ends of its last container that was still alive at that moment; None where nobody knows."""
        alive = [c for c in self.containers.values() if c.exited_at is None or c.exited_at > at]
        deadlines = [c.deadline for c in alive]
        return max(d for d in deadlines if d is not None) if deadlines and None not in deadlines else None

    def reached(self, status: TaskStatus) -> float | None:
        """When `lastStatus` first was `status`."""
        return next((at for at, last in self.statuses if last == status), None)

    def is_waiting(self, at: float) -> bool:
        """Whether it is placed and not admitted: the host makes it wait, or has not been told yet."""
        return any(s.side is Side.QUEUED and s.since <= at < s.until for s in stretches(self))

    def ended_at(self) -> float:
        """End of the last hold on either ledger; `FOREVER` while one stands."""
        return max((span.until for span in (*self.placements, *self.admissions)), default=FOREVER)


class Side(StrEnum):
    """How the two ledgers see one task's room at one moment."""

    AGREED = "agreed"
    """Held on both."""
    PHANTOM = "phantom"
    """Ended on the placement ledger, still held on the host: room that is offered and not there."""
    QUEUED = "queued"
    """Held on the placement ledger, not yet admitted on the host."""
    UNREPORTED = "unreported"
    """Free on the host, and the placement ledger does not know it yet."""
    UNPLACED = "unplaced"
    """Held on the host and never seen on the placement ledger (its line is missing, or clocks differ)."""


class Stretch(NamedTuple):
    """A time in which the two ledgers saw a task's room in one way."""

    instance: str
    amounts: Amounts
    side: Side
    since: float
    until: float


def stretches(life: Lifeline) -> Iterator[Stretch]:
    """The two ledgers' views of one task, laid over each other: the one place where phantom and queued come from."""
    for instance in dict.fromkeys(span.instance for span in (*life.placements, *life.admissions)):
        placed = [span for span in life.placements if span.instance == instance]
        held = [span for span in life.admissions if span.instance == instance]
        cuts = sorted({cut for span in (*placed, *held) for cut in (span.since, span.until)} | {FOREVER})
        for left, right in pairwise(cuts):
            side = _side(placed, held, left)
            if side is not None:
                amounts = (held or placed)[-1].amounts
                yield Stretch(instance, amounts, side, left, right)


def _side(placed: list[Span], held: list[Span], at: float) -> Side | None:
    is_placed = any(span.stands(at) for span in placed)
    is_held = any(span.stands(at) for span in held)
    if is_placed and is_held:
        return Side.AGREED
    if is_held:
        return Side.PHANTOM if any(span.until <= at for span in placed) else Side.UNPLACED
    if is_placed:
        return Side.UNREPORTED if any(span.until <= at for span in held) else Side.QUEUED
    return None


def begin(spans: list[Span], life: Lifeline, at: float) -> None:
    """A hold begins. One that stands already (a line sent twice, an agent that came back) stays as it is."""
    if not any(span.instance == life.instance and span.until == FOREVER for span in spans):
        spans.append(Span(life.instance, life.amounts, at))


def end(spans: list[Span], instance: str, at: float, proof: str) -> None:
    """The newest hold on the instance ends. A proven end takes the place of one that was only inferred."""
    for span in reversed(spans):
        if span.instance == instance:
            if span.until == FOREVER or (span.proof == REPORTED_STOPPED and proof != REPORTED_STOPPED):
                span.until, span.proof = max(at, span.since), proof
            return
