"""Base and weights."""

from collections import Counter

import pytest

from controlplane.core.capacity.strategy import refuse, spread


def item(name: str, weight: int = 0, base: int = 0) -> dict[str, object]:
    return {"capacityProvider": name, "weight": weight, "base": base}


@pytest.mark.parametrize(
    ("strategy", "count", "shares"),
    [
        ([item("a", 1)], 3, {"a": 3}),
        ([item("a", 1), item("b", 1)], 4, {"a": 2, "b": 2}),
        ([item("a", 1), item("b", 4)], 10, {"a": 2, "b": 8}),
        ([item("a", 1, base=2), item("b", 1)], 6, {"a": 4, "b": 2}),
        ([item("a", 0, base=2), item("b", 1)], 6, {"a": 2, "b": 4}),
        ([item("a", 0, base=2), item("b", 1)], 1, {"a": 1}),
        ([item("a", 0, base=2)], 6, {"a": 2}),
        ([item("a", 1), item("b", 0)], 5, {"a": 5}),
        ([{"capacityProvider": "a", "weight": 1}], 2, {"a": 2}),
    ],
)
def test_shares(strategy: list[dict[str, object]], count: int, shares: dict[str, int]) -> None:
    assert Counter(spread(strategy, count)) == shares


def test_what_stands_counts() -> None:
    strategy = [item("a", 1, base=1), item("b", 1)]
    assert spread(strategy, 2, standing=["a", "a"]) == ["b", "a"]
    assert spread(strategy, 1, standing=["b", "b", None, "gone"]) == ["a"]
    assert spread([item("a", 1), item("b", 1)], 3, standing=["a", "a", "a"]) == ["b", "b", "b"]


@pytest.mark.parametrize(
    ("strategy", "word"),
    [
        ([item("a", 1001)], "weight should be between 0 and 1000."),
        ([item("a", 1, base=100_001)], "base should be between 0 and 100000."),
        ([item("a"), item("b")], "must have a weight greater than 0."),
    ],
)
def test_refused(strategy: list[dict[str, object]], word: str) -> None:
    assert word in (refuse(strategy) or "")
    assert refuse([item("a", 1)]) is None
