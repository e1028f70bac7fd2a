"""The records of service auto scaling: what may be scaled, by which policies, when, and what came of it.

Source: Application Auto Scaling API Reference; CloudWatch API Reference (`PutMetricAlarm`).
"""

from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from controlplane.core.record import Record
from controlplane.core.scaling.metrics import Metric, Statistic

COOLDOWN_SECONDS = 300
"""Application Auto Scaling API Reference: the default for ECS services, out and in."""


class ScalableTarget(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A service whose desired count may be changed. Key: its resource id, `service/CLUSTER/NAME`."""

    table: ClassVar[str] = "scalable_targets"

    resource: str
    arn: str
    service: str
    """ARN."""
    minimum: int
    maximum: int
    role: str = ""
    is_out_suspended: bool = False
    is_in_suspended: bool = False
    is_schedule_suspended: bool = False
    tags: dict[str, str] = {}
    created_at: float = 0

    @property
    def key(self) -> str:
        return self.resource


class Tracking(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`TargetTrackingScaling`: keep a metric near its target."""

    target: float
    metric: Metric
    statistic: Statistic = Statistic.AVERAGE
    out_cooldown_seconds: float = COOLDOWN_SECONDS
    in_cooldown_seconds: float = COOLDOWN_SECONDS
    scales_in: bool = True


class Adjustment(StrEnum):
    """What a step's number means."""

    CHANGE = "ChangeInCapacity"
    PERCENT = "PercentChangeInCapacity"
    EXACT = "ExactCapacity"


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step: by how much, where the metric is so far from the alarm's threshold. None: without end."""

    lower: float | None = None
    upper: float | None = None
    adjustment: int


class Stepping(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`StepScaling`: do so much while an alarm rings."""

    adjustment: Adjustment
    steps: tuple[Step, ...]
    least_change: int = 0
    """`MinAdjustmentMagnitude`, for PERCENT."""
    cooldown_seconds: float = COOLDOWN_SECONDS


class Activity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a policy did last, one way. `at`: epoch seconds; `before`: the desired count that it found."""

    at: float
    before: int


class ScalingPolicy(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A policy of a scalable target. Key: the target's resource id and its name. One of its two rules is set."""

    table: ClassVar[str] = "scaling_policies"

    resource: str
    name: str
    arn: str
    tracking: Tracking | None = None
    stepping: Stepping | None = None
    body: dict[str, Any] = {}
    """The configuration as it was given."""
    alarms: tuple[str, ...] = ()
    """Names of the alarms that tracking would have in CloudWatch: high, low."""
    last_out: Activity | None = None
    last_in: Activity | None = None
    created_at: float = 0

    @property
    def key(self) -> str:
        return f"{self.resource} {self.name}"


class ScheduledAction(Record, frozen=True, kw_only=True, omit_defaults=True):
    """New bounds for a scalable target at certain times. Key: the target's resource id and its name."""

    table: ClassVar[str] = "scheduled_scaling"

    resource: str
    name: str
    arn: str
    schedule: str
    zone: str = "UTC"
    minimum: int | None = None
    maximum: int | None = None
    start_at: float | None = None
    end_at: float | None = None
    next_at: float | None = None
    """Epoch seconds; None: it is over."""
    created_at: float = 0

    @property
    def key(self) -> str:
        return f"{self.resource} {self.name}"


class Status(StrEnum):
    """How an activity stands."""

    IN_PROGRESS = "InProgress"
    SUCCESSFUL = "Successful"
    OVERRIDDEN = "Overridden"
    FAILED = "Failed"


class ScalingActivity(Record, frozen=True, kw_only=True, omit_defaults=True):
    """The desired count was changed, or could not be. Key: its id."""

    table: ClassVar[str] = "scaling_activities"

    id: str
    resource: str
    description: str
    reason: str
    """`Cause`."""
    desired: int
    status: Status = Status.IN_PROGRESS
    message: str = ""
    not_scaled: tuple[dict[str, Any], ...] = ()
    """`NotScaledReasons`: there is a reason why nothing was done."""
    started_at: float = 0
    ended_at: float | None = None

    @property
    def key(self) -> str:
        return self.id


class Comparison(StrEnum):
    """When a datapoint breaches a threshold."""

    ABOVE_OR_AT = "GreaterThanOrEqualToThreshold"
    ABOVE = "GreaterThanThreshold"
    BELOW = "LessThanThreshold"
    BELOW_OR_AT = "LessThanOrEqualToThreshold"

    @property
    def is_below(self) -> bool:
        """It looks for what is too low."""
        return self in (Comparison.BELOW, Comparison.BELOW_OR_AT)


class MetricAlarm(Record, frozen=True, kw_only=True, omit_defaults=True):
    """An alarm over a metric, which rings policies. Key: its name. Whether it rings stands in `Alarm` of that name."""

    table: ClassVar[str] = "metric_alarms"

    name: str
    arn: str
    metric: Metric
    statistic: Statistic = Statistic.AVERAGE
    minutes: int = 1
    """Of one datapoint."""
    periods: int = 1
    """Datapoints that are looked at."""
    breaches: int = 1
    """So many of them must breach."""
    threshold: float
    comparison: Comparison
    policies: tuple[str, ...] = ()
    """ARNs of the policies that act while it rings."""
    body: dict[str, Any] = {}

    @property
    def key(self) -> str:
        return self.name


RECORDS: tuple[type[Record], ...] = (ScalableTarget, ScalingPolicy, ScheduledAction, ScalingActivity, MetricAlarm)
