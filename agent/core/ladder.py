"""The agent's own ladder, finer than what it reports. A subject only climbs.

There is one edge down, and it has a name: `RESTART`. A container that exits and is started again by its restart policy
goes from RUNNING through an exit to RUNNING; nobody is told, so what is known of it stays RUNNING (`restart.py`).

Source: amazon-ecs-agent `ecs-agent/api/{container,task}/status` (NONE, PULLED, CREATED, RUNNING, STOPPED).
"""

from collections.abc import Iterable
from enum import IntEnum


class Known(IntEnum):
    """How far a container, or a task, is known to have come."""

    NONE = 0
    PULLED = 1
    CREATED = 2
    RUNNING = 3
    STOPPED = 4


RESTART = (Known.STOPPED, Known.RUNNING)
"""The edge that a restart policy takes in one step: no report can fall in between."""


def known_of_task(containers: Iterable[tuple[Known, bool]]) -> Known:
    """Status of a task from (known, essential) of its containers.

    The lowest container decides; STOPPED only when every container is. While an essential container has stopped
    and others have not, the task stays where it was (the caller keeps the higher of old and new).
    Source: amazon-ecs-agent `task.go` (updateTaskKnownStatus).
    """
    pairs = list(containers)
    if all(known is Known.STOPPED for known, _ in pairs):
        return Known.STOPPED
    if any(essential and known is Known.STOPPED for known, essential in pairs):
        return Known.NONE
    return min(known for known, _ in pairs)
