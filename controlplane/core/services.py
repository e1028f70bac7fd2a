"""Records of services: what is wanted, its deployments, what people were told. Counts of tasks are not kept.

Source: API reference, `Service`, `Deployment`, `ServiceEvent`.
"""

from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from controlplane.core.record import Record
from controlplane.core.rollouts import RolloutSettings, TaskSet


class Deployment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One deployment of a service; `id` is `ecs-svc/<19 digits>`."""

    id: str
    status: str
    """PRIMARY, ACTIVE or INACTIVE."""
    task_definition: str
    desired_count: int = 0
    rollout_state: str = "IN_PROGRESS"
    rollout_reason: str = ""
    revision: str = ""
    """ARN of the service revision that it brings out."""
    unstarted_tasks: int = 0
    """Consecutive tasks that never reached RUNNING: what throttles the starts."""
    unhealthy_tasks: int = 0
    """Consecutive tasks that failed a health check."""
    failed_at: float | None = None
    """When the last task that never reached RUNNING stopped."""
    failures_before: int = 0
    """Revision of the store at which it came to be the newest: what failed up to then is not held against it."""
    task_set: TaskSet | None = None
    """For the EXTERNAL controller; `status` is then PRIMARY, ACTIVE or DRAINING."""
    created_at: float = 0
    updated_at: float = 0

    @property
    def failed_tasks(self) -> int:
        """`failedTasks`: consecutive tasks that did not come to run, or failed a health check."""
        return self.unstarted_tasks + self.unhealthy_tasks


class Controller(StrEnum):
    """Who makes deployments (`deploymentController`)."""

    ECS = "ECS"
    EXTERNAL = "EXTERNAL"
    """Whoever calls: task sets."""


class ServiceEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A sentence to people, in AWS's words; `name` is EventBridge's for it, "" where it has none."""

    id: str
    created_at: float
    message: str
    name: str = ""


class Scheduling(StrEnum):
    """`schedulingStrategy`."""

    REPLICA = "REPLICA"
    DAEMON = "DAEMON"


class Service(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A service. Key: its ARN. The newest deployment and the newest event come first."""

    table: ClassVar[str] = "services"

    arn: str
    name: str
    cluster: str
    status: str = "ACTIVE"
    desired_count: int = 0
    task_definition: str
    minimum_healthy_percent: int = 100
    maximum_percent: int = 200
    placement_strategy: tuple[dict[str, str], ...] = ()
    placement_constraints: tuple[dict[str, str], ...] = ()
    deployments: tuple[Deployment, ...] = ()
    events: tuple[ServiceEvent, ...] = ()
    scheduling: Scheduling = Scheduling.REPLICA
    controller: Controller = Controller.ECS
    rollout: RolloutSettings = RolloutSettings()
    health_grace_seconds: int | None = None
    """After a task has come to run, failed checks are passed over for so long."""
    rebalances: bool = False
    """Tasks are moved where zones have come to hold unequal numbers of them."""
    current: str = ""
    """ARN of the newest service deployment."""
    settled: str = ""
    """ARN of the revision of the last deployment that was COMPLETED, what a rollback goes back to; "": none."""
    body: dict[str, Any] = {}
    created_at: float = 0
    ended_at: float | None = None
    """When it went INACTIVE."""

    @property
    def key(self) -> str:
        return self.arn
