"""Which images are removed: those that this agent brought, that no task needs, and that are old enough.

The longest unused goes first. An image that was on the host before is somebody else's and is never touched.

Source: amazon-ecs-agent `engine/docker_image_manager.go`. Amazon's also removes images that were there before.
"""

from collections.abc import Iterable

import msgspec


class PulledImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that a task of this agent has pulled. Times are epoch seconds."""

    name: str
    """Or its id, once the name means another image."""
    pulled_at: float
    used_at: float
    is_ours: bool
    """It was not on the host before."""


class CleanUp(msgspec.Struct, frozen=True, kw_only=True):
    """`ECS_IMAGE_CLEANUP_INTERVAL`, `ECS_IMAGE_MINIMUM_CLEANUP_AGE`, `ECS_NUM_IMAGES_DELETE_PER_CYCLE`."""

    interval_seconds: float = 30 * 60
    age_seconds_min: float = 3600
    images_per_cycle: int = 5
    """So many go; one that somebody's container has stays, and does not count."""


def removable(images: Iterable[PulledImage], in_use: set[str], rule: CleanUp, now: float) -> list[str]:
    """Names of the images that may go, the longest unused first. `in_use` are the names that tasks need."""
    free = [
        image
        for image in images
        if image.is_ours and image.name not in in_use and now - image.pulled_at >= rule.age_seconds_min
    ]
    return [image.name for image in sorted(free, key=lambda image: (image.used_at, image.name))]
