"""Placement: which instances take the copies of one request. It proposes; the commit checks the room again.

Where the strategy allows it, copies are placed as a group (`group.py`), with the result of placing them one by one.
"""

from enum import StrEnum

import msgspec
import numpy as np

from controlplane.core.model import Instance
from controlplane.core.names import Dice
from controlplane.core.placement import explain, group
from controlplane.core.placement.constraints import is_distinct
from controlplane.core.placement.explain import Refusal
from controlplane.core.placement.field import Field, Integers, believed, doubted, ranks, refused
from controlplane.core.placement.strategies import Binpack, Level, Random, Resource, Spread, levels
from controlplane.core.policy import Policy
from controlplane.core.view import View
from wire.resources import Amounts
from wire.status import InstanceStatus

_LOOKED_AT = frozenset({InstanceStatus.ACTIVE, InstanceStatus.DRAINING})


class Caution(StrEnum):
    """How far the placement ledger is believed."""

    NONE = "none"
    """Free is free."""
    PREFER_EMPTY = "prefer-empty"
    """First where the room fits even if tasks that are still stopping there hold theirs; then as NONE."""
    ONLY_EMPTY = "only-empty"
    """Only where it fits so."""


def caution_of(policy: Policy) -> Caution:
    """A cluster that moves waiting tasks prefers, from the start, places where nothing has to be waited for."""
    return Caution.NONE if policy.pending_lease_seconds is None else Caution.PREFER_EMPTY


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """`count` copies of one task for one cluster."""

    cluster: str
    """Name."""
    group: str
    """Spread and distinctInstance count the live tasks of this group."""
    amounts: Amounts
    count: int = 1
    strategy: tuple[dict[str, str], ...] = ()
    """Amazon's `{type, field}`, in order; empty: random (RunTask's default). Services pass `SERVICE_DEFAULT`."""
    constraints: tuple[dict[str, str], ...] = ()
    """Amazon's `{type}`; only `distinctInstance` (see `constraints.refuse`)."""
    caution: Caution = Caution.NONE
    avoid: frozenset[str] = frozenset()
    """Instances (ARN) that are not looked at."""
    only: frozenset[str] | None = None
    """Instances (ARN) that are looked at, those of a capacity provider; None: all of the cluster."""


class Outcome(msgspec.Struct, frozen=True):
    """`placed`: the instance (ARN) of each copy that fits, in order. `refusals`: why no further copy does."""

    placed: tuple[str, ...]
    refusals: tuple[Refusal, ...] = ()


def place(view: View, request: Request, dice: Dice) -> Outcome:
    """Choose instances for as many copies as fit. Nothing is held yet: the caller creates the tasks in its draft.

    Refusals, one for each instance looked at, come only where fewer than `count` fit. No instance: no refusal.
    """
    looked_at = [
        instance
        for instance in view.instances(request.cluster)
        if instance.status in _LOOKED_AT
        and instance.arn not in request.avoid
        and (request.only is None or instance.arn in request.only)
    ]
    chosen: list[int] = []
    field = _field(view, request, looked_at, request.caution)
    if field is not None:
        chosen += _choose(field, request, request.count, dice)
    if request.caution is Caution.PREFER_EMPTY and len(chosen) < request.count and field is not None:
        field = _field(view, request, looked_at, Caution.NONE)
        assert field is not None
        field.take(np.array(chosen, dtype=np.int64))
        chosen += _choose(field, request, request.count - len(chosen), dice)
    placed = tuple(looked_at[index].arn for index in chosen)
    if len(placed) == request.count or field is None:
        return Outcome(placed)
    rooms = [view.free(instance.arn) for instance in looked_at]
    return Outcome(placed, tuple(field.refusals(rooms)))


def examine(view: View, instance: str, amounts: Amounts) -> str | None:
    """Why `instance` (ARN) cannot take one more task of `amounts` (StartTask): AWS's reason, or None where it can.

    MISSING, INACTIVE (also DRAINING, assumed), AGENT, RESOURCE:CPU, RESOURCE:MEMORY, RESOURCE:PORTS.
    """
    record = view.instance(instance)
    if record is None:
        return "MISSING"
    if record.status is not InstanceStatus.ACTIVE:
        return "INACTIVE"
    refusal = refused(record, view.free(instance), amounts)
    return None if refusal is None else refusal.reason


def _field(view: View, request: Request, instances: list[Instance], caution: Caution) -> Field | None:
    if not instances:
        return None
    room_of = believed if caution is Caution.NONE else doubted
    field = Field(instances, [room_of(view, instance) for instance in instances], request.amounts)
    index_of = {instance.arn: index for index, instance in enumerate(instances)}
    for task in view.tasks_in(request.cluster, request.group):
        if task.is_live and task.instance in index_of:
            field.counts[index_of[task.instance]] += 1
    if is_distinct(request.constraints):
        field.single = True
        crowded = (instance.arn for instance, count in zip(instances, field.counts, strict=True) if count)
        field.bar(frozenset(crowded), explain.DISTINCT)
    return field


def _choose(field: Field, request: Request, count: int, dice: Dice) -> list[int]:
    chain = levels(request.strategy)
    rank = ranks(len(field.instances), dice)
    domains = [group.numbered(field, level) for level in chain if isinstance(level, Spread)]
    if group.is_groupable(chain, domains):
        last = chain[-1]
        chosen = group.choose(field, domains, last if isinstance(last, Binpack) else None, rank, count)
        field.take(chosen)
        return [int(index) for index in chosen]
    singly: list[int] = []
    while len(singly) < count:
        candidates = _best(field, chain, domains)
        if not len(candidates):
            break
        if isinstance(chain[-1], Random):
            index = int(candidates[dice.randrange(len(candidates))])
        else:
            index = int(candidates[np.argmin(rank[candidates])])
        field.take(np.array([index], dtype=np.int64))
        singly.append(index)
    return singly


def _best(field: Field, chain: tuple[Level, ...], domains: list[Integers]) -> Integers:
    """Indexes of the instances that the chain prefers for one copy; more than one is a tie."""
    candidates: Integers = np.flatnonzero(field.caps(1))
    domain = iter(domains)
    for level in chain:
        if isinstance(level, Spread):
            domain_of = next(domain)
            keys = np.bincount(domain_of, weights=field.counts)[domain_of[candidates]]
        elif isinstance(level, Binpack):
            keys = (field.cpu if level.resource is Resource.CPU else field.memory)[candidates]
        else:
            break
        if len(candidates):
            candidates = candidates[keys == keys.min()]
    return candidates
