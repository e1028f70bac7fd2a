"""A standing: who of a cluster takes the next copy of one kind of request. It is kept, and follows the roster.

A decision then costs what has changed since the last one, and one search: no look at every instance. The instances that
share all values that the chain spreads over are a *cell*; in a cell, one number per instance says who is first. Equal
numbers are a tie, for the dice. What it does not take (`is_followed`) is placed by the field, with the same result.
"""

import copy
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np

from controlplane.core.names import Dice
from controlplane.core.placement.field import Field, Mask, ranked, scattered
from controlplane.core.placement.request import Caution, Request
from controlplane.core.placement.strategies import Binpack, Level, Random, Resource, Spread
from controlplane.core.roster import Integers, Roster

NEVER = np.iinfo(np.int64).max
"""Of an instance that takes no copy, and of a cell without any other."""
_BITS = {"count": 20, Resource.CPU: 26, Resource.MEMORY: 30}
"""Width of each part of an instance's number: a million tasks, 65,536 vCPUs, a pebibyte."""
_BITS_MAX = 62


class Order(NamedTuple):
    """A chain in the form that a standing takes: between cells, then within a cell, then any."""

    spreads: tuple[Spread, ...]
    parts: tuple[str, ...]
    is_random: bool


def order_of(chain: tuple[Level, ...]) -> Order | None:
    """The chain in that form; None where a spread over an attribute comes behind what each instance is by itself."""
    spreads: list[Spread] = []
    parts: list[str] = []
    for level in chain:
        if isinstance(level, Random):
            break
        if isinstance(level, Spread) and level.attribute is not None:
            if parts:
                return None
            spreads.append(level)
        else:
            part = level.resource if isinstance(level, Binpack) else "count"
            parts += [part] if part not in parts else []
    if sum(_BITS[part] for part in parts) > _BITS_MAX:
        return None
    return Order(tuple(spreads), tuple(parts), isinstance(chain[-1], Random))


def is_followed(request: Request) -> bool:
    """Whether its answer hangs on nothing but the columns of the roster; the constraints are asked for besides."""
    looks_at_all = not request.avoid and request.only is None
    wants_no_port = not request.amounts.ports and not request.amounts.ports_udp
    return looks_at_all and wants_no_port and request.caution is Caution.NONE


def key_of(request: Request) -> bytes:
    """What a standing is kept under: all of its request but `count`."""
    wanted = (request.amounts.cpu, request.amounts.memory_mib, request.amounts.gpus)
    return msgspec.msgpack.encode((request.group, wanted, request.strategy, request.constraints, request.required))


