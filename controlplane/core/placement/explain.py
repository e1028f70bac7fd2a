"""Why nothing fits, in AWS's words.

Source: ECS Developer Guide, "API failure reasons" and "Service event messages". AWS reports one reason for an instance;
CPU is looked at before memory, memory before ports, the agent before all (assumed).
"""

from collections import Counter
from collections.abc import Iterable

import msgspec

from wire.arn import short_id
from wire.resources import Amounts, Room

AGENT = "AGENT"
ATTRIBUTE = "ATTRIBUTE"
MEMBER_OF = "MemberOf placement constraint unsatisfied."
DISTINCT = "DistinctInstance placement constraint unsatisfied."
"""Worded after AWS's own `MemberOf placement constraint unsatisfied.` (assumed)."""
SCHEDULER = "SCHEDULER"
"""The reason where a scheduler of one's own, not an instance, is at fault. Ours."""
RESOURCE_PREFIX = "RESOURCE:"

_WORDS = {"CPU": "CPU", "MEMORY": "memory", "PORTS": "a free host port", "GPU": "GPUs"}
_NEAR = ("GPU", "PORTS", "MEMORY", "CPU")
"""Resources in the order in which an instance that lacks only them is near to a match."""
_SENTENCES = {
    "RESOURCE:CPU": "has insufficient CPU units available.",
    "RESOURCE:MEMORY": "has insufficient memory available.",
    "RESOURCE:GPU": "has insufficient GPU resource available.",
    "RESOURCE:PORTS": "is already using a port required by your task.",
    "ATTRIBUTE": "is missing an attribute required by your task.",
}


class Refusal(msgspec.Struct, frozen=True):
    """Why one instance that was looked at does not take the next copy.

    `reason` is AWS's, as `RESOURCE:CPU`; `missing` is how much of that resource it lacks; `lacks` says it in words.
    """

    instance: str
    reason: str
    missing: int = 0
    lacks: str = ""


def lacking(instance: str, room: Room, want: Amounts) -> Refusal | None:
    """The refusal of an instance (ARN) with `room`; None where `want` fits."""
    lacks = room.lacks(want)
    if not lacks:
        return None
    missing = {"CPU": want.cpu - room.cpu, "MEMORY": want.memory_mib - room.memory_mib, "GPU": want.gpus - room.gpus}
    return Refusal(instance, RESOURCE_PREFIX + lacks[0], missing.get(lacks[0], 0), _WORDS[lacks[0]])


def attribute(lacked: tuple[str, str | None] | None) -> str:
    """A required attribute, in words."""
    assert lacked is not None
    name, value = lacked
    return f"the attribute {name}" + (f"={value}" if value else "")


def member_of(text: str) -> str:
    """An expression that does not hold, in words."""
    return f"what the constraint '{text}' asks for"


def sentence(refusals: Iterable[Refusal]) -> str:
    """All refusals in one sentence: "3 of 5 instances lack memory, 2 lack the attribute gpu=true."."""
    refusals = list(refusals)
    faults = "; ".join(refusal.lacks for refusal in refusals if refusal.reason == SCHEDULER)
    counts = Counter(refusal.lacks for refusal in refusals if refusal.reason != SCHEDULER)
    if not counts:
        return f"{faults[:1].upper()}{faults[1:]}." if faults else "There are no instances."
    (most, first), *rest = counts.most_common()
    instances = counts.total()
    text = f"{first} of {instances} instance{'s' * (instances > 1)} lack{'s' * (first == 1)} {most}"
    text += "".join(f", {count} lack{'s' * (count == 1)} {lacks}" for lacks, count in rest)
    return f"{text}; {faults}." if faults else f"{text}."


def tally(refusals: Iterable[Refusal]) -> dict[str, int]:
    """How many instances gave which reason."""
    return dict(sorted(Counter(refusal.reason for refusal in refusals).items()))


def closest(refusals: Iterable[Refusal]) -> Refusal | None:
    """The closest match: it passed the most looks, then lacks the least, then has the first ARN (assumed)."""

    def distance(refusal: Refusal) -> tuple[int, int, str]:
        resource = refusal.reason.removeprefix(RESOURCE_PREFIX)
        looks = _NEAR.index(resource) if resource in _NEAR else len(_NEAR)
        return looks, refusal.missing, refusal.instance

    return min(refusals, key=distance, default=None)


def unable_to_place(service: str, refusals: Iterable[Refusal]) -> str:
    """The service event about a task that fits nowhere; `service` is its name."""
    text = f"(service {service}) was unable to place a task because no container instance met all of its requirements. "
    nearest = closest(refusals)
    if nearest is None:
        text += "Reason: No Container Instances were found in your cluster."
    else:
        why = _SENTENCES.get(nearest.reason, f'encountered error "{nearest.reason}".')
        text += f"The closest matching (container-instance {short_id(nearest.instance)}) {why}"
    return f"{text} For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
