"""CloudWatch, as far as scaling needs it: metrics of one's own come in, alarms over them ring step scaling policies.

What is read back stands in `statistics`; no graph is drawn. Source: botocore's model (2010-08-01), CloudWatch API
Reference. The model has CBOR, JSON and the query protocol; boto3 and the AWS CLI speak JSON with a target, so it is
served.
"""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from controlplane.committing import Committer
from controlplane.core.names import Names
from controlplane.core.rollouts import Alarm
from controlplane.core.scaling.metrics import PERIOD_SECONDS, Metric, Samples, Statistic, metric, one
from controlplane.core.scaling.model import Comparison, MetricAlarm
from controlplane.core.view import Draft, View
from controlplane.scaling import shapes
from controlplane.scaling.minutes import Minutes
from controlplane.scaling.statistics import Statistics
from controlplane.store.port import Store
from wire import models
from wire.errors import AwsError, UnknownOperationException
from wire.scaling import METRIC_DATA_MAX
from wire.story import Kind

ALARMS_MAX = 1000
PERIODS_MAX = 100
"""Datapoints that one alarm looks at, at most; they are all kept (`metrics.MINUTES_KEPT`)."""
AHEAD_SECONDS = 2 * 3600
"""CloudWatch API Reference, `PutMetricData`: two hours into the future, two weeks back."""
BEHIND_SECONDS = 14 * 24 * 3600
VALUE_MAX = 2.0**360
"""CloudWatch API Reference, `MetricDatum.Value`; here of counts and sums too, which must stay finite."""

Answer = dict[str, Any]


class Datum(NamedTuple):
    """One thing that was measured, and when (epoch seconds)."""

    metric: Metric
    samples: Samples
    at: float


