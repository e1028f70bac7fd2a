"""Restart policies: whether a container that has exited is started again, in its place and unannounced.

The same container is started again at once, as often as it takes; what is known of it stays RUNNING and nothing is
reported (`ladder.RESTART`). A stop request wins: a container that is to stop is never started again.

Source: amazon-ecs-agent `ecs-agent/api/container/restart` (1.86.0).
"""

from agent.core.spec import RestartPolicy


def is_due(policy: RestartPolicy | None, *, exit_code: int | None, began_at: float | None, now: float) -> bool:
    """Whether a container that exits now is started again. `began_at` is its last start, epoch seconds."""
    if policy is None or exit_code is None or began_at is None:
        return False
    return exit_code not in policy.ignored_exit_codes and now - began_at >= policy.attempt_period_seconds
