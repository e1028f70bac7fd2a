"""When a task of a service counts as healthy: by its container checks, by its targets, by both, or by having run.

Source: API reference, `DeploymentConfiguration.minimumHealthyPercent` and `healthCheckGracePeriodSeconds`.
"""

from enum import StrEnum

from controlplane.core.health import of_task
from controlplane.core.model import Service, Task
from controlplane.core.policy import Policy
from wire.status import HealthStatus, TaskStatus


class Soundness(StrEnum):
    """What the scheduler makes of a task."""

    GONE = "gone"
    """Told to stop, or stopped."""
    STARTING = "starting"
    """Not RUNNING yet."""
    SETTLING = "settling"
    """RUNNING, and not known to be healthy yet, or failing within its grace period."""
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


def soundness(task: Task, service: Service, now: float, policy: Policy) -> Soundness:
    """How `task` of `service` stands at `now` (epoch seconds).

    Without load balancer and container check: healthy after `Policy.healthy_after_seconds` of RUNNING (40 s; 0 is the
    older rule "RUNNING is healthy"). With either or both: as they say, failures within the grace period left aside.
    """
    if not task.is_live:
        return Soundness.GONE
    if task.last_status is not TaskStatus.RUNNING or task.started_at is None:
        return Soundness.STARTING
    ran_seconds = now - task.started_at
    is_checked = has_check(task)
    if not is_checked and not task.targets:
        return Soundness.HEALTHY if ran_seconds >= policy.healthy_after_seconds else Soundness.SETTLING
    if why_unhealthy(task):
        return Soundness.SETTLING if ran_seconds < (service.health_grace_seconds or 0) else Soundness.UNHEALTHY
    is_container_fine = not is_checked or of_task(task) is HealthStatus.HEALTHY
    is_target_fine = all(target.status is HealthStatus.HEALTHY for target in task.targets)
    return Soundness.HEALTHY if is_container_fine and is_target_fine else Soundness.SETTLING


def changes_at(task: Task, service: Service, policy: Policy) -> tuple[float, ...]:
    """Times (epoch seconds) at which nothing but time may change the soundness of a task."""
    if not task.is_live or task.started_at is None:
        return ()
    if not has_check(task) and not task.targets:
        return (task.started_at + policy.healthy_after_seconds,)
    return (task.started_at + (service.health_grace_seconds or 0),) if why_unhealthy(task) else ()


def has_check(task: Task) -> bool:
    """Whether an essential container has a health check."""
    return any(container.essential and container.health_status is not None for container in task.containers)


def why_unhealthy(task: Task) -> str:
    """The reason that a task stopped for its health is given; "" where no check fails.

    Source: ECS Developer Guide, "Stopped tasks errors".
    """
    if has_check(task) and of_task(task) is HealthStatus.UNHEALTHY:
        return "Task failed container health checks"
    for target in task.targets:
        if target.status is HealthStatus.UNHEALTHY:
            return f"Task failed ELB health checks in (target-group {target.group})"
    return ""
