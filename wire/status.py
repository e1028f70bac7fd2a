"""The ladders: ordered statuses that a subject only climbs.

Source: ECS Developer Guide, "Task lifecycle"; amazon-ecs-agent `ecs-agent/api/{task,container}/status`.
A container restarted under its restart policy is the one named edge that goes down; it is not here.
"""

from enum import StrEnum


class TaskStatus(StrEnum):
    """`lastStatus` of a task, in the order in which a task climbs it."""

    PROVISIONING = "PROVISIONING"
    PENDING = "PENDING"
    ACTIVATING = "ACTIVATING"
    RUNNING = "RUNNING"
    DEACTIVATING = "DEACTIVATING"
    STOPPING = "STOPPING"
    DEPROVISIONING = "DEPROVISIONING"
    STOPPED = "STOPPED"

    @property
    def rung(self) -> int:
        """Position on the ladder, 0 at the bottom."""
        return _TASK_RUNGS[self]

    @property
    def is_starting(self) -> bool:
        """Whether ECS counts a task with this status as pending."""
        return self.rung < TaskStatus.RUNNING.rung


class DesiredStatus(StrEnum):
    """`desiredStatus` of a task. It is never PENDING (ListTasks documentation)."""

    RUNNING = "RUNNING"
    STOPPED = "STOPPED"


class ContainerStatus(StrEnum):
    """Status of a container, as the control plane and the reports of an agent name it."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"

    @property
    def rung(self) -> int:
        """Position on the ladder, 0 at the bottom."""
        return _CONTAINER_RUNGS[self]


class HealthStatus(StrEnum):
    """`healthStatus` of a container or a task. It is no ladder: it goes up and down."""

    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    UNKNOWN = "UNKNOWN"


class InstanceStatus(StrEnum):
    """`status` of a container instance."""

    REGISTERING = "REGISTERING"
    ACTIVE = "ACTIVE"
    DRAINING = "DRAINING"
    DEREGISTERING = "DEREGISTERING"
    INACTIVE = "INACTIVE"


class StopCode(StrEnum):
    """`stopCode` of a task: who or what ended it."""

    TASK_FAILED_TO_START = "TaskFailedToStart"
    ESSENTIAL_CONTAINER_EXITED = "EssentialContainerExited"
    USER_INITIATED = "UserInitiated"
    SERVICE_SCHEDULER_INITIATED = "ServiceSchedulerInitiated"
    SPOT_INTERRUPTION = "SpotInterruption"
    TERMINATION_NOTICE = "TerminationNotice"
    INFRASTRUCTURE_HEALTH = "InfrastructureHealth"


_TASK_RUNGS = {status: rung for rung, status in enumerate(TaskStatus)}
_CONTAINER_RUNGS = {status: rung for rung, status in enumerate(ContainerStatus)}