class Standing:
    """Keep it under a key of the roster that stands for the request without its `count`."""

    def __init__(self, roster: Roster, field: Field, request: Request, order: Order) -> None:
        self.roster = roster
        self._order = order
        self._want = request.amounts
        self._is_single = field.single
        self._group = request.group
        self._counted: Integers = field.counts.copy()
        self._open: Mask = field.admitted
        self._tick = roster.tick
        domains = [field.domains(spread) for spread in order.spreads]
        cell_of = np.zeros(len(roster.instances), dtype=np.int64)
        for domain in domains:
            cell_of = np.unique(cell_of * (domain.max() + 1) + domain, return_inverse=True)[1]
        self._cell_of: Integers = cell_of
        self._members: Integers = np.argsort(cell_of, kind="stable")
        """Indexes of the instances, cell after cell; `_numbers` run parallel."""
        self._place_of: Integers = np.empty_like(self._members)
        self._place_of[self._members] = np.arange(len(self._members))
        self._scattered = scattered(self._members)
        edges = np.searchsorted(cell_of[self._members], np.arange(cell_of.max() + 2)).tolist()
        self._cells = [slice(start, end) for start, end in pairwise(edges)]
        first = self._members[edges[:-1]]
        self._domains = domains
        self._domains_of_cells = [domain[first] for domain in domains]
        self._totals = [np.bincount(domain, weights=self._counted).astype(np.int64) for domain in domains]
        self._numbers: Integers = self._all_numbers()[self._members]
        self._best: Integers = np.array([self._numbers[cell].min() for cell in self._cells], dtype=np.int64)

    def forked(self, roster: Roster) -> "Standing":
        other = copy.copy(self)
        other.roster = roster
        other._unshare()  # noqa: SLF001 - it is of this class
        return other

    def _unshare(self) -> None:
        self._counted, self._numbers, self._best = self._counted.copy(), self._numbers.copy(), self._best.copy()
        self._totals = [total.copy() for total in self._totals]

    def catch_up(self) -> bool:
        """Take in what has changed in the roster; False where too much has, and a new one must be made."""
        counts = self.roster.known_counts(self._group)
        if counts is None or self.roster.instance_tick > self._tick:
            return False
        for index in self.roster.moved_since(self._tick):
            count = int(counts[index])
            if count != self._counted[index]:
                for domain, total in zip(self._domains, self._totals, strict=True):
                    total[domain[index]] += count - self._counted[index]
                self._counted[index] = count
            place, number = self._place_of[index], self._number(index, count)
            if number != self._numbers[place]:
                self._numbers[place] = number
                cell = self._cell_of[index]
                numbers = self._numbers[self._cells[cell]]
                self._best[cell] = numbers[numbers.argmin()]
        self._tick = self.roster.tick
        return True

    def take(self, index: int) -> None:
        """One copy goes to the instance at `index`: the roster that this one follows must be a fork."""
        self.roster.book(index, self._want, self._group)
        self.catch_up()

    def first(self, draw: int, dice: Dice) -> int | None:
        """Index of the instance that takes the next copy; None: no instance does. `draw` decides ties of a request."""
        cells = (self._best != NEVER).nonzero()[0]
        for domain, total in zip(self._domains_of_cells, self._totals, strict=True):
            if len(cells) > 1:
                keys = total[domain[cells]]
                cells = cells[keys == keys[keys.argmin()]]
        if not len(cells):
            return None
        best = self._best[cells]
        number = best[best.argmin()]
        tied = self._places(cells[best == number].tolist(), number)
        if self._order.is_random:
            indexes = self._members[tied] if len(self._cells) == 1 else np.sort(self._members[tied])
            return int(indexes[dice.randrange(len(tied))])
        return int(self._members[tied[0] if len(tied) == 1 else tied[ranked(self._scattered[tied], draw).argmin()]])

    def _places(self, cells: list[int], number: np.int64) -> Integers:
        """Of all in these cells that have this number."""
        found = [(self._numbers[self._cells[c]] == number).nonzero()[0] + self._cells[c].start for c in cells]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _number(self, index: int, count: int) -> int:
        roster, want = self.roster, self._want
        cpu, memory = int(roster.cpu[index]), int(roster.memory[index])
        fits = want.cpu <= cpu and want.memory_mib <= memory and want.gpus <= roster.gpus[index]
        if not fits or not self._open[index] or (self._is_single and count):
            return NEVER
        number = 0
        for part in self._order.parts:
            value = count if part == "count" else cpu if part is Resource.CPU else memory
            number = number << _BITS[part] | value
        return number

    def _all_numbers(self) -> Integers:
        """`_number` of every instance."""
        roster, want = self.roster, self._want
        fits = self._open & (roster.cpu >= want.cpu) & (roster.memory >= want.memory_mib) & (roster.gpus >= want.gpus)
        if self._is_single:
            fits &= self._counted == 0
        numbers = np.zeros(len(fits), dtype=np.int64)
        for part in self._order.parts:
            values = self._counted if part == "count" else roster.cpu if part is Resource.CPU else roster.memory
            numbers = numbers << _BITS[part] | values
        return np.where(fits, numbers, NEVER)
