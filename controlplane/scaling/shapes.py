"""Records of auto scaling in Amazon's shapes, and Amazon's configurations as rules. It changes nothing.

Source: Application Auto Scaling API Reference; ECS Developer Guide, "Service utilization metrics".
"""

from itertools import pairwise
from typing import Any

from controlplane.core.scaling.metrics import Metric, Statistic, metric
from controlplane.core.scaling.model import (
    COOLDOWN_SECONDS,
    Adjustment,
    ScalableTarget,
    ScalingActivity,
    ScalingPolicy,
    ScheduledAction,
    Step,
    Stepping,
    Tracking,
)
from wire.arn import ArnMaker
from wire.errors import AwsError
from wire.scaling import BALANCER_METRICS, DIMENSION, ECS_METRICS, NAMESPACE, STEPS_MAX

Shape = dict[str, Any]

_OF_SERVICE = {
    "ECSServiceAverageCPUUtilization": "CPUUtilization",
    "ECSServiceAverageMemoryUtilization": "MemoryUtilization",
}
_OF_BALANCER = "ALBRequestCountPerTarget"


def invalid(sentence: str) -> AwsError:
    """A ValidationException."""
    return AwsError(sentence, code="ValidationException")


def service_metric(cluster: str, service: str, name: str) -> Metric:
    """What ECS publishes of a service (names), `name` as in CloudWatch."""
    return metric(ECS_METRICS, name, {"ClusterName": cluster, "ServiceName": service})


def tracking_of(body: Shape, resource: str) -> Tracking:
    """The rule of a `TargetTrackingScalingPolicyConfiguration`.

    Raises:
        AwsError: ValidationException.
    """
    predefined, customized = body.get("PredefinedMetricSpecification"), body.get("CustomizedMetricSpecification")
    if (predefined is None) == (customized is None):
        raise invalid("Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be given.")
    measured, statistic = _predefined(predefined, resource) if predefined else _customized(customized or {})
    if body["TargetValue"] <= 0:
        raise invalid("TargetValue must be greater than 0.")
    cooldowns = {name: body.get(name, COOLDOWN_SECONDS) for name in ("ScaleOutCooldown", "ScaleInCooldown")}
    for name, seconds in cooldowns.items():
        if seconds < 0:
            raise invalid(f"{name} must be 0 or more.")
    return Tracking(
        target=body["TargetValue"],
        metric=measured,
        statistic=statistic,
        out_cooldown_seconds=cooldowns["ScaleOutCooldown"],
        in_cooldown_seconds=cooldowns["ScaleInCooldown"],
        scales_in=not body.get("DisableScaleIn", False),
    )


def stepping_of(body: Shape) -> Stepping:
    """The rule of a `StepScalingPolicyConfiguration`.

    Raises:
        AwsError: ValidationException.
    """
    if "AdjustmentType" not in body:
        raise invalid("AdjustmentType must be specified for a step scaling policy.")
    steps = tuple(
        Step(
            lower=step.get("MetricIntervalLowerBound"),
            upper=step.get("MetricIntervalUpperBound"),
            adjustment=step["ScalingAdjustment"],
        )
        for step in body.get("StepAdjustments", ())
    )
    adjustment = Adjustment(body["AdjustmentType"])
    _check_steps(steps, adjustment)
    if body.get("Cooldown", 0) < 0:
        raise invalid("Cooldown must be 0 or more.")
    if "MinAdjustmentMagnitude" in body and adjustment is not Adjustment.PERCENT:
        raise invalid("MinAdjustmentMagnitude can be used with PercentChangeInCapacity only.")
    return Stepping(
        adjustment=adjustment,
        steps=steps,
        least_change=body.get("MinAdjustmentMagnitude", 0),
        cooldown_seconds=body.get("Cooldown", COOLDOWN_SECONDS),
    )


def target_shape(target: ScalableTarget) -> Shape:
    """`ScalableTarget`."""
    return {
        **_of(target.resource),
        "ScalableTargetARN": target.arn,
        "MinCapacity": target.minimum,
        "MaxCapacity": target.maximum,
        "RoleARN": target.role,
        "CreationTime": target.created_at,
        "SuspendedState": {
            "DynamicScalingInSuspended": target.is_in_suspended,
            "DynamicScalingOutSuspended": target.is_out_suspended,
            "ScheduledScalingSuspended": target.is_schedule_suspended,
        },
    }