class Posted(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /_berth/metrics`."""

    namespace: str
    name: str
    value: float
    dimensions: dict[str, str] = {}


class Monitoring:
    """Serves the operations of the target prefix `GraniteServiceVersion20100801`, and `/_berth/metrics`."""

    def __init__(
        self,
        store: Store,
        committer: Committer,
        names: Names,
        minutes: Minutes,
        *,
        clock: Callable[[], float],
        scale: float,
    ) -> None:
        self._store = store
        self._committer = committer
        self._names = names
        self._minutes = minutes
        self._clock = clock
        self._scale = scale
        self._statistics = Statistics(minutes.book, clock=clock, scale=scale)

    async def serve(self, operation: str, body: dict[str, Any]) -> Answer:
        """Answer one request.

        Raises:
            AwsError: it cannot be carried out; nothing has changed.
        """
        statistics = self._statistics.operations
        if operation not in {*_READERS, *_WRITERS, *statistics, "PutMetricData"}:
            raise UnknownOperationException(
                f"CloudWatch's {operation[:100]} is not served here; metrics that are put, and alarms over them, are."
            )
        request = models.checked(models.METRICS, operation, body, code="InvalidParameterValue")
        if operation == "PutMetricData":
            await self._keep(list(_data(request, self._clock())))
            return {}
        if operation in statistics:
            return statistics[operation](request)
        if operation in _READERS:
            return _READERS[operation](self._store.view(), request)
        writer = _WRITERS[operation]
        return await self._committer.commit(lambda draft: writer(self, draft, request), cause=self._names.uuid())

    async def post(self, request: web.Request) -> web.Response:
        """Take one value; 400 and one sentence where the body is not right."""
        try:
            asked = msgspec.json.decode(await request.read(), type=Posted)
        except msgspec.MsgspecError:
            return _json({"message": 'The body is {"namespace", "name", "value", "dimensions": {...}}.'}, ok=False)
        if not asked.namespace or not asked.name or abs(asked.value) > VALUE_MAX:
            return _json({"message": "A metric has a namespace, a name and a value within 2^360."}, ok=False)
        measured = metric(asked.namespace, asked.name, asked.dimensions)
        await self._keep([Datum(measured, one(asked.value), self._clock())])
        return _json({})

    async def _keep(self, data: list[Datum]) -> None:
        await self._minutes.put(
            (datum.metric, datum.samples, int(datum.at * self._scale // PERIOD_SECONDS)) for datum in data
        )

    def _put_alarm(self, draft: Draft, body: Answer) -> Answer:
        name = body["AlarmName"]
        if draft.record(MetricAlarm, name) is None and sum(1 for _ in draft.records(MetricAlarm)) >= ALARMS_MAX:
            raise AwsError(f"There are {ALARMS_MAX} alarms already.", code="LimitExceededFault")
        draft.put(_alarm_of(body, shapes.alarm_arn(self._names.arns, name)))
        if draft.record(Alarm, name) is None:
            draft.put(Alarm(name=name, is_ringing=False, updated_at=draft.now))
        return {}

    def _delete_alarms(self, draft: Draft, body: Answer) -> Answer:
        for name in body["AlarmNames"]:
            for kind in (MetricAlarm, Alarm):
                record = draft.record(kind, name)
                if record is not None:
                    draft.delete(record)
        return {}

    def _set_state(self, draft: Draft, body: Answer) -> Answer:
        name = body["AlarmName"]
        if draft.record(MetricAlarm, name) is None:
            raise AwsError(f"There is no alarm {name[:255]!r}.", code="ResourceNotFound")
        rings = body["StateValue"] == "ALARM"
        draft.put(Alarm(name=name, is_ringing=rings, updated_at=draft.now))
        draft.tell(Kind.ALARM, name, ringing=rings)
        return {}


def _describe(view: View, body: Answer) -> Answer:
    names, prefix = body.get("AlarmNames"), body.get("AlarmNamePrefix", "")
    found = sorted(view.records(MetricAlarm), key=lambda alarm: alarm.name)
    shown = [alarm for alarm in found if alarm.name.startswith(prefix) and (not names or alarm.name in names)]
    return {"MetricAlarms": [_shape(view, alarm) for alarm in shown], "CompositeAlarms": []}


_READERS: dict[str, Callable[[View, Answer], Answer]] = {"DescribeAlarms": _describe}
_WRITERS: dict[str, Callable[[Monitoring, Draft, Answer], Answer]] = {
    "PutMetricAlarm": Monitoring._put_alarm,  # noqa: SLF001 - the table belongs to the class
    "DeleteAlarms": Monitoring._delete_alarms,  # noqa: SLF001
    "SetAlarmState": Monitoring._set_state,  # noqa: SLF001
}


def _data(body: Answer, now: float) -> Iterator[Datum]:
    namespace, data = body["Namespace"], body.get("MetricData", [])
    if namespace.startswith("AWS/"):
        raise _invalid("The value AWS/ for parameter Namespace is invalid.")
    if "EntityMetricData" in body:
        raise _invalid("EntityMetricData is not served here; MetricData is.")
    if not 0 < len(data) <= METRIC_DATA_MAX:
        raise _invalid(f"MetricData has 1 to {METRIC_DATA_MAX} items.")
    for number, datum in enumerate(data, start=1):
        at = datum.get("Timestamp", now)
        if not now - BEHIND_SECONDS <= at <= now + AHEAD_SECONDS:
            raise _invalid(f"MetricData.member.{number}.Timestamp is not within two weeks ago and two hours ahead.")
        dimensions = {dimension["Name"]: dimension["Value"] for dimension in datum.get("Dimensions", ())}
        samples = _samples(datum, number)
        if max(abs(samples.total), abs(samples.least), abs(samples.most), samples.count) > VALUE_MAX:
            raise _invalid(f"MetricData.member.{number} has a value that is too large.")
        yield Datum(metric(namespace, datum["MetricName"], dimensions), samples, at)


def _samples(datum: Answer, number: int) -> Samples:
    kinds = [kind for kind in ("Value", "Values", "StatisticValues") if kind in datum]
    if len(kinds) != 1:
        raise _invalid(f"MetricData.member.{number} must have one of Value, Values and StatisticValues.")
    if kinds == ["StatisticValues"]:
        given = datum["StatisticValues"]
        if given["SampleCount"] <= 0:
            raise _invalid(f"MetricData.member.{number}.StatisticValues.SampleCount must be greater than 0.")
        return Samples(count=given["SampleCount"], total=given["Sum"], least=given["Minimum"], most=given["Maximum"])
    values = datum.get("Values", [datum.get("Value")])
    counts = datum.get("Counts", [1] * len(values))
    if not values or len(counts) != len(values) or any(count <= 0 for count in counts):
        raise _invalid(f"MetricData.member.{number} must have as many Counts as Values, each greater than 0.")
    first, *rest = (one(value, count) for value, count in zip(values, counts, strict=True))
    for more in rest:
        first = first.plus(more)
    return first


_NEEDED = (
    "MetricName",
    "Namespace",
    "Statistic",
    "Period",
    "Threshold",
    "ComparisonOperator",
    "EvaluationPeriods",
)
"""Of alarms: the model has other kinds, which need other members."""


def _alarm_of(body: Answer, arn: str) -> MetricAlarm:
    missing = [name for name in _NEEDED if name not in body]
    if missing:
        raise _invalid(f"{missing[0]} must be given: alarms over one metric and a fixed threshold are served here.")
    if body["ComparisonOperator"] not in set(Comparison):
        raise _invalid("Alarms over an anomaly detection band are not served here.")
    periods, period = body["EvaluationPeriods"], body["Period"]
    breaches = int(body.get("DatapointsToAlarm") or periods)
    if period % PERIOD_SECONDS or periods * period > PERIODS_MAX * PERIOD_SECONDS:
        raise _invalid(f"Period must be a multiple of {PERIOD_SECONDS}, and all periods {PERIODS_MAX} minutes at most.")
    if breaches > periods:
        raise _invalid("DatapointsToAlarm must not be greater than EvaluationPeriods.")
    dimensions = {dimension["Name"]: dimension["Value"] for dimension in body.get("Dimensions", ())}
    policies = body.get("AlarmActions", ()) if body.get("ActionsEnabled", True) else ()
    return MetricAlarm(
        name=body["AlarmName"],
        arn=arn,
        metric=metric(body["Namespace"], body["MetricName"], dimensions),
        statistic=Statistic(body["Statistic"]),
        minutes=period // PERIOD_SECONDS,
        periods=periods,
        breaches=breaches,
        threshold=body["Threshold"],
        comparison=Comparison(body["ComparisonOperator"]),
        policies=tuple(policies),
        body=body,
    )


def _shape(view: View, alarm: MetricAlarm) -> Answer:
    state = view.record(Alarm, alarm.name)
    rings = state is not None and state.is_ringing
    kept = {member: value for member, value in alarm.body.items() if member != "Tags"}
    updated = {"StateUpdatedTimestamp": state.updated_at} if state is not None else {}
    return {"ActionsEnabled": True, **kept, "AlarmArn": alarm.arn, "StateValue": "ALARM" if rings else "OK", **updated}


def _invalid(sentence: str) -> AwsError:
    return AwsError(sentence, code="InvalidParameterValue")


def _json(body: Answer, *, ok: bool = True) -> web.Response:
    status = HTTPStatus.OK if ok else HTTPStatus.BAD_REQUEST
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")
