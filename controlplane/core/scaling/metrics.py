"""Metrics by the minute: what was put into each, and what an alarm reads of it. It knows no service and no alarm.

A minute is one of the scaler's clock. The book is bounded: the newest minutes of the newest metrics.
Source: CloudWatch User Guide, "Metrics concepts" (statistics, periods), "How alarms evaluate missing data".
"""

from collections import OrderedDict
from collections.abc import Sequence
from enum import StrEnum

import msgspec

PERIOD_SECONDS = 60
MINUTES_KEPT = 200
"""Of each metric. The longest look is 15 low datapoints; alarms of one's own may look further back."""
METRICS_MAX = 10_000
"""Metrics that are kept; the one that was put longest ago goes first."""
SPARE_PERIODS = 2
"""An alarm looks so many periods further back where datapoints are missing (the guide's tables: 3 of 5)."""


class Metric(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is measured."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...] = ()
    """Sorted by name."""

    def __str__(self) -> str:
        return f"{self.namespace} {self.name}"


def metric(namespace: str, name: str, dimensions: dict[str, str]) -> Metric:
    """The metric of these words, whatever the order of its dimensions."""
    return Metric(namespace=namespace, name=name, dimensions=tuple(sorted(dimensions.items())))


class Statistic(StrEnum):
    """What of a minute's samples counts."""

    AVERAGE = "Average"
    MINIMUM = "Minimum"
    MAXIMUM = "Maximum"
    SAMPLE_COUNT = "SampleCount"
    SUM = "Sum"


class Samples(msgspec.Struct, frozen=True, kw_only=True):
    """One or many samples, summed up: CloudWatch's statistic set."""

    count: float
    total: float
    least: float
    most: float

    def plus(self, other: "Samples") -> "Samples":
        """Both together."""
        return Samples(
            count=self.count + other.count,
            total=self.total + other.total,
            least=min(self.least, other.least),
            most=max(self.most, other.most),
        )

    def value(self, statistic: Statistic) -> float:
        """What a statistic says of them."""
        return {
            Statistic.AVERAGE: self.total / self.count,
            Statistic.MINIMUM: self.least,
            Statistic.MAXIMUM: self.most,
            Statistic.SAMPLE_COUNT: self.count,
            Statistic.SUM: self.total,
        }[statistic]


def one(value: float, count: float = 1) -> Samples:
    """The same value, so many times."""
    return Samples(count=count, total=value * count, least=value, most=value)


class Book:
    """The newest minutes of every metric."""

    def __init__(self) -> None:
        self._minutes: OrderedDict[Metric, dict[int, Samples]] = OrderedDict()

    def put(self, of: Metric, samples: Samples, minute: int) -> list[tuple[Metric, int]]:
        """Add samples to a minute. Returns the minutes that are forgotten for it."""
        minutes = self._minutes.setdefault(of, {})
        self._minutes.move_to_end(of)
        minutes[minute] = samples.plus(minutes[minute]) if minute in minutes else samples
        forgotten = [(of, old) for old in sorted(minutes)[:-MINUTES_KEPT]]
        for _, old in forgotten:
            del minutes[old]
        if len(self._minutes) > METRICS_MAX:
            oldest, its = self._minutes.popitem(last=False)
            forgotten += [(oldest, old) for old in its]
        return forgotten

    def datapoints(
        self, of: Metric, statistic: Statistic, *, newest: int, count: int, minutes: int = 1
    ) -> list[float | None]:
        """`count` datapoints of so many `minutes` each, oldest first; the last one ends with the minute `newest`."""
        known = self._minutes.get(of, {})
        first = newest - count * minutes + 1
        periods: list[list[Samples]] = [[] for _ in range(count)]
        for minute in sorted(known):  # not minute by minute of a period: one may be centuries long
            if first <= minute <= newest:
                periods[(minute - first) // minutes].append(known[minute])
        return [_together(samples).value(statistic) if samples else None for samples in periods]

    def metrics(self) -> list[Metric]:
        """All that there is, in the order of their names."""
        return sorted(self._minutes, key=lambda of: (of.namespace, of.name, of.dimensions))

    def knows(self, of: Metric) -> bool:
        """Whether there ever was a datapoint, as far as is remembered."""
        return of in self._minutes

    def clear(self) -> None:
        """Forget all."""
        self._minutes.clear()


def recent(datapoints: Sequence[float | None], count: int) -> list[float]:
    """The newest `count` that are there, oldest first; fewer where more than the spare periods are missing."""
    looked_at = datapoints[-(count + SPARE_PERIODS) :]
    return [value for value in looked_at if value is not None][-count:]


def _together(samples: Sequence[Samples]) -> Samples:
    total = samples[0]
    for more in samples[1:]:
        total = total.plus(more)
    return total
