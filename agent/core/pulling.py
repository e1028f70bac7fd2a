"""Whether an image is pulled, how often that is tried, and what a failure means. Pure; knows no registry.

Source: amazon-ecs-agent `docker_task_engine.go` (pullContainerManifest), `docker_client.go`.
"""

from enum import StrEnum


class PullBehavior(StrEnum):
    """`ECS_IMAGE_PULL_BEHAVIOR`."""

    DEFAULT = "default"
    """Pull; use the local image where that fails."""
    ALWAYS = "always"
    """Pull, or fail."""
    ONCE = "once"
    """Pull unless a task of this agent has pulled it before."""
    PREFER_CACHED = "prefer-cached"
    """Use the local image where there is one; else pull."""


MANIFEST_WAITS_SECONDS = (0.01, 0.03, 0.09, 0.27, 0.81, 2.43, 5.0, 5.0)
"""Between the nine tries to have the manifest: 10 ms to 5 s, x 3. The waits are the task's own and begin anew."""
PULL_WAITS_SECONDS = (1.1, 2.2, 4.4, 5.0)
"""Between the five tries to pull: 1.1 s to 5 s, x 2."""


def local_will_do(behavior: PullBehavior, *, is_local: bool, was_pulled: bool) -> bool:
    """Whether the image that is here is used without asking the registry."""
    if behavior is PullBehavior.PREFER_CACHED:
        return is_local
    return behavior is PullBehavior.ONCE and is_local and was_pulled


def falls_back(behavior: PullBehavior) -> bool:
    """Whether a local image stands in where the pull failed."""
    return behavior in (PullBehavior.DEFAULT, PullBehavior.PREFER_CACHED)


def has_digest(image: str) -> bool:
    """Whether the name says which manifest is meant: `NAME@sha256:...`."""
    return "@" in image
