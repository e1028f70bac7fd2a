"""Many copies at once, with the result of placing them one by one.

Each instance offers slots, one behind the other. A greedy choice always takes the head slot with the least key; where
every domain's own sequence of keys ascends, that merge is one sort. It does so for a chain of spreads, each within the
one before (zone, then instance), and for one binpack at the end, which fills an instance before it opens the next.
How many slots can matter is reckoned first, as water fills a vessel: so the sort is of little more than `count`.
"""

from itertools import pairwise

import numpy as np

from controlplane.core.placement.field import Field, Hashes
from controlplane.core.placement.strategies import Binpack, Level, Resource, Spread
from controlplane.core.roster import Integers


def is_groupable(chain: tuple[Level, ...], domains: list[Integers]) -> bool:
    """Whether the sort gives what one by one would."""
    if not all(isinstance(level, Spread) for level in chain[:-1]) or not isinstance(chain[-1], (Spread, Binpack)):
        return False
    return all(_refines(fine, coarse) for coarse, fine in pairwise(domains))


def choose(field: Field, domains: list[Integers], binpack: Binpack | None, rank: Hashes, count: int) -> Integers:
    """Indexes of the instances that take up to `count` copies, in the order of the copies."""
    free: Integers = np.zeros(len(rank), dtype=np.int64)
    cost = 0
    if binpack is not None and binpack.resource is Resource.CPU:
        free, cost = field.cpu, field.want.cpu
    elif binpack is not None:
        free, cost = field.memory, field.want.memory_mib
    by_rank = np.argsort(rank)
    filling = by_rank[_sorted(free[by_rank])]
    caps = _slots(field, domains, filling, count)[filling]
    slots: Integers = np.repeat(filling, caps)
    if binpack is not None and domains:
        # Inside of its domain an instance is filled to the end; between domains the head slots compare, by what is
        # left at that point.
        nth = np.arange(len(slots)) - np.repeat(np.cumsum(caps) - caps, caps)
        turns = _turns(field, domains[-1], slots)
        slots = slots[np.lexsort((rank[slots], free[slots] - nth * cost, turns))]
        domains = domains[:-1]
    for domain in reversed(domains):
        slots = slots[_sorted(_turns(field, domain, slots))]
    return slots[:count]


def _slots(field: Field, domains: list[Integers], filling: Integers, count: int) -> Integers:
    """Slots of each instance that can matter: of each domain only as many as levelling it with its like can take."""
    caps = field.caps(count)
    within, quotas = np.zeros_like(caps), np.array([count])
    for domain in domains:
        parent = np.zeros(domain.max() + 1, dtype=np.int64)
        parent[domain] = within
        quotas = _levelled(_totals(domain, field.counts), _totals(domain, caps), parent, quotas)
        within = domain
    before = np.zeros_like(caps)
    before[filling] = _before(within[filling], caps[filling])
    slots: Integers = np.clip(quotas[within] - before, 0, caps)
    return slots


def _levelled(levels: Integers, rooms: Integers, vessel: Integers, quotas: Integers) -> Integers:
    """What each part takes until those of its vessel have taken the vessel's quota: the least level that holds it."""
    low, high = np.zeros_like(quotas), np.full_like(quotas, (levels + rooms).max())
    while (low < high).any():
        middle = (low + high) // 2
        holds = _totals(vessel, np.clip(middle[vessel] - levels, 0, rooms), len(quotas)) >= quotas
        low, high = np.where(holds, low, np.minimum(middle + 1, high)), np.where(holds, middle, high)
    taken: Integers = np.clip(low[vessel] - levels, 0, rooms)
    return taken


def _turns(field: Field, domain: Integers, slots: Integers) -> Integers:
    """How many tasks of the group each slot would find in its domain, if those before it are taken."""
    own = domain[slots]
    return _totals(domain, field.counts)[own] + _before(own, np.ones_like(own))


def _before(domain: Integers, amounts: Integers) -> Integers:
    """For each, the sum of the amounts before it in its own domain."""
    order = _sorted(domain)
    in_order, sums = domain[order], np.cumsum(amounts[order]) - amounts[order]
    starts = np.searchsorted(in_order, in_order)
    before = np.empty_like(sums)
    before[order] = sums - sums[starts]
    return before


def _totals(domain: Integers, amounts: Integers, length: int = 0) -> Integers:
    """The sum of the amounts of each domain."""
    return np.bincount(domain, weights=amounts, minlength=length).astype(np.int64)


def _sorted(keys: Integers) -> Integers:
    """The order that sorts them; equal ones stay as they are. Small numbers are sorted by radix, in one sweep."""
    is_small = len(keys) and keys.max() <= np.iinfo(np.uint16).max and keys.min() >= 0
    return np.argsort(keys.astype(np.uint16) if is_small else keys, kind="stable")


def _refines(fine: Integers, coarse: Integers) -> bool:
    """Whether each domain of `fine` lies within one of `coarse`."""
    parent = np.zeros(fine.max() + 1, dtype=np.int64)
    parent[fine] = coarse
    return bool((parent[fine] == coarse).all())