def policy_shape(policy: ScalingPolicy, arns: ArnMaker, alarms: tuple[str, ...]) -> Shape:
    """`ScalingPolicy`, with the alarms (names) that ring it."""
    kind = "TargetTrackingScaling" if policy.tracking else "StepScaling"
    return {
        **_of(policy.resource),
        "PolicyARN": policy.arn,
        "PolicyName": policy.name,
        "PolicyType": kind,
        f"{kind}PolicyConfiguration": policy.body,
        "Alarms": alarm_shapes(arns, alarms),
        "CreationTime": policy.created_at,
    }


def alarm_shapes(arns: ArnMaker, names: tuple[str, ...]) -> list[Shape]:
    """`Alarms` of a policy."""
    return [{"AlarmName": name, "AlarmARN": alarm_arn(arns, name)} for name in names]


def alarm_arn(arns: ArnMaker, name: str) -> str:
    """ARN of an alarm."""
    return f"arn:aws:cloudwatch:{arns.region}:{arns.account}:alarm:{name}"


def action_shape(action: ScheduledAction) -> Shape:
    """`ScheduledAction`."""
    bounds = {"MinCapacity": action.minimum, "MaxCapacity": action.maximum}
    times = {"StartTime": action.start_at, "EndTime": action.end_at}
    return {
        **_of(action.resource),
        "ScheduledActionName": action.name,
        "ScheduledActionARN": action.arn,
        "Schedule": action.schedule,
        "Timezone": action.zone,
        "ScalableTargetAction": {name: value for name, value in bounds.items() if value is not None},
        "CreationTime": action.created_at,
        **{name: value for name, value in times.items() if value is not None},
    }


def activity_shape(activity: ScalingActivity) -> Shape:
    """`ScalingActivity`."""
    shape = {
        **_of(activity.resource),
        "ActivityId": activity.id,
        "Description": activity.description,
        "Cause": activity.reason,
        "StartTime": activity.started_at,
        "StatusCode": activity.status,
        "StatusMessage": activity.message,
    }
    if activity.ended_at is not None:
        shape["EndTime"] = activity.ended_at
    if activity.not_scaled:
        shape["NotScaledReasons"] = list(activity.not_scaled)
    return shape


def _of(resource: str) -> Shape:
    return {"ServiceNamespace": NAMESPACE, "ResourceId": resource, "ScalableDimension": DIMENSION}


def _predefined(body: Shape, resource: str) -> tuple[Metric, Statistic]:
    kind, (_, cluster, service) = body["PredefinedMetricType"], resource.split("/")
    if kind in _OF_SERVICE:
        if "ResourceLabel" in body:
            raise invalid(f"ResourceLabel can not be specified for {kind}.")
        return service_metric(cluster, service, _OF_SERVICE[kind]), Statistic.AVERAGE
    if kind != _OF_BALANCER:
        raise invalid(f"{kind} is no metric of {NAMESPACE} services.")
    _, at, group = body.get("ResourceLabel", "").partition("/targetgroup/")
    if not at:
        raise invalid(f"{kind} needs a ResourceLabel: app/NAME/ID/targetgroup/NAME/ID.")
    dimensions = {"TargetGroup": f"targetgroup/{group}"}
    return metric(BALANCER_METRICS, "RequestCountPerTarget", dimensions), Statistic.SUM


def _customized(body: Shape) -> tuple[Metric, Statistic]:
    if "Metrics" in body:
        raise invalid("Metric math is not served here: give MetricName, Namespace and Statistic.")
    for member in ("MetricName", "Namespace", "Statistic"):
        if not body.get(member):
            raise invalid(f"CustomizedMetricSpecification needs {member}.")
    dimensions = {dimension["Name"]: dimension["Value"] for dimension in body.get("Dimensions", ())}
    return metric(body["Namespace"], body["MetricName"], dimensions), Statistic(body["Statistic"])


def _check_steps(steps: tuple[Step, ...], adjustment: Adjustment) -> None:
    if not 0 < len(steps) <= STEPS_MAX:
        raise invalid(f"A step scaling policy has 1 to {STEPS_MAX} step adjustments.")
    if adjustment is Adjustment.EXACT and any(step.adjustment < 0 for step in steps):
        raise invalid("ScalingAdjustment can not be negative for ExactCapacity.")
    infinite = float("inf")
    spans = sorted(
        (
            -infinite if step.lower is None else step.lower,
            infinite if step.upper is None else step.upper,
        )
        for step in steps
    )
    if any(lower >= upper for lower, upper in spans):
        raise invalid("MetricIntervalUpperBound must be greater than MetricIntervalLowerBound.")
    for before, after in pairwise(spans):
        if before[1] > after[0]:
            raise invalid("StepAdjustment intervals can't overlap.")
        if before[1] < after[0]:
            raise invalid("There can't be a gap between StepAdjustment intervals.")
