"""Placement: which instances take the copies of one request. It proposes; the commit checks the room again.

A few copies go one by one to the first of a `standing`; many as a `group`, where the strategy allows it; whatever asks
for more than those know goes through the field. The result is the same: that of placing them one by one.
"""

import msgspec
import numpy as np

from controlplane.core.names import Dice
from controlplane.core.placement import custom, explain, group
from controlplane.core.placement.explain import Refusal
from controlplane.core.placement.field import Field, missing, ranked, refused, scattered
from controlplane.core.placement.request import Attribute, Caution, Request
from controlplane.core.placement.standing import Standing, is_followed, key_of, order_of
from controlplane.core.placement.strategies import Binpack, Level, Random, Resource, Spread, levels
from controlplane.core.roster import Integers
from controlplane.core.view import View
from wire.resources import Amounts
from wire.status import InstanceStatus

GROUP_FROM = 32
"""Copies from which on a look at all instances is cheaper than one choice after the other (measured: 15 at 200
instances, 25 to 60 at 5,000, by the strategy); the result is the same."""


class Outcome(msgspec.Struct, frozen=True):
    """`placed`: the instance (ARN) of each copy that fits, in order. `refusals`: why no further copy does."""

    placed: tuple[str, ...]
    refusals: tuple[Refusal, ...] = ()


def place(view: View, request: Request, dice: Dice) -> Outcome:
    """Choose instances for as many copies as fit. Nothing is held yet: the caller creates the tasks in its draft.

    Refusals, one for each instance looked at, come only where fewer than `count` fit. No instance: no refusal.
    """
    scheduler = custom.chooser_of(view, request)
    if scheduler is not None:
        chosen_by_it, refusals = custom.choose(scheduler, view, request, dice)
        return Outcome(tuple(chosen_by_it), tuple(refusals))
    if request.count < GROUP_FROM:
        standing = _standing(view, request)
        if standing is not None:
            return _outcome_of(standing, view, request, dice)
    field = Field(view, request, request.caution)
    chosen = _choose(field, request, request.count, dice)
    if request.caution is Caution.PREFER_EMPTY and len(chosen) < request.count:
        field = Field(view, request)
        field.take(np.array(chosen, dtype=np.int64))
        chosen += _choose(field, request, request.count - len(chosen), dice)
    placed = tuple([field.instances[index].arn for index in chosen])
    return Outcome(placed, () if len(placed) == request.count else tuple(field.refusals()))


def examine(view: View, instance: str, amounts: Amounts, required: tuple[Attribute, ...] = ()) -> str | None:
    """Why `instance` (ARN) cannot take one more task of `amounts` (StartTask): AWS's reason, or None where it can.

    MISSING, INACTIVE (also DRAINING, assumed), AGENT, RESOURCE:..., ATTRIBUTE. No constraint is looked at.
    """
    record = view.instance(instance)
    if record is None:
        return "MISSING"
    if record.status is not InstanceStatus.ACTIVE:
        return "INACTIVE"
    refusal = refused(record, view.free(instance), amounts)
    if refusal is not None:
        return refusal.reason
    return explain.ATTRIBUTE if missing(record, required) else None


def _standing(view: View, request: Request) -> Standing | None:
    """The standing of such requests, up to now; None where they have none."""
    if not is_followed(request):
        return None
    roster, key = view.roster(request.cluster), key_of(request)
    kept = roster.follower(key)
    if isinstance(kept, Standing) and kept.catch_up():
        return kept
    order = order_of(levels(request.strategy))
    if order is None or not roster.instances:
        return None
    field = Field(view, request)
    if field.asks_about_tasks:
        return None
    standing = Standing(roster, field, request, order)
    roster.follow(key, standing)
    return standing


def _outcome_of(standing: Standing, view: View, request: Request, dice: Dice) -> Outcome:
    chosen = standing.choose(request.count, dice.getrandbits(64), dice)
    placed = tuple([standing.roster.instances[index].arn for index in chosen])
    if len(placed) == request.count:
        return Outcome(placed)
    field = Field(view, request)
    field.take(np.array(chosen, dtype=np.int64))
    return Outcome(placed, tuple(field.refusals()))


def _choose(field: Field, request: Request, count: int, dice: Dice) -> list[int]:
    if not field.instances:
        return []
    chain = levels(request.strategy)
    draw = dice.getrandbits(64)
    domains = [field.domains(level) for level in chain if isinstance(level, Spread)]
    if count >= GROUP_FROM and not field.asks_about_copies and group.is_groupable(chain, domains):
        last = chain[-1]
        rank = ranked(scattered(np.arange(len(field.instances))), draw)
        chosen = group.choose(field, domains, last if isinstance(last, Binpack) else None, rank, count)
        field.take(chosen)
        placed: list[int] = chosen.tolist()
        return placed
    return _choose_singly(field, chain, count, draw, dice)


def _choose_singly(field: Field, chain: tuple[Level, ...], count: int, draw: int, dice: Dice) -> list[int]:
    domains = [field.domains(level) for level in chain if isinstance(level, Spread)]
    totals = [np.bincount(domain, weights=field.counts).astype(np.int64) for domain in domains]
    rank = ranked(scattered(np.arange(len(field.instances))), draw)
    chosen: list[int] = []
    while len(chosen) < count:
        candidates = _best(field, chain, domains, totals)
        if not len(candidates):
            break
        if isinstance(chain[-1], Random):
            index = int(candidates[dice.randrange(len(candidates))])
        else:
            index = int(candidates[np.argmin(rank[candidates])])
        field.take_one(index)
        for domain, total in zip(domains, totals, strict=True):
            total[domain[index]] += 1
        chosen.append(index)
    return chosen


def _best(field: Field, chain: tuple[Level, ...], domains: list[Integers], totals: list[Integers]) -> Integers:
    """Indexes of the instances that the chain prefers for one copy; more than one is a tie.

    `totals` are the group's tasks in each domain of each spread.
    """
    candidates: Integers = np.flatnonzero(field.fits)
    spreads = iter(zip(domains, totals, strict=True))
    for level in chain:
        if not len(candidates) or isinstance(level, Random):
            break
        if isinstance(level, Spread):
            domain, total = next(spreads)
            keys: Integers = total[domain[candidates]]
        else:
            keys = (field.cpu if level.resource is Resource.CPU else field.memory)[candidates]
        candidates = candidates[keys == keys.min()]
    return candidates
