"""The arithmetic of CapacityProviderReservation: M instances needed, N running, M / N x 100.

Whole numbers only, so that a ratio at its target is at its target. It knows no task, no alarm and no time.
Source: ECS Developer Guide, "Amazon ECS managed scaling behavior"; AWS containers blog, "Deep dive on Amazon ECS
cluster auto scaling" (0/0, N = 0, M = 0).
"""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

import msgspec

from wire.resources import Amounts, Room

FULL = 100
FROM_NOTHING = 200
"""Percent where something is needed and nothing runs."""


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """`count` tasks with exactly the same requirements that wait for room."""

    amounts: Amounts
    count: int
    is_distinct: bool = False
    """Each wants an instance of its own (`distinctInstance`). No other constraint is looked at, as in ECS."""


class Estimate(msgspec.Struct, frozen=True):
    """How many instances to add, before the step sizes."""

    instances: int
    """Of the largest type: a lower bound, which the next look corrects."""
    incompatible: tuple[Want, ...] = ()
    """What not even one of the smallest type could run: left out, and PROVISIONING until it times out."""


def estimate(wants: Iterable[Want], sizes: Sequence[Amounts]) -> Estimate:
    """Binpack each group on empty instances; the largest count of all groups is what to add.

    `sizes` are what instances of the group's types register (their reserved ports included). With several types the
    smallest and the largest of each parameter count: the smallest to tell what cannot run, the largest to count.
    """
    assert sizes, "a group has an instance type"
    smallest, largest = _extreme(min, sizes), _extreme(max, sizes)
    instances, incompatible = 0, []
    for want in wants:
        if not slots(smallest, want):
            incompatible.append(want)
        else:
            instances = max(instances, -(-want.count // slots(largest, want)))
    return Estimate(instances, tuple(incompatible))


def slots(size: Amounts, want: Want) -> int:
    """How many tasks like `want` an empty instance of this size runs."""
    amounts = want.amounts
    if Room.whole(size).lacks(amounts):
        return 0
    if want.is_distinct or amounts.ports or amounts.ports_udp:
        return 1
    pairs = ((size.cpu, amounts.cpu), (size.memory_mib, amounts.memory_mib), (size.gpus, amounts.gpus))
    return min((free // taken for free, taken in pairs if taken), default=want.count)


def step(instances: int, *, least: int, most: int) -> int:
    """What to add at once: at least the minimum, at most the maximum scaling step; nothing where nothing is missing."""
    return min(max(instances, least), most) if instances else 0


def reservation(needed: int, running: int) -> Fraction:
    """CapacityProviderReservation in percent: M / N x 100; 0/0 is 100, N = 0 is 200, M = 0 is 0."""
    if running:
        return Fraction(FULL * needed, running)
    return Fraction(FROM_NOTHING if needed else FULL)


def _extreme(choose: Callable[[Iterable[int]], int], sizes: Sequence[Amounts]) -> Amounts:
    return Amounts(
        choose(s.cpu for s in sizes),
        choose(s.memory_mib for s in sizes),
        frozenset().union(*(s.ports for s in sizes)),
        frozenset().union(*(s.ports_udp for s in sizes)),
        choose(s.gpus for s in sizes),
    )
