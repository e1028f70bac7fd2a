"""Service auto scaling as tools drive it: boto3, the AWS CLI, metrics and alarms of one's own, schedules, `berth`."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from apiside import Client, Ecs, until
from scalingside import WEB, register, serve
from scripted_agent import ScriptedAgent
from wire_player import Inbox

from controlplane.config import Config
from controlplane.core.rollouts import Alarm
from controlplane.core.scaling.model import ScalableTarget, ScalingActivity, ScheduledAction, Status
from controlplane.server import ControlPlane, running
from wire.status import TaskStatus

AWS = Path(sys.executable).parent / "aws"
SCOPE = ("--service-namespace", "ecs", "--resource-id", "service/default/web")
DIMENSION = ("--scalable-dimension", "ecs:service:DesiredCount")
ORDERS = {"MetricName": "Orders", "Namespace": "Shop", "Statistic": "Average"}
SCALE = 240
"""A minute of the scaler takes a quarter of a second."""
MINUTE_SECONDS = 60 / SCALE


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    async with running(Config(port=0, healthy_after_seconds=0, time_scale=SCALE)) as plane:
        yield plane


@pytest.fixture
def scaling(plane: ControlPlane) -> Client:
    return Client("application-autoscaling", plane.url)


@pytest.fixture
def cloudwatch(plane: ControlPlane) -> Client:
    return Client("cloudwatch", plane.url)


async def track(scaling: Client, target: float = 10, **members: Any) -> Any:
    return await scaling.put_scaling_policy(
        **WEB,
        PolicyName="orders",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": target,
            "CustomizedMetricSpecification": ORDERS,
            **members,
        },
    )


@asynccontextmanager
async def measuring(cloudwatch: Client, value: float) -> AsyncIterator[None]:
    """As long as it lasts, the scaler's minutes see this value: the one that runs, and the next."""
    over = asyncio.Event()

    async def measure() -> None:
        while not over.is_set():
            times = [time.time() + ahead * MINUTE_SECONDS for ahead in range(2)]
            data = [{"MetricName": "Orders", "Value": value, "Timestamp": at} for at in times]
            await cloudwatch.put_metric_data(Namespace="Shop", MetricData=data)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), MINUTE_SECONDS / 4)

    measurer = asyncio.create_task(measure())
    try:
        yield
    finally:
        over.set()
        await measurer


def desired(plane: ControlPlane, arn: str) -> int:
    service = plane.store.view().service(arn)
    assert service is not None
    return service.desired_count


async def steady(plane: ControlPlane, arn: str, count: int) -> None:
    """So many tasks run, and no deployment rolls."""
    await until(
        plane,
        lambda view: (
            sum(1 for task in view.tasks_of(arn) if task.is_live and task.last_status is TaskStatus.RUNNING) == count
            and (service := view.service(arn)) is not None
            and service.desired_count == count
            and all(d.rollout_state == "COMPLETED" for d in service.deployments)
        ),
    )


async def looks(plane: ControlPlane) -> list[dict[str, Any]]:
    lines, _ = await plane.store.story(0, 100_000)
    return [line.data for _, line in lines if line.kind == "service.scaling"]


async def test_a_service_follows_a_metric_of_the_users_own(
    plane: ControlPlane, ecs: Ecs, scaling: Client, cloudwatch: Client
) -> None:
    async with ScriptedAgent(plane.url):
        arn = await serve(ecs)
        await register(scaling, most=4)
        policy = await track(scaling, ScaleOutCooldown=60, ScaleInCooldown=60)
        assert [alarm["AlarmName"].rsplit("-", 5)[0] for alarm in policy["Alarms"]] == [
            "TargetTracking-service/default/web-AlarmHigh",
            "TargetTracking-service/default/web-AlarmLow",
        ]
        await steady(plane, arn, 1)
        async with measuring(cloudwatch, 40):
            await until(plane, lambda _: desired(plane, arn) == 4)
            await steady(plane, arn, 4)
        async with measuring(cloudwatch, 2):
            await until(plane, lambda _: desired(plane, arn) < 4)
        activities = (await scaling.describe_scaling_activities(ServiceNamespace="ecs"))["ScalingActivities"]
        first = activities[-1]
        assert first["Description"] == "Setting desired count to 4."
        assert first["Cause"] == (
            f"monitor alarm {policy['Alarms'][0]['AlarmName']} in state ALARM triggered policy orders"
        )
        assert first["StatusCode"] == "Successful"
        messages = [
            event["message"] for event in (await ecs.describe_services(services=["web"]))["services"][0]["events"]
        ]
        assert "(service web) has its desired count set to 4 by auto scaling." in messages
        told = await looks(plane)
        assert any("insufficient data" in look["why"] for look in told)
        assert [look["desired"] for look in told if look["act"] == "scale-out"] == [4]
        assert next(look["desired"] for look in told if look["act"] == "scale-in") == 2
        events = (await plane.store.events(0, 10_000)).rows
        details = [event["detail"] for event in map(json.loads, (body for _, body in events))]
        assert "SERVICE_DESIRED_COUNT_UPDATED" in [detail.get("eventName") for detail in details]


