"""Capacity provider strategies: which provider each of some new tasks goes to, by base and weights.

Source: API reference, `CapacityProviderStrategyItem`: the base first, then by the ratio of the weights; a provider of
weight 0 gets nothing beyond its base.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

Item = Mapping[str, Any]
"""Amazon's `{capacityProvider, weight?, base?}`."""
WEIGHT_MAX = 1000
BASE_MAX = 100_000


def refuse(strategy: Sequence[Item]) -> str | None:
    """One sentence about numbers that cannot be acted on; None where they can."""
    for item in strategy:
        if not 0 <= item.get("weight", 0) <= WEIGHT_MAX:
            return f"weight should be between 0 and {WEIGHT_MAX}."
        if not 0 <= item.get("base", 0) <= BASE_MAX:
            return f"base should be between 0 and {BASE_MAX}."
    if strategy and not any(item.get("weight", 0) or item.get("base", 0) for item in strategy):
        return "At least one capacity provider in a capacity provider strategy must have a weight greater than 0."
    return None


def spread(strategy: Sequence[Item], count: int, standing: Iterable[str | None] = ()) -> list[str]:
    """The provider (name) of each of `count` new tasks; `standing` are those of the tasks that are there already.

    Fewer than `count` come back where no provider has a weight and every base is full.
    """
    counts = {item["capacityProvider"]: 0 for item in strategy}
    for name in standing:
        if name in counts:
            counts[name] += 1
    chosen: list[str] = []
    while len(chosen) < count:
        name = _next(strategy, counts)
        if name is None:
            break
        counts[name] += 1
        chosen.append(name)
    return chosen


def _next(strategy: Sequence[Item], counts: Mapping[str, int]) -> str | None:
    for item in strategy:
        if counts[item["capacityProvider"]] < item.get("base", 0):
            return str(item["capacityProvider"])
    weighted = [item for item in strategy if item.get("weight", 0)]
    if not weighted:
        return None
    # Whoever is furthest behind its share once it has one more; the first in the list where two are.
    best = min(
        weighted,
        key=lambda item: Fraction(counts[item["capacityProvider"]] - item.get("base", 0) + 1, item["weight"]),
    )
    return str(best["capacityProvider"])
