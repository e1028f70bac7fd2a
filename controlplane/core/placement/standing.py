"""A standing: who of a cluster takes the next copy of one kind of request. It is kept, and follows the roster.

A decision then costs what has changed since the last one, and one search: no look at every instance. The instances that
share all values that the chain spreads over are a *cell*. One number per cell says which is first, and in it one number
per instance says who is. Equal numbers are a tie, for the dice. What it does not take (`is_followed`, `order_of`) is
placed by the field, with the same result.
"""

import copy
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np

from controlplane.core.names import Dice
from controlplane.core.placement.field import Field, Mask, scattered
from controlplane.core.placement.request import Caution, Request
from controlplane.core.placement.strategies import Binpack, Level, Random, Resource, Spread
from controlplane.core.placement.tie import Tie
from controlplane.core.roster import Integers, Roster

NEVER = np.iinfo(np.int64).max
"""Of an instance that takes no copy, and the best of a cell without any other."""
FULL = 1 << 62
"""On top of the number of a cell where no instance takes a copy."""
_COUNT_BITS = 20
"""Of tasks: a million."""
_BITS = {"count": _COUNT_BITS, Resource.CPU: 26, Resource.MEMORY: 30}
"""Width of each part of an instance's number; the last two are 65,536 vCPUs, a pebibyte."""
_BITS_MAX = 62


class Order(NamedTuple):
    """A chain in the form that a standing takes: between cells, then within a cell, then any."""

    spreads: tuple[Spread, ...]
    parts: tuple[str, ...]
    is_random: bool


def order_of(chain: tuple[Level, ...]) -> Order | None:
    """The chain in that form.

    None where a spread over an attribute comes behind what each instance is by itself, or more stands in the chain than
    the numbers are wide.
    """
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
    if max(sum(_BITS[part] for part in parts), _COUNT_BITS * len(spreads)) > _BITS_MAX:
        return None
    return Order(tuple(spreads), tuple(parts), isinstance(chain[-1], Random))


def is_followed(request: Request) -> bool:
    """Whether its answer hangs on nothing but the columns of the roster; the constraints are asked for besides."""
    if request.avoid or request.only is not None or request.caution is not Caution.NONE:
        return False
    return not (request.amounts.ports or request.amounts.ports_udp)


def key_of(request: Request) -> bytes:
    """What a standing is kept under: all of its request but `count`."""
    r = request
    return msgspec.msgpack.encode((r.group, r.amounts, r.strategy, r.constraints, r.required))


