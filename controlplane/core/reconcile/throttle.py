"""Throttling: tasks that never start are tried less and less, and a service starts only so many a minute.

Only tasks that never reached RUNNING slow a service down; a new deployment starts afresh. Source: ECS Developer Guide,
"Service throttle logic"; the curve is unpublished, recorded are quick tries for about 50 s, then waits of minutes.
"""

from collections.abc import Iterable

from controlplane.core.model import Deployment, Task
from controlplane.core.policy import Policy
from controlplane.core.rollouts import MINUTE_SECONDS

FIRST_SECONDS = 10
"""Assumed; it doubles with every round."""
IMPAIRED_ROUNDS = 3
"""Failed rounds after which people are told (assumed)."""


def failed_rounds(deployment: Deployment, wanted: int) -> int:
    """How often in a row all of the `wanted` tasks failed to start, rounded up; 0: they start."""
    return -(-deployment.unstarted_tasks // max(1, wanted))


def is_impaired(deployment: Deployment, wanted: int) -> bool:
    """Whether people are to be told that its tasks do not start."""
    return failed_rounds(deployment, wanted) >= IMPAIRED_ROUNDS


def retry_at(deployment: Deployment, wanted: int, policy: Policy) -> float:
    """When tasks may be started again (epoch seconds): 10 s to 27 min after the last failure, doubling."""
    rounds = failed_rounds(deployment, wanted)
    if not rounds or deployment.failed_at is None:
        return 0.0
    seconds = FIRST_SECONDS << min(rounds - 1, 16)
    return deployment.failed_at + min(seconds, policy.throttle_max_seconds)


def launches_left(tasks: Iterable[Task], now: float, policy: Policy) -> tuple[int | None, float]:
    """How many tasks a service may start in this minute (None: any number), and when the next one may (epoch s)."""
    if policy.launches_per_minute is None:
        return None, now
    recent = sorted(task.created_at for task in tasks if task.created_at > now - MINUTE_SECONDS)
    left = policy.launches_per_minute - len(recent)
    return max(0, left), now if left > 0 else recent[-policy.launches_per_minute] + MINUTE_SECONDS
