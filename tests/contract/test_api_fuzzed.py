"""Requests that no ECS model checks, spoilt at random: one sentence and nothing broken, whatever comes.

Instance groups, EventBridge's rules, Application Auto Scaling, CloudWatch's metrics and logs, and the paths of ours.
What is accepted can be read back from the disk, and no loop of the control plane stumbles over it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from apiside import call, make_group
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from controlplane.config import Config
from controlplane.server import STORE_FILE, ControlPlane, running
from controlplane.store.sqlite import SqliteStore
from wire import envelope, events, extensions, logs, scaling

EXAMPLES = 150
EXAMPLES_SOAK = 6000
REQUESTS_MAX = 5
"""Of one example: what one leaves behind, the next may stumble over."""
ECS = envelope.TARGET_PREFIX
WEB = {"ServiceNamespace": "ecs", "ResourceId": "service/default/web", "ScalableDimension": "ecs:service:DesiredCount"}
CLUSTER_ARN = "arn:aws:ecs:us-east-1:000000000000:cluster/default"
TARGET = {
    "Id": "t",
    "Arn": CLUSTER_ARN,
    "RoleArn": "arn:aws:iam::1:role/r",
    "Input": "{}",
    "EcsParameters": {"TaskDefinitionArn": "web", "TaskCount": 1},
}
PATTERN = '{"source":["aws.ecs"],"detail":{"a":[{"prefix":"b"}]}}'
HOOK = {
    "LifecycleHookName": "h",
    "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
    "HeartbeatTimeout": 60,
    "DefaultResult": "CONTINUE",
    "Webhook": "",
}
GROUP = {
    "AutoScalingGroupName": "other",
    "cluster": "default",
    "MinSize": 0,
    "MaxSize": 1,
    "DesiredCapacity": 1,
    "InstanceTypes": ["r5.large"],
    "AvailabilityZones": ["us-east-1a"],
    "BootSeconds": 0,
    "NewInstancesProtectedFromScaleIn": False,
    "Command": "true",
    "LifecycleHookSpecificationList": [HOOK],
}
STEP = {
    "AdjustmentType": "ChangeInCapacity",
    "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
    "Cooldown": 60,
    "MetricAggregationType": "Average",
    "MinAdjustmentMagnitude": 1,
}
TRACK = {
    "TargetValue": 50,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
    "ScaleInCooldown": 1,
    "ScaleOutCooldown": 1,
    "DisableScaleIn": False,
}
CUSTOM = {
    "TargetValue": 50,
    "CustomizedMetricSpecification": {
        "MetricName": "m",
        "Namespace": "n",
        "Dimensions": [{"Name": "a", "Value": "b"}],
        "Statistic": "Average",
    },
}
ALARM = {
    "AlarmName": "a",
    "Namespace": "n",
    "MetricName": "m",
    "Dimensions": [{"Name": "a", "Value": "b"}],
    "Statistic": "Average",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1,
    "ComparisonOperator": "GreaterThanThreshold",
    "AlarmActions": [],
    "TreatMissingData": "missing",
}
OF = {"Namespace": "n", "MetricName": "m", "Dimensions": [{"Name": "a", "Value": "b"}]}
DATUM = {
    "MetricName": "m",
    "Dimensions": [{"Name": "a", "Value": "b"}],
    "Value": 1,
    "Values": [1],
    "Counts": [1],
    "StatisticValues": {"SampleCount": 1, "Sum": 1, "Minimum": 1, "Maximum": 1},
    "Timestamp": 1_800_000_000,
    "Unit": "Count",
}
STREAM = {"logGroupName": "g", "logStreamName": "s"}
MACHINE = {"InstanceId": "i-0", "AutoScalingGroupName": "asg"}

ASKED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (ECS, "CreateAutoScalingGroup", GROUP),
    (ECS, "UpdateAutoScalingGroup", {**GROUP, "AutoScalingGroupName": "asg"}),
    (ECS, "SetDesiredCapacity", {"AutoScalingGroupName": "asg", "DesiredCapacity": 1}),
    (ECS, "DeleteAutoScalingGroup", {"AutoScalingGroupName": "other", "ForceDelete": True}),
    (ECS, "DescribeAutoScalingGroups", {"AutoScalingGroupNames": ["asg"]}),
    (ECS, "TerminateInstanceInAutoScalingGroup", {**MACHINE, "ShouldDecrementDesiredCapacity": True}),
    (ECS, "SetInstanceProtection", {"InstanceIds": ["i-0"], "ProtectedFromScaleIn": True}),
    (ECS, "SetInstanceHealth", {**MACHINE, "HealthStatus": "Unhealthy"}),
    (ECS, "CompleteLifecycleAction", {**MACHINE, "LifecycleHookName": "h", "LifecycleActionResult": "CONTINUE"}),
    (ECS, "RecordLifecycleActionHeartbeat", {**MACHINE, "LifecycleHookName": "h", "LifecycleActionToken": "t"}),
    (ECS, extensions.SYNC_MACHINES, {"runner": "r", "ended": ["i-0"]}),
    (ECS, extensions.EXPLAIN_PLACEMENT, {"subject": "web", "cluster": "default"}),
    (ECS, extensions.FORCE_STOP_TASK, {"task": "t", "cluster": "default", "reason": "why"}),
    (ECS, extensions.GET_POLICY, {"cluster": "default"}),
    (ECS, extensions.PUT_POLICY, {"preset": "ecs-2015", "switches": {"hold-ends": "deadline", "breaker-minimum": 3}}),
    (
        ECS,
        extensions.SUBMIT_RESOURCE_RELEASE,
        {
            "cluster": "default",
            "task": "t",
            "containerInstance": "i",
            "resources": [{"name": "CPU", "type": "INTEGER", "integerValue": 1}],
            "releasedAt": 1.0,
            "proof": "EXIT_SEEN",
        },
    ),
    (
        ECS,
        extensions.SUBMIT_TASK_ADDRESS,
        {"cluster": "default", "task": "t", "containerInstance": "i", "address": "10.0.0.1", "macAddress": "0:1"},
    ),
    (
        ECS,
        extensions.SUBMIT_INSTANCE_INTERRUPTION,
        {"cluster": "default", "containerInstance": "i", "action": "terminate"},
    ),
    (
        ECS,
        extensions.SUBMIT_STORY,
        {
            "cluster": "default",
            "containerInstance": "i",
            "lines": [{"at": 1.0, "actor": "a", "subject": "s", "kind": "k", "cause": "c", "data": {}}],
        },
    ),
    (events.TARGET_PREFIX, "PutRule", {"Name": "r", "ScheduleExpression": "rate(1 minute)", "State": "ENABLED"}),
    (events.TARGET_PREFIX, "PutRule", {"Name": "e", "EventPattern": PATTERN}),
    (events.TARGET_PREFIX, "PutTargets", {"Rule": "r", "Targets": [TARGET]}),
    (events.TARGET_PREFIX, "RemoveTargets", {"Rule": "r", "Ids": ["t"]}),
    (events.TARGET_PREFIX, "ListRules", {"NamePrefix": "r", "Limit": 1, "NextToken": "x"}),
    (events.TARGET_PREFIX, "ListTargetsByRule", {"Rule": "r"}),
    (events.TARGET_PREFIX, "ListRuleNamesByTarget", {"TargetArn": CLUSTER_ARN}),
    (events.TARGET_PREFIX, "DescribeRule", {"Name": "r"}),
    (events.TARGET_PREFIX, "DisableRule", {"Name": "r"}),
    (events.TARGET_PREFIX, "EnableRule", {"Name": "r"}),
    (
        scaling.SCALING_PREFIX,
        "RegisterScalableTarget",
        {**WEB, "MinCapacity": 1, "MaxCapacity": 2, "SuspendedState": {"DynamicScalingInSuspended": False}},
    ),
    (
        scaling.SCALING_PREFIX,
        "PutScalingPolicy",
        {**WEB, "PolicyName": "p", "PolicyType": "StepScaling", "StepScalingPolicyConfiguration": STEP},
    ),
    *(
        (
            scaling.SCALING_PREFIX,
            "PutScalingPolicy",
            {
                **WEB,
                "PolicyName": name,
                "PolicyType": "TargetTrackingScaling",
                "TargetTrackingScalingPolicyConfiguration": tracking,
            },
        )
        for name, tracking in (("q", TRACK), ("c", CUSTOM))
    ),
    (
        scaling.SCALING_PREFIX,
        "PutScheduledAction",
        {
            **WEB,
            "ScheduledActionName": "s",
            "Schedule": "cron(0 12 * * ? *)",
            "Timezone": "Europe/Rome",
            "StartTime": 1_800_000_000,
            "EndTime": 4_000_000_000,
            "ScalableTargetAction": {"MinCapacity": 1, "MaxCapacity": 2},
        },
    ),
    (scaling.SCALING_PREFIX, "DescribeScalableTargets", {"ServiceNamespace": "ecs", "MaxResults": 1, "NextToken": "0"}),
    (scaling.SCALING_PREFIX, "DescribeScalingPolicies", {"ServiceNamespace": "ecs", "PolicyNames": ["p"]}),
    (scaling.SCALING_PREFIX, "DescribeScheduledActions", {"ServiceNamespace": "ecs"}),
    (scaling.SCALING_PREFIX, "DescribeScalingActivities", {"ServiceNamespace": "ecs"}),
    (scaling.METRICS_PREFIX, "PutMetricAlarm", ALARM),
    (scaling.METRICS_PREFIX, "PutMetricData", {"Namespace": "n", "MetricData": [DATUM]}),
    (scaling.METRICS_PREFIX, "DescribeAlarms", {"AlarmNames": ["a"], "MaxRecords": 1, "NextToken": "x"}),
    (scaling.METRICS_PREFIX, "SetAlarmState", {"AlarmName": "a", "StateValue": "OK", "StateReason": "r"}),
    (
        scaling.METRICS_PREFIX,
        "GetMetricData",
        {
            "MetricDataQueries": [{"Id": "q", "MetricStat": {"Metric": OF, "Period": 60, "Stat": "Sum"}}],
            "StartTime": 1_800_000_000,
            "EndTime": 1_900_000_000,
            "ScanBy": "TimestampAscending",
            "MaxDatapoints": 5,
        },
    ),
    (
        scaling.METRICS_PREFIX,
        "GetMetricStatistics",
        {**OF, "Period": 60, "Statistics": ["Sum"], "StartTime": 1_800_000_000, "EndTime": 1_800_000_600},
    ),
    (scaling.METRICS_PREFIX, "ListMetrics", {**OF, "Dimensions": [{"Name": "a"}], "NextToken": "0"}),
    (logs.TARGET_PREFIX, "CreateLogGroup", {"logGroupName": "g"}),
    (logs.TARGET_PREFIX, "CreateLogStream", STREAM),
    (logs.TARGET_PREFIX, "PutLogEvents", {**STREAM, "logEvents": [{"timestamp": 1_800_000_000_000, "message": "m"}]}),
    (logs.TARGET_PREFIX, "GetLogEvents", {**STREAM, "startTime": 1, "endTime": 2, "limit": 1, "nextToken": "f/1"}),
    (
        logs.TARGET_PREFIX,
        "FilterLogEvents",
        {"logGroupName": "g", "filterPattern": '{ $.a = "b" }', "logStreamNames": ["s"], "limit": 1, "nextToken": "1"},
    ),
    (logs.TARGET_PREFIX, "DescribeLogGroups", {"logGroupNamePrefix": "g", "limit": 1, "nextToken": "1"}),
    (logs.TARGET_PREFIX, "DescribeLogStreams", {"logGroupName": "g", "orderBy": "LastEventTime", "descending": True}),
    ("POST", "/_berth/target-groups", {"name": "n", "port": 80, "healthCheckPath": "/", "matcher": "200-299"}),
    ("PUT", "/_berth/target-groups/tg", {"slowStartSeconds": 1, "healthCheckIntervalSeconds": 1, "port": 80}),
    ("POST", "/_berth/alarms", {"name": "n", "state": "ALARM"}),
    ("POST", "/_berth/metrics", {"namespace": "n", "name": "m", "value": 1.5, "dimensions": {"a": "b"}}),
    ("PUT", "/_berth/policy", {"cluster": "default", "preset": "ecs-2026"}),
    ("GET", "/_berth/policy", {"cluster": "default"}),
    ("GET", "/_berth/explain", {"cluster": "default", "subject": "web"}),
    ("GET", "/_berth/story", {"after": "0", "limit": "1"}),
    ("GET", "/_berth/telemetry", {"task": "t"}),
    ("GET", "/events", {"after": "0", "limit": "1"}),
)
"""Requests that are good, or nearly: the prefix of a target and an operation, or a method and a path; and the body."""

NUMBERS = st.sampled_from((0, -1, 1, 2, 61, 2**31, 2**63, 2**64, 10**40, -(10**40), 0.5, -0.5, 1e308, 1e-300, 3.0))
TEXTS = ("", " ", "default", "web", "asg", "i-0", "0", "-1", "1e400", str(10**40), "\x00", "\ud800")
WORDS = st.sampled_from((*TEXTS, "é" * 300, "x" * 70_000))
EXPRESSIONS = st.sampled_from(
    (
        "rate(0 minutes)",
        "rate(99999999999999999999 days)",
        "cron(0 0 31 2 ? *)",
        "cron(* * * * ? 1970)",
        "at(9999-12-31T23:59:59)",
        "at(0001-01-01T00:00:00)",
        "[" * 5000,
        '{"a":' * 3000,
        '{"source":[{"anything-but":[]}]}',
        '{"detail":{"x":[{"numeric":["<","a"]}]}}',
        "{ $.a = 1e999 }",
        "(?" * 200,
        "200-100",
    )
)
NESTED = {"a": [{"b": [[[[{}]]]]}]}
ODD: SearchStrategy[Any] = st.one_of(
    NUMBERS,
    WORDS,
    EXPRESSIONS,
    st.sampled_from((None, True, False, [], {}, [[]], [None], [{}], {"": None}, NESTED, ["x"] * 2000)),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        max_leaves=5,
    ),
)
Asked = tuple[str, str, Any]


@st.composite
def spoilt(draw: DrawFn) -> Asked:
    """A request of the list with up to three of its values replaced, doubled or left out."""
    where, what, body = draw(st.sampled_from(ASKED))
    spoiling = json.loads(json.dumps(body))
    for _ in range(draw(st.integers(0, 3))):
        way = draw(st.sampled_from([*_ways(spoiling)]))
        spoiling = _spoil(draw, spoiling, way)
    return where, what, spoiling


def _ways(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield way
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield from _ways(inner, (*way, step))


def _spoil(draw: DrawFn, body: Any, way: tuple[Any, ...]) -> Any:
    if not way:
        return deepcopy(draw(ODD)) if draw(st.integers(0, 9)) == 0 else body
    inner = body
    for step in way[:-1]:
        inner = inner[step]
    kind = draw(st.sampled_from(("odd", "odd", "odd", "wrap", "drop")))
    if kind == "drop" and isinstance(inner, dict):
        del inner[way[-1]]
    else:
        was = inner[way[-1]]
        near = NUMBERS if isinstance(was, int | float) else WORDS | EXPRESSIONS if isinstance(was, str) else ODD
        inner[way[-1]] = [was, deepcopy(was)] if kind == "wrap" else deepcopy(draw(near | ODD))
    return body


class World:
    """A control plane on disk with one of everything, and what its log says is broken."""

    def __init__(self, plane: ControlPlane, session: aiohttp.ClientSession) -> None:
        self.plane = plane
        self.session = session
        self.broken: list[Any] = []
        self.found: list[Any] = []
        """Requests, each with what broke under it or since the one before."""

    async def ask_all(self, asked: Iterable[Asked]) -> None:
        """One after the other."""
        for one in asked:
            await self.ask(*one)

    async def ask(self, where: str, what: str, body: Any) -> None:
        """Ask; the answer is AWS's kind of answer, and no fault of ours."""
        url, headers, method = self.plane.url, {}, where
        if what.startswith("/"):
            url += what
        else:
            method, headers = "POST", envelope.request_headers(what, where)
        if method == "GET":
            query = body if isinstance(body, dict) else {"x": body}
            words = {name: value if isinstance(value, str) else json.dumps(value) for name, value in query.items()}
            params = {_sent(name): _sent(value) for name, value in words.items() if len(value) < 2000}
            asking = self.session.get(url, params=params)
        else:
            asking = self.session.request(method, url, data=json.dumps(body).encode(), headers=headers)
        async with asking as answer:
            said = await answer.read()
        sentence = "good" if answer.status < 400 else _sentence(said)
        if answer.status >= 500 or not sentence or "\n" in sentence:
            self.broken.append(said)
        await asyncio.sleep(0)
        if self.plane.failed.done():
            self.broken.append(self.plane.failed)
        if self.broken:
            self.found.append((where, what, json.dumps(body)[:2000], *self.broken))
            self.broken.clear()


