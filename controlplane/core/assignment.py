"""What an instance must be told now. Level-driven: the same answer until the world has changed.

Who was told already, and when to say it again, is the session's business; nothing of it is known here.
"""

import msgspec

from controlplane.core.model import Task
from controlplane.core.view import View
from wire.status import DesiredStatus, TaskStatus


class Assignment(msgspec.Struct, frozen=True):
    """One task of the instance and what is wanted of it."""

    task: Task
    desired: DesiredStatus


def assignments(view: View, instance: str) -> tuple[Assignment, ...]:
    """Every task placed on `instance` (ARN) that has not STOPPED, with its desired status: stops first, oldest first.

    A stop is told even where the start was never acknowledged: the payload may have arrived all the same.
    """
    told = [
        Assignment(task, task.desired_status)
        for task in view.tasks_on(instance)
        if task.last_status is not TaskStatus.STOPPED
    ]
    return tuple(sorted(told, key=lambda assignment: assignment.desired is not DesiredStatus.STOPPED))
