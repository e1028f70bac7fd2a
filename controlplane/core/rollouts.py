"""Records of how a service is rolled out: what was asked for, each revision, each service deployment and its course.

They remember what cannot be seen in tasks. Source: API reference, `DeploymentConfiguration`, `ServiceDeployment`,
`ServiceRevision`.
"""

from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from controlplane.core.record import Record

MINUTE_SECONDS = 60.0
"""Of the minutes in these records."""


class Strategy(StrEnum):
    """How a new revision takes over."""

    ROLLING = "ROLLING"
    BLUE_GREEN = "BLUE_GREEN"
    LINEAR = "LINEAR"
    CANARY = "CANARY"


class Threshold(StrEnum):
    """What the circuit breaker's `value` means."""

    BOUNDED_PERCENT = "BOUNDED_PERCENT"
    """Per cent of the desired count, within bounds."""
    UNBOUNDED_PERCENT = "UNBOUNDED_PERCENT"
    COUNT = "COUNT"


class Breaker(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`deploymentCircuitBreaker`. Source: API reference, `DeploymentCircuitBreaker`, `ThresholdConfiguration`."""

    is_enabled: bool = False
    rolls_back: bool = False
    resets_on_healthy_task: bool = True
    threshold: Threshold = Threshold.BOUNDED_PERCENT
    threshold_value: int = 50


class AlarmSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`alarms`: names that fail a deployment when they ring."""

    names: tuple[str, ...] = ()
    is_enabled: bool = False
    rolls_back: bool = False


class Cleanup(StrEnum):
    """Whether a deployment that has succeeded early waits for its old tasks to be gone."""

    BLOCKING = "BLOCKING"
    DEFERRED = "DEFERRED"


class EarlySuccess(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`earlySuccessCriteria`: so many per cent of the desired count healthy are enough."""

    is_enabled: bool = False
    healthy_percent: int = 100
    cleanup: Cleanup = Cleanup.BLOCKING


class Stage(StrEnum):
    """`lifecycleStage`, in order. PRE_PRODUCTION_TRAFFIC_SHIFT is a hook's stage only; it is shown as its forerunner.

    Source: API reference, `ServiceDeployment.lifecycleStage`; ECS Developer Guide, "Blue/green deployments".
    """

    RECONCILE_SERVICE = "RECONCILE_SERVICE"
    PRE_SCALE_UP = "PRE_SCALE_UP"
    SCALE_UP = "SCALE_UP"
    POST_SCALE_UP = "POST_SCALE_UP"
    TEST_TRAFFIC_SHIFT = "TEST_TRAFFIC_SHIFT"
    POST_TEST_TRAFFIC_SHIFT = "POST_TEST_TRAFFIC_SHIFT"
    PRE_PRODUCTION_TRAFFIC_SHIFT = "PRE_PRODUCTION_TRAFFIC_SHIFT"
    PRODUCTION_TRAFFIC_SHIFT = "PRODUCTION_TRAFFIC_SHIFT"
    POST_PRODUCTION_TRAFFIC_SHIFT = "POST_PRODUCTION_TRAFFIC_SHIFT"
    BAKE_TIME = "BAKE_TIME"
    CLEAN_UP = "CLEAN_UP"


class HookKind(StrEnum):
    """`targetType` of a lifecycle hook."""

    WEBHOOK = "AWS_LAMBDA"
    """A POST to the URL that stands in `hookTargetArn`: there is no Lambda here."""
    PAUSE = "PAUSE"
    """Somebody must say `ContinueServiceDeployment`."""


class Hook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One lifecycle hook of a service."""

    kind: HookKind
    target: str = ""
    """URL, for a webhook."""
    stages: tuple[Stage, ...]
    details: Any = None
    """Given to the webhook as it is."""
    timeout_minutes: int = 1440
    timeout_action: str = "ROLLBACK"


class RolloutSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`deploymentConfiguration` but for the two percentages, which stand in `Service`. Minutes, per cent."""

    strategy: Strategy = Strategy.ROLLING
    breaker: Breaker = Breaker()
    alarms: AlarmSettings = AlarmSettings()
    early_success: EarlySuccess = EarlySuccess()
    bake_minutes: float = 0
    hooks: tuple[Hook, ...] = ()
    step_percent: float = 10
    step_bake_minutes: float = 6
    canary_percent: float = 5
    canary_bake_minutes: float = 10


class ServiceRevision(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What a deployment brings out, unchangeable but for the digests that its tasks find. Key: its ARN.

    `body` has Amazon's members (launchType, ...).
    """

    table: ClassVar[str] = "service_revisions"

    arn: str
    service: str
    """ARN."""
    cluster: str
    """Name."""
    task_definition: str
    groups: tuple[str, ...] = ()
    """ARNs of the target groups of its tasks, by load balancer in `body`."""
    digests: dict[str, str] = {}
    """Of its images, by container, as far as they are to be the same in all tasks and a task has found them."""
    body: dict[str, Any] = {}
    created_at: float = 0

    @property
    def key(self) -> str:
        return self.arn


class RolloutStatus(StrEnum):
    """`status` of a service deployment."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCESSFUL = "SUCCESSFUL"
    STOP_REQUESTED = "STOP_REQUESTED"
    STOPPED = "STOPPED"
    ROLLBACK_REQUESTED = "ROLLBACK_REQUESTED"
    ROLLBACK_IN_PROGRESS = "ROLLBACK_IN_PROGRESS"
    ROLLBACK_SUCCESSFUL = "ROLLBACK_SUCCESSFUL"
    ROLLBACK_FAILED = "ROLLBACK_FAILED"

    @property
    def is_over(self) -> bool:
        """Nothing follows any more."""
        return not NEXT_STATUS[self]


_END = frozenset[RolloutStatus]()
NEXT_STATUS: dict[RolloutStatus, frozenset[RolloutStatus]] = {
    RolloutStatus.PENDING: frozenset(
        {RolloutStatus.IN_PROGRESS, RolloutStatus.STOP_REQUESTED, RolloutStatus.ROLLBACK_REQUESTED}
    ),
    RolloutStatus.IN_PROGRESS: frozenset(
        {RolloutStatus.SUCCESSFUL, RolloutStatus.STOP_REQUESTED, RolloutStatus.ROLLBACK_REQUESTED}
    ),
    RolloutStatus.STOP_REQUESTED: frozenset({RolloutStatus.STOPPED, RolloutStatus.ROLLBACK_REQUESTED}),
    RolloutStatus.ROLLBACK_REQUESTED: frozenset({RolloutStatus.ROLLBACK_IN_PROGRESS, RolloutStatus.STOP_REQUESTED}),
    RolloutStatus.ROLLBACK_IN_PROGRESS: frozenset(
        {RolloutStatus.ROLLBACK_SUCCESSFUL, RolloutStatus.ROLLBACK_FAILED, RolloutStatus.STOP_REQUESTED}
    ),
    RolloutStatus.SUCCESSFUL: _END,
    RolloutStatus.STOPPED: _END,
    RolloutStatus.ROLLBACK_SUCCESSFUL: _END,
    RolloutStatus.ROLLBACK_FAILED: _END,
}
"""Source: API reference, `ServiceDeployment.status`; ECS Developer Guide, "Service deployments"."""


class Monitor(StrEnum):
    """How a breaker or alarms watch a service deployment (`ServiceDeploymentRollbackMonitorsStatus`)."""

    DISABLED = "DISABLED"
    MONITORING = "MONITORING"
    TRIGGERED = "TRIGGERED"
    MONITORING_COMPLETE = "MONITORING_COMPLETE"


class Rollback(msgspec.Struct, frozen=True, kw_only=True):
    """Why and to what a service deployment is rolled back."""

    reason: str
    started_at: float
    revision: str
    """ARN."""
    failures: int = 0
    """The circuit breaker's count when it began: the way back has a count of its own."""


class Counts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tasks of one revision of a service."""

    requested: int = 0
    running: int = 0
    pending: int = 0


class Block(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What keeps a deployment from its next step."""

    why: str
    """A word: see `reconcile/blocks.py`."""
    by: tuple[str, ...] = ()
    """ARNs of those who keep it."""
    whom: tuple[str, ...] = ()
    """ARNs of those who are kept."""
    until: float | None = None
    """Until when at the latest (epoch seconds); None: nobody knows."""


class HookRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One hook at one stage of a deployment. Status: AWAITING_ACTION, IN_PROGRESS, SUCCEEDED, FAILED, TIMED_OUT."""

    id: str
    stage: Stage
    hook: int
    """Its place in `RolloutSettings.hooks`."""
    status: str
    started_at: float
    expires_at: float
    step: int = 0
    """Which shift of the production traffic it belongs to."""
    call_at: float = 0
    """Epoch seconds: when the webhook is to be asked (again)."""
    failed_calls: int = 0
    """Calls in a row that came to no answer."""
    details: dict[str, Any] = {}
    """What the webhook wants to be told at its next call."""
    is_back: bool = False
    """Asked on the way back: awaited, but it cannot fail the deployment again."""


class ServiceDeployment(Record, frozen=True, kw_only=True, omit_defaults=True):
    """One service deployment from request to end. Key: its ARN. Times are epoch seconds."""

    table: ClassVar[str] = "service_deployments"

    arn: str
    service: str
    """ARN."""
    cluster: str
    """Name."""
    deployment: str
    """`ecs-svc/<19 digits>`."""
    target: str
    """ARN of the revision that it brings out."""
    sources: tuple[str, ...] = ()
    """ARNs of the revisions that ran when it began; the one that serves, blue, comes first."""
    settings: RolloutSettings = RolloutSettings()
    minimum_healthy_percent: int = 100
    maximum_percent: int = 200
    status: RolloutStatus = RolloutStatus.PENDING
    status_reason: str = ""
    created_at: float = 0
    started_at: float | None = None
    finished_at: float | None = None
    stopped_at: float | None = None
    updated_at: float = 0
    rollback: Rollback | None = None
    # what watches it
    failures: int = 0
    """The circuit breaker's count."""
    healthy_seen: int = 0
    """Healthy tasks of the target at the last look: one more is a healthy task."""
    has_run: bool = False
    """A task of the target has been RUNNING: from then on only health counts (stage 2)."""
    breaker: Monitor = Monitor.DISABLED
    breaker_threshold: int = 0
    alarms: Monitor = Monitor.DISABLED
    triggered_alarms: tuple[str, ...] = ()
    # where it stands
    stage: Stage | None = None
    stage_since: float = 0
    steps_done: int = 0
    """Production shifts carried out."""
    test_weight: float = 0
    production_weight: float = 0
    """Per cent of the traffic that the target is to have."""
    hooks: tuple[HookRun, ...] = ()
    baking_since: float | None = None
    block: Block | None = None
    counts: dict[str, Counts] = {}
    """By revision (ARN), as they were at its end; empty until then."""

    @property
    def key(self) -> str:
        return self.arn

    @property
    def is_rolling_back(self) -> bool:
        """The way back has begun and is not at its end."""
        return self.status in {RolloutStatus.ROLLBACK_REQUESTED, RolloutStatus.ROLLBACK_IN_PROGRESS}

    @property
    def breaker_count(self) -> int:
        """Failures that the circuit breaker has counted on the way there, never those of the way back."""
        return self.failures if self.rollback is None else self.rollback.failures


class TaskSet(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a task set of the EXTERNAL controller has besides a deployment. `body` is as it was asked for."""

    scale_percent: float = 100
    is_steady: bool = False
    steady_at: float = 0
    """When `stabilityStatus` last changed."""
    body: dict[str, Any] = {}


class Alarm(Record, frozen=True, kw_only=True, omit_defaults=True):
    """An alarm as somebody has set it. Key: its name. Nothing here measures: people and tests ring it."""

    table: ClassVar[str] = "alarms"

    name: str
    is_ringing: bool = False
    updated_at: float = 0

    @property
    def key(self) -> str:
        return self.name
