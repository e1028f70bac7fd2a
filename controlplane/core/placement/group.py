"""Many copies at once, with the result of placing them one by one.

Each instance offers slots, one behind the other. A greedy choice always takes the head slot with the least key; where
every domain's own sequence of keys ascends, that merge is one sort. It does so for a chain of spreads, each within the
one before (zone, then instance), and for one binpack at the end, which fills an instance before it opens the next.
"""

from itertools import pairwise

import numpy as np

from controlplane.core.placement.field import Field, Hashes
from controlplane.core.placement.strategies import Binpack, Level, Resource, Spread
from controlplane.core.roster import Integers

Keys = list[Integers | Hashes]


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
    outer = domains[-1] if domains else np.zeros_like(free)
    per_instance = len(np.unique(outer)) == len(outer)
    if per_instance:
        parent = domains[-2] if len(domains) > 1 else np.zeros_like(free)
        caps = _water_fill(field, parent, count)
    else:
        caps = _fill(field, outer, free, rank, count)
    slots = np.repeat(np.arange(len(rank)), caps)
    nth = np.arange(len(slots)) - np.repeat(np.cumsum(caps) - caps, caps)
    # The last key of lexsort is the first to count. Inside of its domain an instance is filled to the end; between
    # domains the head slots compare, by what is left at that point.
    fill: Keys = [nth, rank[slots], free[slots]]
    keys: Keys = [rank[slots], free[slots] - nth * cost]
    for domain in reversed(domains):
        base = np.bincount(domain, weights=field.counts).astype(np.int64)
        position = _position(domain[slots], fill if domain is outer else keys)
        keys.append(base[domain[slots]] + position)
    order = np.lexsort(keys if domains else fill)[:count]
    chosen: Integers = slots[order]
    return chosen


def _position(domain: Integers, keys: Keys) -> Integers:
    """Place of each slot in the sequence of its own domain, from 0."""
    order = np.lexsort([*keys, domain])
    in_order = domain[order]
    starts = np.flatnonzero(np.r_[True, in_order[1:] != in_order[:-1]]) if len(order) else order
    lengths = np.diff(np.r_[starts, len(order)])
    position = np.empty_like(order)
    position[order] = np.arange(len(order)) - np.repeat(starts, lengths)
    return position


def _fill(field: Field, domain: Integers, free: Integers, rank: Hashes, count: int) -> Integers:
    """Slots that can matter where a domain fills one instance after the other: no more than `count` in each domain."""
    caps = field.caps(count)
    order = np.lexsort([rank, free, domain])
    before = np.cumsum(caps[order]) - caps[order]
    in_order = domain[order]
    starts = np.flatnonzero(np.r_[True, in_order[1:] != in_order[:-1]])
    before -= np.repeat(before[starts], np.diff(np.r_[starts, len(order)]))
    needed = np.zeros_like(caps)
    needed[order] = np.where((before < count) & (before >= 0), caps[order], 0)
    return needed


def _water_fill(field: Field, parent: Integers, count: int) -> Integers:
    """Slots that can matter where the instances of a parent domain are levelled: up to the level of `count` copies."""
    caps = field.caps(count)
    needed = np.zeros_like(caps)
    for number in np.unique(parent):
        inside = parent == number
        counts, inside_caps = field.counts[inside], caps[inside]
        low, high = int(counts.min()), int((counts + inside_caps).max())
        while low < high:
            level = (low + high) // 2
            if np.clip(level - counts, 0, inside_caps).sum() >= count:
                high = level
            else:
                low = level + 1
        needed[inside] = np.clip(low - counts, 0, inside_caps)
    return needed


def _refines(fine: Integers, coarse: Integers) -> bool:
    """Whether each domain of `fine` lies within one of `coarse`."""
    pairs = fine * (coarse.max() + 1) + coarse
    return len(np.unique(pairs)) == len(np.unique(fine))
