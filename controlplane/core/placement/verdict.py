"""The verdict on every instance: which look refused it, or how the strategy scores it. Nothing is placed by it."""

from typing import Any

import msgspec
import numpy as np

from controlplane.core.placement import explain
from controlplane.core.placement.field import Field
from controlplane.core.placement.request import Request
from controlplane.core.placement.strategies import Level, Random, Resource, Spread, levels
from controlplane.core.view import View


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What placement makes of one instance (ARN) for the next copy."""

    instance: str
    reason: str = ""
    """AWS's, where it is refused."""
    lacks: str = ""
    """The same in words."""
    missing: int = 0
    """How much of a resource it lacks: CPU units, MiB, GPUs."""
    scores: dict[str, int] = {}
    """By each step of the strategy, the less the better: tasks of the group in its domain, or what is left of a
    resource."""
    place: int = 0
    """1 is where the next copy goes; those with the same place are a tie that the dice decide."""


class Explanation(msgspec.Struct, frozen=True):
    """All verdicts, best first, and one sentence."""

    verdicts: tuple[Verdict, ...]
    sentence: str


def explain_placement(view: View, request: Request) -> Explanation:
    """What would become of the next copy of `request`, instance by instance."""
    field = Field(view, request, request.caution)
    refusals = list(field.refusals())
    refused = [Verdict(r.instance, r.reason, r.lacks, r.missing) for r in refusals]
    scored = _scored(field, request)
    if scored:
        ties = sum(verdict.place == 1 for verdict in scored)
        takers = f"{len(scored)} of {len(scored) + len(refused)} instances take it"
        sentence = f"{takers}; {ties} of them come first."
    else:
        sentence = explain.sentence(refusals)
    return Explanation((*scored, *refused), sentence)


def _scored(field: Field, request: Request) -> list[Verdict]:
    fitting = np.flatnonzero(field.fits)
    chain = [level for level in levels(request.strategy) if not isinstance(level, Random)]
    keys: dict[str, Any] = {}
    for level in chain:
        if isinstance(level, Spread):
            domain = field.domains(level)
            values = np.bincount(domain, weights=field.counts)[domain]
        else:
            values = field.cpu if level.resource is Resource.CPU else field.memory
        keys[_named(level)] = values[fitting]
    order = np.lexsort([*reversed(keys.values())]) if keys else np.arange(len(fitting))
    verdicts: list[Verdict] = []
    for nth, position in enumerate(order.tolist(), start=1):
        scores = {name: int(values[position]) for name, values in keys.items()}
        ties = verdicts[-1].place if verdicts and verdicts[-1].scores == scores else nth
        verdicts.append(Verdict(field.instances[fitting[position]].arn, scores=scores, place=ties))
    return verdicts


def _named(level: Level) -> str:
    if isinstance(level, Spread):
        return "spread instanceId" if level.attribute is None else f"spread attribute:{level.attribute}"
    assert not isinstance(level, Random)
    return f"binpack {level.resource}"
