"""CloudWatch's statistics over boto3: what was put is read back, by the minute and longer; the rest is refused."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from apiside import Client

from controlplane.config import Config
from controlplane.server import ControlPlane, running

SHOP = [{"Name": "shop", "Value": "1"}]
OF = {"Namespace": "Shop", "MetricName": "Orders", "Dimensions": SHOP}
MINUTE = 60


@pytest.fixture(params=[1, 60])
async def plane(request: pytest.FixtureRequest) -> AsyncIterator[ControlPlane]:
    async with running(Config(port=0, time_scale=request.param)) as plane:
        yield plane


@pytest.fixture
def cloudwatch(plane: ControlPlane) -> Client:
    return Client("cloudwatch", plane.url)


def at(epoch: float) -> datetime:
    return datetime.fromtimestamp(epoch, UTC)


def query(stat: str = "Sum", period: int = MINUTE, **members: Any) -> dict[str, Any]:
    return {"Id": "orders", "MetricStat": {"Metric": OF, "Period": period, "Stat": stat}, **members}


async def test_what_was_put_is_read_back(plane: ControlPlane, cloudwatch: Client) -> None:
    """Four minutes of the scaler's clock, the third without a value; two minutes together begin at an even one."""
    minute_seconds = MINUTE / plane.config.time_scale
    first = (time.time() - 20 * minute_seconds) // (2 * minute_seconds) * 2 * minute_seconds
    values = {0: (1, 2), 1: (3,), 3: (10,)}
    for nth, each in values.items():
        moment = at(first + (nth + 0.5) * minute_seconds)
        data = [{"MetricName": "Orders", "Dimensions": SHOP, "Value": value, "Timestamp": moment} for value in each]
        await cloudwatch.put_metric_data(Namespace="Shop", MetricData=data)
    span = {"StartTime": at(first), "EndTime": at(first + 10 * minute_seconds)}

    async def read(*queries: dict[str, Any], **members: Any) -> list[list[tuple[float, float]]]:
        answer = await cloudwatch.get_metric_data(MetricDataQueries=list(queries), **span, **members)
        return [
            [
                (round((moment.timestamp() - first) / minute_seconds), value)
                for moment, value in zip(result["Timestamps"], result["Values"], strict=True)
            ]
            for result in answer["MetricDataResults"]
        ]

    assert await read(query()) == [[(3, 10), (1, 3), (0, 3)]], "the newest first, as AWS has it"
    ascending = {"ScanBy": "TimestampAscending"}
    both = [query("Average", 2 * MINUTE), query("SampleCount", Id="count"), query(Id="hidden", ReturnData=False)]
    assert await read(*both, **ascending) == [[(0, 2), (2, 10)], [(0, 2), (1, 1), (3, 1)]]
    assert await read(query(), **ascending, MaxDatapoints=1) == [[(0, 3)]]

    answer = await cloudwatch.get_metric_statistics(**OF, **span, Period=2 * MINUTE, Statistics=["Maximum", "Minimum"])
    assert [(point["Minimum"], point["Maximum"]) for point in answer["Datapoints"]] == [(1, 3), (10, 10)]
    assert (await cloudwatch.list_metrics(Namespace="Shop"))["Metrics"] == [OF]
    assert (await cloudwatch.list_metrics(Dimensions=[{"Name": "shop", "Value": "2"}]))["Metrics"] == []


@pytest.mark.parametrize(
    ("queries", "sentence"),
    [
        ([{"Id": "e", "Expression": "SUM(METRICS())"}], "metric math is not served here"),
        ([query("p99")], "The statistic p99 is not served here"),
        ([query(period=30)], "Period must be a multiple of 60"),
        ([query(), query()], "not unique"),
    ],
)
async def test_what_is_not_served_is_said(cloudwatch: Client, queries: list[dict[str, Any]], sentence: str) -> None:
    span = {"StartTime": at(time.time() - 600), "EndTime": at(time.time())}
    code, message = await cloudwatch.refused("get_metric_data", MetricDataQueries=queries, **span)
    assert code == "InvalidParameterValue"
    assert sentence in message
