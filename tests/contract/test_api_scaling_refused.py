"""What service auto scaling refuses, in AWS's words; nothing changes by it."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
from apiside import Client, Ecs
from scalingside import WEB, register, serve

from controlplane.config import Config
from controlplane.server import ControlPlane, running

STEP = {"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}
NO_GAPS = {"AdjustmentType": "ExactCapacity", "StepAdjustments": [STEP, STEP]}
TRACK = {"PolicyName": "p", "PolicyType": "TargetTrackingScaling"}
REFUSED = [
    (
        "register_scalable_target",
        {"ResourceId": "service/default/none", "MinCapacity": 1, "MaxCapacity": 2},
        "ECS service doesn't exist: service/default/none",
    ),
    (
        "register_scalable_target",
        {"ResourceId": "web"},
        "Unsupported resource ID 'web': it should be service/CLUSTER/NAME.",
    ),
    (
        "register_scalable_target",
        {"MinCapacity": 3, "MaxCapacity": 2},
        "Maximum capacity cannot be less than minimum capacity",
    ),
    (
        "put_scaling_policy",
        {"PolicyName": "p", "PolicyType": "PredictiveScaling"},
        "Predictive scaling is not served here; target tracking and step scaling are.",
    ),
    (
        "put_scaling_policy",
        {"PolicyName": "p", "PolicyType": "StepScaling", "StepScalingPolicyConfiguration": NO_GAPS},
        "StepAdjustment intervals can't overlap.",
    ),
    (
        "put_scaling_policy",
        {**TRACK, "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 1}},
        "Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be given.",
    ),
    (
        "put_scheduled_action",
        {"ScheduledActionName": "a", "Schedule": "at(noon)", "ScalableTargetAction": {"MinCapacity": 1}},
        "Schedule or Timezone is not valid: at(yyyy-mm-ddThh:mm:ss), rate(...) or cron(...).",
    ),
]


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    async with running(Config(port=0, healthy_after_seconds=0)) as plane:
        yield plane


@pytest.fixture
def scaling(plane: ControlPlane) -> Client:
    return Client("application-autoscaling", plane.url)


@pytest.fixture
def cloudwatch(plane: ControlPlane) -> Client:
    return Client("cloudwatch", plane.url)


async def test_what_is_not_right_changes_nothing(plane: ControlPlane, ecs: Ecs, scaling: Client) -> None:
    await serve(ecs)
    await register(scaling)
    revision = plane.store.view().revision
    for operation, members, expected in REFUSED:
        assert await scaling.refused(operation, **{**WEB, **members}) == ("ValidationException", expected)
    assert plane.store.view().revision == revision


async def test_what_is_not_there_is_not_found(ecs: Ecs, scaling: Client) -> None:
    await serve(ecs)
    where = "service namespace: ecs, resource ID: service/default/web, scalable dimension: ecs:service:DesiredCount"
    none = ("ObjectNotFoundException", f"No scalable target registered for {where}")
    assert await scaling.refused("deregister_scalable_target", **WEB) == none
    assert await scaling.refused("put_scaling_policy", **WEB, PolicyName="p", PolicyType="StepScaling") == none
    arn = await register(scaling, Tags={"a": "1"})
    await scaling.tag_resource(ResourceARN=arn, Tags={"b": "2"})
    await scaling.untag_resource(ResourceARN=arn, TagKeys=["a"])
    assert (await scaling.list_tags_for_resource(ResourceARN=arn))["Tags"] == {"b": "2"}
    code, _ = await scaling.refused("delete_scaling_policy", **WEB, PolicyName="p")
    assert code == "ObjectNotFoundException"
    code, _ = await scaling.refused("delete_scheduled_action", **WEB, ScheduledActionName="p")
    assert code == "ObjectNotFoundException"


async def test_metrics_that_are_none(cloudwatch: Client) -> None:
    put = partial(cloudwatch.refused, "put_metric_data")
    assert await put(Namespace="AWS/ECS", MetricData=[{"MetricName": "m", "Value": 1}]) == (
        "InvalidParameterValue",
        "The value AWS/ for parameter Namespace is invalid.",
    )
    for datum in ({}, {"Value": 1, "Values": [1]}, {"Values": [1], "Counts": [1, 2]}, {"Value": 1, "Timestamp": 0}):
        code, _ = await put(Namespace="Shop", MetricData=[{"MetricName": "m", **datum}])
        assert code == "InvalidParameterValue"
    code, message = await cloudwatch.refused("list_dashboards")
    assert code == "UnknownOperationException"
    assert message.startswith("CloudWatch's ListDashboards is not served here")