async def test_a_service_follows_what_its_tasks_use(plane: ControlPlane, ecs: Ecs, scaling: Client) -> None:
    async with ScriptedAgent(plane.url) as agent, aiohttp.ClientSession() as session:
        arn = await serve(ecs)
        await steady(plane, arn, 1)
        await register(scaling)
        await scaling.put_scaling_policy(
            **WEB,
            PolicyName="cpu",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "TargetValue": 50,
                "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
            },
        )
        inbox = Inbox(await session.ws_connect(f"{plane.url}/tcs/ws", params={"containerInstance": agent.arn}), None)
        instance = plane.store.view().instance(agent.arn)
        assert instance is not None
        percent = 64 / instance.registered.cpu * 100  # all of what the task has reserved: 100 per cent of the service
        stats = {"min": 0, "max": 100, "sampleCount": 4, "sum": 4 * percent}
        container = {"containerName": "main", "cpuStatsSet": stats}
        task = plane.store.view().tasks_of(arn)[0].arn
        message = {"metadata": {"idle": False}, "taskMetrics": [{"taskArn": task, "containerMetrics": [container]}]}
        await inbox.socket.send_str(json.dumps({"type": "PublishMetricsRequest", "message": message}))
        await until(plane, lambda _: desired(plane, arn) == 2)
        assert any("cpu: 100 against a target of 50" in look["why"] for look in await looks(plane))
        await inbox.close()


