"""CloudWatch's statistics, read back from the book of minutes: what was put, and what berth measures itself.

The newest minutes of each metric are kept (`metrics.MINUTES_KEPT`); what lies before is absent, as where nothing was
measured. Metric math, percentiles and periods below a minute are refused.
Source: CloudWatch API reference, GetMetricData, GetMetricStatistics, ListMetrics.
"""

from collections.abc import Callable, Iterator
from typing import Any

from controlplane.core.scaling.metrics import MINUTES_KEPT, PERIOD_SECONDS, Book, Metric, Statistic, metric
from wire.errors import AwsError
from wire.numerals import whole

QUERIES_MAX = 500
"""CloudWatch API reference, GetMetricData."""
DATAPOINTS_MAX = 1440
"""CloudWatch API reference, GetMetricStatistics."""
LIST_SIZE = 500
"""CloudWatch API reference, ListMetrics."""

Answer = dict[str, Any]
Point = tuple[float, dict[str, float]]
"""When it begins (epoch seconds), and its statistics."""


class Statistics:
    """Reads a book. `scale` is how much faster its clock runs than the wall's, whose epoch seconds `clock` tells."""

    def __init__(self, book: Book, *, clock: Callable[[], float], scale: float) -> None:
        self._book = book
        self._clock = clock
        self._scale = scale
        self.operations: dict[str, Callable[[Answer], Answer]] = {
            "GetMetricData": self._data,
            "GetMetricStatistics": self._statistics,
            "ListMetrics": self._list,
        }

    def _data(self, body: Answer) -> Answer:
        queries = body["MetricDataQueries"]
        if len(queries) > QUERIES_MAX:
            raise _invalid(f"MetricDataQueries has {QUERIES_MAX} queries at most.")
        if len({query["Id"] for query in queries}) < len(queries):
            raise _invalid("The values for parameter id in MetricDataQueries are not unique.")
        results = [self._result(query, body) for query in queries if query.get("ReturnData", True)]
        return {"MetricDataResults": results, "Messages": []}

    def _result(self, query: Answer, body: Answer) -> Answer:
        asked = query.get("MetricStat")
        if asked is None or "Expression" in query:
            raise _invalid(f"Query {query['Id']}: metric math is not served here; MetricStat is.")
        of = asked["Metric"]
        points = list(self._points(_metric(of), asked["Period"], body, (asked["Stat"],)))
        if body.get("ScanBy", "TimestampDescending") == "TimestampDescending":
            points.reverse()
        del points[body.get("MaxDatapoints", len(points)) :]
        return {
            "Id": query["Id"],
            "Label": query.get("Label", of.get("MetricName", "")),
            "Timestamps": [at for at, _ in points],
            "Values": [values[asked["Stat"]] for _, values in points],
            "StatusCode": "Complete",
        }

    def _statistics(self, body: Answer) -> Answer:
        asked = body.get("Statistics", ())
        if not asked or body.get("ExtendedStatistics"):
            raise _invalid("Statistics must be given; ExtendedStatistics are not served here.")
        if (body["EndTime"] - body["StartTime"]) / max(1, body["Period"]) > DATAPOINTS_MAX:
            raise AwsError(
                f"You have requested more than the limit of {DATAPOINTS_MAX} datapoints.",
                code="InvalidParameterCombination",
            )
        points = self._points(_metric(body), body["Period"], body, asked)
        return {
            "Label": body["MetricName"],
            "Datapoints": [{"Timestamp": at, "Unit": "None", **values} for at, values in points],
        }

    def _list(self, body: Answer) -> Answer:
        wanted = {each["Name"]: each.get("Value") for each in body.get("Dimensions", ())}
        found = [
            of
            for of in self._book.metrics()
            if body.get("Namespace", of.namespace) == of.namespace
            and body.get("MetricName", of.name) == of.name
            and all(_has(of, name, value) for name, value in wanted.items())
        ]
        start = whole(body.get("NextToken", "0"))
        if start is None:
            raise _invalid("NextToken is not valid.")
        end = start + LIST_SIZE
        rows = [
            {
                "Namespace": of.namespace,
                "MetricName": of.name,
                "Dimensions": [{"Name": name, "Value": value} for name, value in of.dimensions],
            }
            for of in found[start:end]
        ]
        return {"Metrics": rows, **({"NextToken": str(end)} if end < len(found) else {})}

    def _points(self, of: Metric, period: int, span: Answer, statistics: tuple[str, ...]) -> Iterator[Point]:
        """The datapoints of a metric whose periods begin in a span, oldest first; absent where nothing was measured."""
        if period <= 0 or period % PERIOD_SECONDS:
            raise _invalid(f"Period must be a multiple of {PERIOD_SECONDS}.")
        unknown = [each for each in statistics if each not in set(Statistic)]
        if unknown:
            raise _invalid(f"The statistic {unknown[0][:50]} is not served here; there are {', '.join(Statistic)}.")
        if span["StartTime"] >= span["EndTime"]:
            raise _invalid("The parameter StartTime must be less than the parameter EndTime.")
        minutes = period // PERIOD_SECONDS
        newest = min(self._minute(span["EndTime"] - 1 / self._scale), self._minute(self._clock()))
        oldest = max(self._minute(span["StartTime"]), newest - MINUTES_KEPT)
        first = oldest - oldest % minutes
        count = max(0, (newest - first) // minutes + 1)
        last = first + count * minutes - 1
        columns = [
            self._book.datapoints(of, Statistic(each), newest=last, count=count, minutes=minutes) for each in statistics
        ]
        for nth, row in enumerate(zip(*columns, strict=True)):
            values = {each: value for each, value in zip(statistics, row, strict=True) if value is not None}
            if values:
                yield (first + nth * minutes) * PERIOD_SECONDS / self._scale, values

    def _minute(self, at: float) -> int:
        return int(at * self._scale // PERIOD_SECONDS)


def _has(of: Metric, name: str, value: str | None) -> bool:
    found = dict(of.dimensions).get(name)
    return found is not None and value in (None, found)


def _metric(body: Answer) -> Metric:
    missing = [member for member in ("Namespace", "MetricName") if not body.get(member)]
    if missing:
        raise _invalid(f"The parameter {missing[0]} is required.")
    dimensions = {dimension["Name"]: dimension["Value"] for dimension in body.get("Dimensions", ())}
    return metric(body["Namespace"], body["MetricName"], dimensions)


def _invalid(sentence: str) -> AwsError:
    return AwsError(sentence, code="InvalidParameterValue")
