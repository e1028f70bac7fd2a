"""Why a placed task waits: who holds the room, since when, until when at the latest, and who stands before it.

The rule: it reads the fold of both ledgers and computes no amounts of its own. It does not know policies, and gives no
advice; its sentence says what is so.
"""

import msgspec

from controlplane.core.lifeline import Lifeline, Side, stretches
from controlplane.core.twoledgers import TwoLedgers
from wire.arn import short_id
from wire.resources import Amounts

SHORT = 8
"""Digits of an id in a sentence."""


class Holder(msgspec.Struct, frozen=True):
    """A task that holds room on the host. Times are epoch seconds."""

    task: str
    amounts: Amounts
    since: float
    """When the room became its own."""
    told_to_stop_at: float | None
    ends_latest: float | None
    """End of its grace; None where nobody knows (it has not been signalled)."""
    is_phantom: bool
    """Whether the placement ledger counts its room as free."""


class Blame(msgspec.Struct, frozen=True):
    """Why one task waits. Times are epoch seconds."""

    task: str
    instance: str
    waits_since: float
    lacks: tuple[str, ...]
    holders: tuple[Holder, ...]
    """Who holds the room: those whose room is phantom, or all where there is none."""
    ahead: tuple[str, ...]
    """Tasks before it in the host's queue."""
    sentence: str


def blame(ledgers: TwoLedgers, task: str, *, now: float, host: str = "") -> Blame | None:
    """Why `task` (ARN) waits at `now` (epoch seconds); None where it does not. `host` is what to call its instance."""
    life = ledgers.lifelines.get(task)
    if life is None or life.is_stopped or not life.is_waiting(now):
        return None
    instance = life.instance
    queue = [other.task for other in ledgers.queue(instance, now)]
    ahead = tuple(queue[: queue.index(task)]) if task in queue else ()
    holders = [holder for other in ledgers.tasks_on(instance) if (holder := _holder(other, instance, now))]
    phantoms = [holder for holder in holders if holder.is_phantom]
    blocking = tuple(phantoms or holders)
    waits_since = max(span.since for span in life.placements if span.instance == instance and span.stands(now))
    return Blame(
        task=task,
        instance=instance,
        waits_since=waits_since,
        lacks=life.lacks,
        holders=blocking,
        ahead=ahead,
        sentence=_sentence(
            ledgers, life, waits_since=waits_since, holders=blocking, ahead=ahead, now=now, host=host or instance
        ),
    )


def blames(ledgers: TwoLedgers, now: float) -> list[Blame]:
    """All tasks that wait at `now` and why, by instance and place in the queue."""
    return [
        reason
        for instance in ledgers.instances
        for life in ledgers.queue(instance, now)
        if (reason := blame(ledgers, life.task, now=now))
    ]


def _holder(life: Lifeline, instance: str, now: float) -> Holder | None:
    for stretch in stretches(life):
        stands = stretch.instance == instance and stretch.since <= now < stretch.until
        if stands and stretch.side not in (Side.QUEUED, Side.UNREPORTED):
            return Holder(
                task=life.task,
                amounts=stretch.amounts,
                since=max(span.since for span in life.admissions if span.stands(now)),
                told_to_stop_at=life.told_to_stop_at,
                ends_latest=life.ends_latest(now),
                is_phantom=stretch.side is Side.PHANTOM,
            )
    return None


def _sentence(
    ledgers: TwoLedgers,
    life: Lifeline,
    *,
    waits_since: float,
    holders: tuple[Holder, ...],
    ahead: tuple[str, ...],
    now: float,
    host: str,
) -> str:
    told = [_say_holder(ledgers, holder, now) for holder in holders]
    line = {0: "nothing is queued ahead of it", 1: "one task is queued ahead of it"}.get(
        len(ahead), f"{len(ahead)} tasks are queued ahead of it"
    )
    return (
        f"{_name(life)} waits on {short_id(host)} for {now - waits_since:.0f} s: "
        f"{'; '.join(told) or 'nobody holds its room, its start is on the way'}; {line}."
    )


def _say_holder(ledgers: TwoLedgers, holder: Holder, now: float) -> str:
    name = _name(ledgers.lifelines[holder.task])
    room = f"{holder.amounts.cpu} CPU and {holder.amounts.memory_mib} MiB"
    if holder.told_to_stop_at is None:
        return f"{name} runs and holds {room}"
    asked = f"{name}, asked to stop {now - holder.told_to_stop_at:.0f} s ago, still holds {room}"
    if holder.ends_latest is None:
        return f"{asked}, until nobody knows when"
    return f"{asked}, for {max(holder.ends_latest - now, 0):.0f} s more at the latest"


def _name(life: Lifeline) -> str:
    definition = short_id(life.task_definition)
    return f"{definition} {short_id(life.task)[:SHORT]}".strip()