def _sentence(said: bytes) -> str:
    try:
        return str(json.loads(said)["message"])
    except (ValueError, KeyError, TypeError):
        return ""


def _sent(text: str) -> str:
    return text.encode(errors="replace").decode().replace("\x00", "?")


@asynccontextmanager
async def world_of(path: Path) -> AsyncIterator[World]:
    config = Config(port=0, healthy_after_seconds=0, data_dir=path, time_scale=60)
    async with running(config) as plane, aiohttp.ClientSession() as session:
        world = World(plane, session)
        structlog.configure(processors=[_collect(world.broken), structlog.processors.KeyValueRenderer()])
        await call(
            plane.url,
            "RegisterTaskDefinition",
            family="web",
            containerDefinitions=[{"name": "m", "image": "i", "memory": 9}],
        )
        await call(plane.url, "CreateService", serviceName="web", taskDefinition="web", desiredCount=1)
        await make_group(plane.url, "asg", BootSeconds=0, MinSize=1, LifecycleHookSpecificationList=[HOOK])
        await world.ask("POST", "/_berth/target-groups", {"name": "tg"})
        await world.ask_all(ASKED)
        yield world


def _collect(broken: list[Any]) -> Any:
    def look(_: Any, level: str, line: dict[str, Any]) -> dict[str, Any]:
        if level == "error" or line.get("exc_info"):
            broken.append(repr(line))
        raise structlog.DropEvent

    return look


def fuzz(path: Path, examples: int) -> None:
    before = structlog.get_config()
    with asyncio.Runner() as runner:
        context = world_of(path)
        world = runner.run(_entered(context))
        try:

            @settings(max_examples=examples, deadline=None, derandomize=examples == EXAMPLES, database=None)
            @given(st.lists(spoilt(), min_size=1, max_size=REQUESTS_MAX))
            def each(asked: list[Asked]) -> None:
                runner.run(world.ask_all(asked))

            each()
        finally:
            structlog.configure(**before)
            runner.run(_left(context))
        runner.run(_read_again(path))
    assert not world.found


async def _entered(context: AbstractAsyncContextManager[World]) -> World:
    return await context.__aenter__()


async def _read_again(path: Path) -> None:
    await SqliteStore(path / STORE_FILE).close()


async def _left(context: AbstractAsyncContextManager[World]) -> None:
    await context.__aexit__(None, None, None)


def test_a_spoilt_request_breaks_nothing(tmp_path: Path) -> None:
    fuzz(tmp_path, EXAMPLES)


@pytest.mark.soak
def test_many_spoilt_requests_break_nothing(tmp_path: Path) -> None:
    fuzz(tmp_path, EXAMPLES_SOAK)
