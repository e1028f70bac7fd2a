"""Minutes of metrics: statistics, longer periods, what is missing, what is forgotten."""

import pytest

from controlplane.core.scaling import metrics
from controlplane.core.scaling.metrics import Book, Statistic, metric, one, recent

M = metric("Shop", "Orders", {"b": "2", "a": "1"})


def test_the_order_of_dimensions_is_none() -> None:
    assert metric("Shop", "Orders", {"a": "1", "b": "2"}) == M


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [("Average", 3.0), ("Minimum", 1.0), ("Maximum", 5.0), ("Sum", 12.0), ("SampleCount", 4.0)],
)
def test_statistics(statistic: str, expected: float) -> None:
    book = Book()
    for samples in (one(1), one(3, 2), one(5)):
        book.put(M, samples, 7)
    assert book.datapoints(M, Statistic(statistic), newest=7, count=1) == [expected]


def test_periods_of_several_minutes_and_gaps() -> None:
    book = Book()
    for minute, value in ((1, 2.0), (2, 4.0), (5, 6.0)):
        book.put(M, one(value), minute)
    assert book.datapoints(M, Statistic.AVERAGE, newest=6, count=3, minutes=2) == [3.0, None, 6.0]
    assert book.datapoints(M, Statistic.AVERAGE, newest=3, count=3) == [2.0, 4.0, None]


def test_a_period_of_centuries_is_not_walked_through_minute_by_minute() -> None:
    """4,000 years: five minutes for who asks the book for each of its minutes, on the loop that answers everybody."""
    book = Book()
    book.put(M, one(2.0), 7)
    book.put(M, one(4.0), 9)
    assert book.datapoints(M, Statistic.SUM, newest=9, count=1, minutes=2_000_000_000) == [6.0]


def test_old_minutes_and_old_metrics_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "METRICS_MAX", 2)
    monkeypatch.setattr(metrics, "MINUTES_KEPT", 2)
    book = Book()
    others = [metric("Shop", name, {}) for name in ("x", "y")]
    for minute in (1, 2, 3):
        book.put(M, one(minute), minute)
    assert book.datapoints(M, Statistic.SUM, newest=3, count=3) == [None, 2.0, 3.0]
    for other in others:
        book.put(other, one(1), 3)
    assert book.datapoints(M, Statistic.SUM, newest=3, count=1) == [None]


@pytest.mark.parametrize(
    ("datapoints", "expected"),
    [
        ([1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0]),
        ([1.0, None, 3.0, None, 5.0], [1.0, 3.0, 5.0]),
        ([1.0, 2.0, 3.0, None, None, None], [2.0, 3.0]),
        ([], []),
    ],
)
def test_recent(datapoints: list[float | None], expected: list[float]) -> None:
    assert recent(datapoints, 3) == expected
