"""The manifest: every task that an instance should have, and which of those that it has besides are to stop.

It finds what payloads cannot: a task that runs on a host and that the control plane has given up, forgotten, or never
knew. Pure translation of the view. Source: amazon-ecs-agent `ecs-agent/acs/session/task_manifest_responder.go`.
"""

from collections.abc import Iterable

from controlplane.core.assignment import assignments
from controlplane.core.view import View
from wire.acs_session_shapes import (
    ManifestTask,
    TaskManifestMessage,
    TaskStopVerificationAck,
    TaskStopVerificationMessage,
)
from wire.arn import parse
from wire.status import DesiredStatus

CANDIDATES_MAX = 10_000
"""So many candidates of one message are looked at."""


def manifest(view: View, instance: str, *, message_id: str, timeline: int, now: float) -> TaskManifestMessage:
    """What the instance (ARN) should have. `now` is epoch seconds."""
    known = view.instance(instance)
    cluster = view.cluster(known.cluster) if known else None
    cluster_arn = cluster.arn if cluster else ""
    return TaskManifestMessage(
        message_id=message_id,
        cluster_arn=cluster_arn,
        container_instance_arn=instance,
        timeline=timeline,
        generated_at=int(now * 1000),
        tasks=[
            ManifestTask(
                task_arn=assignment.task.arn, task_cluster_arn=cluster_arn, desired_status=str(assignment.desired)
            )
            for assignment in assignments(view, instance)
        ],
    )


def verdict(
    view: View, instance: str, question: TaskStopVerificationMessage, *, now: float
) -> TaskStopVerificationAck | None:
    """The candidates that are to stop, as it stands now (a payload may have been on its way); None where none is."""
    wanted = {a.task.arn for a in assignments(view, instance) if a.desired is DesiredStatus.RUNNING}
    doomed = [
        ManifestTask(
            task_arn=candidate.task_arn,
            task_cluster_arn=candidate.task_cluster_arn,
            desired_status=str(DesiredStatus.STOPPED),
        )
        for candidate in _readable(question.stop_candidates)
        if candidate.task_arn not in wanted
    ]
    if not doomed:
        return None
    return TaskStopVerificationAck(message_id=question.message_id, stop_tasks=doomed, generated_at=int(now * 1000))


def _readable(candidates: Iterable[ManifestTask]) -> list[ManifestTask]:
    return [candidate for candidate in candidates if parse(candidate.task_arn)][:CANDIDATES_MAX]