class Standing:
    """Keep it under a key of the roster that stands for the request without its `count`."""

    def __init__(self, roster: Roster, field: Field, request: Request, order: Order) -> None:
        self.roster = roster
        self._order = order
        self._want = request.amounts
        self._is_single = field.single
        self._group = request.group
        self._counted: Integers = field.counts.copy()
        """Tasks of the group on each instance, as `_leads` has them."""
        self._open: list[bool] = field.admitted.tolist()
        self._tick = roster.tick
        domains = [field.domains(spread) for spread in order.spreads]
        cell_of = np.zeros(len(roster.instances), dtype=np.int64)
        for domain in domains:
            cell_of = np.unique(cell_of * (domain.max() + 1) + domain, return_inverse=True)[1]
        self._cell_of: list[int] = cell_of.tolist()
        self._members: Integers = np.argsort(cell_of, kind="stable")
        """Indexes of the instances, cell after cell; `_numbers` run parallel."""
        self._place_of: list[int] = np.argsort(self._members).tolist()
        self._scattered = scattered(self._members)
        edges = np.searchsorted(cell_of[self._members], np.arange(cell_of.max() + 2)).tolist()
        self._cells = [slice(start, end) for start, end in pairwise(edges)]
        self._numbers: Integers = self._all_numbers(field.admitted)[self._members]
        self._best: Integers = np.array([self._numbers[cell].min() for cell in self._cells], dtype=np.int64)
        self._ties: dict[int, Tie] = {}
        """By cell, those of its best number; made when they are asked for."""
        self._leads: Integers = np.where(self._best == NEVER, FULL, 0)
        """The tasks in the domains of each cell, as one number."""
        self._steps = [1 << (_COUNT_BITS * nth) for nth in reversed(range(len(domains)))]
        """What one task more in a domain of each spread adds to it."""
        first = self._members[edges[:-1]]
        self._within = [_places_by_value(domain[first]) for domain in domains]
        """For each spread and each domain, its cells."""
        self._domain_of: list[list[int]] = [domain.tolist() for domain in domains]
        for domain, step in zip(domains, self._steps, strict=True):
            self._leads += step * np.bincount(domain, weights=self._counted).astype(np.int64)[domain[first]]

    def forked(self, roster: Roster) -> "Standing":
        other = copy.copy(self)
        other.roster = roster
        other._unshare()  # noqa: SLF001 - it is of this class
        return other

    def _unshare(self) -> None:
        self._counted, self._numbers = self._counted.copy(), self._numbers.copy()
        self._best, self._leads = self._best.copy(), self._leads.copy()
        self._ties = {}

    def catch_up(self) -> bool:
        """Take in what has changed in the roster; False where too much has, and a new one must be made."""
        roster = self.roster
        counts = roster.known_counts(self._group)
        if counts is None or roster.instance_tick > self._tick:
            return False
        for index in set(roster.moved_since(self._tick)):
            count = counts.item(index)
            if self._order.spreads:
                self._count(index, count)
            number = self._number(index, count)
            if number != self._numbers.item(self._place_of[index]):
                self._renumber(index, number)
        self._tick = roster.tick
        return True

    def _count(self, index: int, count: int) -> None:
        more = count - self._counted.item(index)
        self._counted[index] = count
        for domain_of, cells, step in zip(self._domain_of, self._within, self._steps, strict=True):
            self._leads[cells[domain_of[index]]] += more * step

    def _renumber(self, index: int, number: int) -> None:
        place, cell = self._place_of[index], self._cell_of[index]
        before, best = self._numbers.item(place), self._best.item(cell)
        self._numbers[place] = number
        tie = self._ties.get(cell)
        if tie is not None and before == best < number and len(tie) > 1:
            tie.leave(place)
            return
        if number <= best or before == best:
            self._ties.pop(cell, None)
            numbers = self._numbers[self._cells[cell]]
            now = number if number < best else int(numbers[numbers.argmin()])
            self._best[cell] = now
            if (now == NEVER) != (best == NEVER):
                self._leads[cell] += FULL if now == NEVER else -FULL

    def choose(self, count: int, draw: int, dice: Dice) -> list[int]:
        """Indexes of the instances that take `count` copies, in order; fewer where fewer fit. It stays as it is."""
        chosen: list[int] = []
        standing = self
        while (first := standing.first(draw, dice)) is not None:
            chosen.append(first)
            if len(chosen) == count:
                break
            if standing is self:
                standing = self.forked(self.roster.fork())
            standing.take(first)
        return chosen

    def take(self, index: int) -> None:
        """One copy goes to the instance at `index`: the roster that this one follows must be a fork."""
        self.roster.book(index, self._want, self._group)
        self.catch_up()

    def first(self, draw: int, dice: Dice) -> int | None:
        """Index of the instance that takes the next copy; None: no instance does. `draw` decides ties of a request."""
        cells = self._first_cells()
        if len(cells) == 1:
            tie = self._tie(cells[0])
            places = tie.places
            if self._order.is_random:
                place = places.item(dice.randrange(len(places)))
            else:
                place = places.item(0) if len(places) == 1 else tie.first(draw)[1]
            return self._members.item(place)
        ties = [self._tie(cell) for cell in cells]
        if not ties:
            return None
        if not self._order.is_random:
            return self._members.item(min(tie.first(draw) for tie in ties)[1])
        indexes: Integers = np.sort(self._members[np.concatenate([tie.places for tie in ties])])
        return indexes.item(dice.randrange(len(indexes)))

    def _first_cells(self) -> list[int]:
        """Those with the fewest tasks in their domains, and of these the ones with the best instance."""
        leads = self._leads
        if len(leads) == 1:
            return [0] if leads.item(0) < FULL else []
        lead = leads[leads.argmin()]
        if lead >= FULL:
            return []
        cells: list[int] = (leads == lead).nonzero()[0].tolist()
        if len(cells) == 1:
            return cells
        numbers = self._best[cells].tolist()
        best = min(numbers)
        return [cell for cell, number in zip(cells, numbers, strict=True) if number == best]

    def _tie(self, cell: int) -> Tie:
        tie = self._ties.get(cell)
        if tie is None:
            places = (self._numbers[self._cells[cell]] == self._best[cell]).nonzero()[0] + self._cells[cell].start
            tie = self._ties[cell] = Tie(places, self._scattered[places])
        return tie

    def _number(self, index: int, count: int) -> int:
        roster, want = self.roster, self._want
        cpu, memory = roster.cpu.item(index), roster.memory.item(index)
        if want.cpu > cpu or want.memory_mib > memory or want.gpus > roster.gpus.item(index):
            return NEVER
        if not self._open[index] or (self._is_single and count):
            return NEVER
        number = 0
        for part in self._order.parts:
            value = count if part == "count" else cpu if part is Resource.CPU else memory
            number = number << _BITS[part] | value
        return number

    def _all_numbers(self, admitted: Mask) -> Integers:
        """`_number` of every instance."""
        roster, want = self.roster, self._want
        fits = admitted & (roster.cpu >= want.cpu) & (roster.memory >= want.memory_mib) & (roster.gpus >= want.gpus)
        if self._is_single:
            fits &= self._counted == 0
        numbers = np.zeros(len(fits), dtype=np.int64)
        for part in self._order.parts:
            values = self._counted if part == "count" else roster.cpu if part is Resource.CPU else roster.memory
            numbers = numbers << _BITS[part] | values
        return np.where(fits, numbers, NEVER)


def _places_by_value(values: Integers) -> dict[int, int | Integers]:
    """Where each value stands; one place alone is a number, which numpy takes sooner than an array of one."""
    order = np.argsort(values, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(values[order])) + 1)
    return {int(values[group[0]]): int(group[0]) if len(group) == 1 else group for group in groups}
