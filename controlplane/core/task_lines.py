"""The lines of the story about one task's statuses, as everybody tells them who moves a task."""

from controlplane.core.model import Task
from controlplane.core.view import Draft
from wire.story import Kind


def tell_desired(draft: Draft, task: Task) -> None:
    """Its desired status has changed."""
    draft.tell(
        Kind.TASK_DESIRED,
        task.arn,
        desired=task.desired_status,
        stop_code=task.stop_code,
        reason=task.stopped_reason,
        group=task.group,
        task_definition=task.task_definition,
        instance=task.instance,
    )


def tell_status(draft: Draft, task: Task) -> None:
    """Its last status has changed."""
    draft.tell(
        Kind.TASK_STATUS,
        task.arn,
        last=task.last_status,
        instance=task.instance,
        group=task.group,
        task_definition=task.task_definition,
        exit_codes={c.name: c.exit_code for c in task.containers if c.exit_code is not None},
    )
