"""The circuit breaker and the alarms: when a deployment has failed. What follows from it is for `deployments`.

Source: ECS Developer Guide, "Deployment circuit breaker", "Deployment alarms"; API reference, `ThresholdConfiguration`.
"""

from collections.abc import Mapping, Sequence

import msgspec

from controlplane.core.model import Service, Task
from controlplane.core.policy import Policy
from controlplane.core.rollouts import Alarm, Breaker, Monitor, ServiceDeployment, Threshold
from controlplane.core.view import View

PERCENT_MAX = 200
"""The largest bounded threshold."""


def threshold(breaker: Breaker, desired_count: int, policy: Policy) -> int:
    """Failed tasks that fail a deployment of `desired_count` tasks. The latest desired count is the one that counts."""
    if breaker.threshold is Threshold.COUNT:
        return max(1, breaker.threshold_value)
    count = -(-desired_count * breaker.threshold_value // 100)
    if breaker.threshold is Threshold.UNBOUNDED_PERCENT:
        return max(1, count)
    return min(max(count, policy.breaker_minimum), PERCENT_MAX)


def count(
    rollout: ServiceDeployment, own: Sequence[Task], *, unstarted: int, unhealthy: int, healthy: int
) -> ServiceDeployment:
    """The breaker's count brought up to date.

    Stage 1, before any task of the target has run: tasks that never start. Stage 2: failed health checks. A task that
    turns healthy sets the count to 0, unless `resetOnHealthyTask` is false. `healthy`: how many of its `own` are now.
    """
    new = unhealthy if rollout.has_run else unstarted
    has_reset = healthy > rollout.healthy_seen and rollout.settings.breaker.resets_on_healthy_task
    return msgspec.structs.replace(
        rollout,
        failures=(0 if has_reset else rollout.failures) + new,
        healthy_seen=healthy,
        has_run=rollout.has_run or any(task.started_at is not None for task in own),
    )


def has_tripped(rollout: ServiceDeployment, service: Service, policy: Policy) -> bool:
    """Whether the count has reached the threshold."""
    breaker = rollout.settings.breaker
    return breaker.is_enabled and rollout.failures >= threshold(breaker, service.desired_count, policy)


def monitors(rollout: ServiceDeployment, view: View) -> Mapping[str, Monitor]:
    """How a deployment that begins is watched. Alarms that ring already are left aside for all of it."""
    settings = rollout.settings
    has_alarms = settings.alarms.is_enabled and not ringing(rollout, view)
    return {
        "breaker": Monitor.MONITORING if settings.breaker.is_enabled else Monitor.DISABLED,
        "alarms": Monitor.MONITORING if has_alarms else Monitor.DISABLED,
    }


def ringing(rollout: ServiceDeployment, view: View) -> tuple[str, ...]:
    """Names of its alarms that ring. One that was never set does not."""
    names = rollout.settings.alarms.names if rollout.settings.alarms.is_enabled else ()
    alarms = {name: view.record(Alarm, name) for name in names}
    return tuple(name for name, alarm in alarms.items() if alarm is not None and alarm.is_ringing)