async def test_step_scaling_while_an_alarm_rings(
    plane: ControlPlane, ecs: Ecs, scaling: Client, cloudwatch: Client
) -> None:
    async with ScriptedAgent(plane.url):
        arn = await serve(ecs)
        await register(scaling, most=5)
        steps = [
            {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 20, "ScalingAdjustment": 1},
            {"MetricIntervalLowerBound": 20, "ScalingAdjustment": 3},
        ]
        stepping = {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": steps}
        put = partial(scaling.put_scaling_policy, **WEB, PolicyName="busy", PolicyType="StepScaling")
        policy = await put(StepScalingPolicyConfiguration={**stepping, "Cooldown": 30_000})
        alarm = {
            "AlarmName": "busy",
            **ORDERS,
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 10,
            "ComparisonOperator": "GreaterThanThreshold",
            "AlarmActions": [policy["PolicyARN"]],
        }
        await cloudwatch.put_metric_alarm(**alarm)
        shown = (await scaling.describe_scaling_policies(ServiceNamespace="ecs"))["ScalingPolicies"][0]
        assert [alarm["AlarmName"] for alarm in shown["Alarms"]] == ["busy"]
        async with measuring(cloudwatch, 35):
            await until(plane, lambda _: desired(plane, arn) == 4)
        assert (await cloudwatch.describe_alarms(AlarmNames=["busy"]))["MetricAlarms"][0]["StateValue"] == "ALARM"
        await until(plane, lambda view: not any(alarm.is_ringing for alarm in view.records(Alarm)))
        assert desired(plane, arn) == 4, "it cools down, and no datapoint has come since"
        await put(StepScalingPolicyConfiguration=stepping)
        await cloudwatch.put_metric_alarm(**{**alarm, "AlarmName": "by-hand", "MetricName": "Unmeasured"})
        await cloudwatch.set_alarm_state(AlarmName="by-hand", StateValue="ALARM", StateReason="a test")
        await until(plane, lambda _: desired(plane, arn) == 5)
        await until(plane, lambda view: any(a.not_scaled for a in view.records(ScalingActivity)))
        plain = await scaling.describe_scaling_activities(**WEB)
        every = await scaling.describe_scaling_activities(**WEB, IncludeNotScaledActivities=True)
        assert len(every["ScalingActivities"]) == len(plain["ScalingActivities"]) + 1
        assert every["ScalingActivities"][0]["NotScaledReasons"] == [
            {"Code": "AlreadyAtMaxCapacity", "CurrentCapacity": 5, "MaxCapacity": 5}
        ]


async def test_schedules_and_new_bounds_move_the_count_at_once(plane: ControlPlane, ecs: Ecs, scaling: Client) -> None:
    async with ScriptedAgent(plane.url):
        arn = await serve(ecs, 2)
        await register(scaling, 3, 8)
        assert desired(plane, arn) == 3
        soon = time.strftime("at(%Y-%m-%dT%H:%M:%S)", time.gmtime(time.time() + 3))
        await scaling.put_scheduled_action(
            **WEB,
            ScheduledActionName="rush",
            Schedule=soon,
            ScalableTargetAction={"MinCapacity": 5, "MaxCapacity": 9},
        )
        await until(plane, lambda _: desired(plane, arn) == 5)
        target = plane.store.view().record(ScalableTarget, WEB["ResourceId"])
        assert target is not None
        assert (target.minimum, target.maximum) == (5, 9)
        action = plane.store.view().record(ScheduledAction, f"{WEB['ResourceId']} rush")
        assert action is not None
        assert action.next_at is None
        causes = [a.reason for a in plane.store.view().records(ScalingActivity)]
        assert causes == ["minimum capacity was set to 3", "scheduled action name rush was triggered"]
        await until(plane, lambda view: Status.SUCCESSFUL in [a.status for a in view.records(ScalingActivity)])
        await ecs.delete_service(service="web", force=True)
        await until(plane, lambda view: not list(view.records(ScalableTarget)))
        assert not list(plane.store.view().records(ScheduledAction))


async def test_protected_tasks_stay_and_scale_in_may_be_suspended(
    plane: ControlPlane, ecs: Ecs, scaling: Client, cloudwatch: Client
) -> None:
    async with ScriptedAgent(plane.url):
        arn = await serve(ecs, 3)
        await steady(plane, arn, 3)
        tasks = [task.arn for task in plane.store.view().tasks_of(arn)]
        await ecs.update_task_protection(cluster="default", tasks=tasks, protectionEnabled=True)
        await register(scaling, 1, 8, SuspendedState={"DynamicScalingInSuspended": True})
        await track(scaling)
        async with measuring(cloudwatch, 1):
            watch = plane.store.watch()
            async with asyncio.timeout(60):
                while not any("scaling in is suspended" in look["why"] for look in await looks(plane)):
                    await anext(watch)
            watch.close()
            assert desired(plane, arn) == 3
            await scaling.register_scalable_target(**WEB, SuspendedState={"DynamicScalingInSuspended": False})
            await until(plane, lambda _: desired(plane, arn) < 3)
        sentence = "tasks under protection)"
        await until(
            plane,
            lambda view: (
                (service := view.service(arn)) is not None
                and any(event.message.endswith(sentence) for event in service.events)
            ),
        )
        assert len([task for task in plane.store.view().tasks_of(arn) if task.is_live]) == 3


async def command(url: str, *words: str) -> tuple[int, str, str]:
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1"}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    points = {f"AWS_ENDPOINT_URL_{name}": url for name in ("ECS", "APPLICATION_AUTO_SCALING", "CLOUDWATCH")}
    run = partial(subprocess.run, words, env=clean | keys | points, capture_output=True, text=True, check=False)
    done = await asyncio.to_thread(run)
    return done.returncode, done.stdout, done.stderr


async def test_a_session_of_the_aws_cli(plane: ControlPlane, ecs: Ecs) -> None:
    async def aws(service: str, *words: str) -> Any:
        code, out, err = await command(plane.url, str(AWS), "--output", "json", service, *words)
        assert code == 0, err
        return json.loads(out) if out.strip() else None

    async def autoscaling(*words: str) -> Any:
        return await aws("application-autoscaling", *words)

    await serve(ecs)
    bounds = ("--min-capacity", "1", "--max-capacity", "4")
    made = await autoscaling("register-scalable-target", *SCOPE, *DIMENSION, *bounds, "--tags", "team=shop")
    assert made["ScalableTargetARN"].startswith("arn:aws:application-autoscaling:us-east-1:123456789012:")
    spec = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageMemoryUtilization"}}
    named = ("--policy-name", "memory", "--policy-type", "TargetTrackingScaling")
    configuration = ("--target-tracking-scaling-policy-configuration", json.dumps({"TargetValue": 70, **spec}))
    put = await autoscaling("put-scaling-policy", *SCOPE, *DIMENSION, *named, *configuration)
    policies = (await autoscaling("describe-scaling-policies", "--service-namespace", "ecs"))["ScalingPolicies"]
    assert [policy["PolicyARN"] for policy in policies] == [put["PolicyARN"]]
    assert policies[0]["TargetTrackingScalingPolicyConfiguration"] == {"TargetValue": 70.0, **spec}
    nightly = ("--scheduled-action-name", "nightly", "--schedule", "cron(0 22 * * ? *)", "--timezone", "Europe/Berlin")
    action = ("--scalable-target-action", "MinCapacity=0,MaxCapacity=0")
    await autoscaling("put-scheduled-action", *SCOPE, *DIMENSION, *nightly, *action)
    actions = (await autoscaling("describe-scheduled-actions", "--service-namespace", "ecs"))["ScheduledActions"]
    assert (actions[0]["Schedule"], actions[0]["Timezone"]) == ("cron(0 22 * * ? *)", "Europe/Berlin")
    targets = (await autoscaling("describe-scalable-targets", "--service-namespace", "ecs"))["ScalableTargets"]
    assert (targets[0]["MinCapacity"], targets[0]["MaxCapacity"]) == (1, 4)
    await aws("cloudwatch", "put-metric-data", "--namespace", "Shop", "--metric-name", "Orders", "--value", "3")
    berth = (sys.executable, "-m", "berth", "metric", "put", "Shop", "Orders", "3.5", "--dimension", "shop=1")
    code, out, err = await command(plane.url, *berth)
    assert (code, out, err) == (0, "Shop Orders 3.5\n", "")
    await autoscaling("deregister-scalable-target", *SCOPE, *DIMENSION)
    assert not (await autoscaling("describe-scaling-policies", "--service-namespace", "ecs"))["ScalingPolicies"]
