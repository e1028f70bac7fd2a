"""What an instance must be told now. Level-driven: the same answer until the world has changed.

Who was told already, and when to say it again, is the session's business; nothing of it is known here.
"""

from collections.abc import Collection

import msgspec

from controlplane.core.model import Task
from controlplane.core.view import View
from wire.status import DesiredStatus, TaskStatus


class Assignment(msgspec.Struct, frozen=True):
    """One task of the instance and what is wanted of it."""

    task: Task
    desired: DesiredStatus


def assignments(view: View, instance: str, only: Collection[str] | None = None) -> tuple[Assignment, ...]:
    """Every task placed on `instance` (ARN) that has not STOPPED, with its desired status: stops first, oldest first.

    `only` looks at these tasks (ARNs) of them. A stop is told even where the start was never acknowledged: the payload
    may have arrived all the same.
    """
    if only is None:
        tasks = view.tasks_on(instance)
    else:
        tasks = [task for task in map(view.task, only) if task is not None and task.instance == instance]
    stops: list[Assignment] = []
    starts: list[Assignment] = []
    for task in tasks:
        if task.last_status is TaskStatus.STOPPED:
            continue
        if task.desired_status is DesiredStatus.STOPPED and not _is_deferred(task):
            stops.append(Assignment(task, DesiredStatus.STOPPED))
        else:
            starts.append(Assignment(task, DesiredStatus.RUNNING))
    return (*stops, *starts)


def _is_deferred(task: Task) -> bool:
    """The stop of a DEACTIVATING task waits for its targets, unless it is forced."""
    return task.last_status is TaskStatus.DEACTIVATING and not task.force
