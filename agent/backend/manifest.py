"""The manifest of an instance's tasks, and what runs here besides. Nothing is stopped before the control plane says so.

Source: amazon-ecs-agent `ecs-agent/acs/session/task_manifest_responder.go`, `task_stop_verification_ack_responder.go`.
"""

import asyncio
import logging

import msgspec

from agent.backend.desk import Desk, encode
from agent.core.events import Desired
from agent.core.ladder import Known
from wire.acs_session_shapes import (
    ManifestTask,
    TaskManifestMessage,
    TaskStopVerificationAck,
    TaskStopVerificationMessage,
)
from wire.acs_shapes import AckRequest
from wire.envelope import Frame
from wire.status import DesiredStatus

log = logging.getLogger(__name__)


async def manifest(frame: Frame, desk: Desk) -> list[str]:
    """TaskManifestMessage: an old one is dropped without a word; a new one is acknowledged, and compared."""
    message = msgspec.json.decode(frame.message, type=TaskManifestMessage)
    if not (message.message_id and message.cluster_arn and message.container_instance_arn):
        log.warning("A manifest without messageId, clusterArn or containerInstanceArn was passed over.")
        return []
    if not desk.timeline.advance(message.timeline):
        log.info("An old manifest (timeline %d) was passed over.", message.timeline)
        return []
    desk.manifest_id = message.message_id
    answers = [
        encode(
            AckRequest(
                cluster=message.cluster_arn,
                container_instance=message.container_instance_arn,
                message_id=message.message_id,
            )
        )
    ]
    listed = {task.task_arn for task in message.tasks if task.desired_status == DesiredStatus.RUNNING}
    candidates = [
        ManifestTask(
            task_arn=state.spec.arn, task_cluster_arn=message.cluster_arn, desired_status=str(DesiredStatus.STOPPED)
        )
        for state in desk.tasks()
        if state.desired is DesiredStatus.RUNNING and state.known is not Known.STOPPED and state.spec.arn not in listed
    ]
    if candidates:
        question = TaskStopVerificationMessage(message_id=message.message_id, stop_candidates=candidates)
        answers.append(encode(question))
    return answers


async def verified(frame: Frame, desk: Desk) -> list[str]:
    """TaskStopVerificationAck: stop what it lists. It counts once, and for the newest manifest."""
    message = msgspec.json.decode(frame.message, type=TaskStopVerificationAck)
    if not message.message_id or message.message_id != desk.manifest_id:
        log.warning("A verification that answers no question of ours was passed over.")
        return []
    desk.manifest_id = ""
    known = {state.spec.arn for state in desk.tasks()}
    stops = [
        Desired(task=task.task_arn, cause=message.message_id, desired=DesiredStatus.STOPPED)
        for task in message.stop_tasks
        if task.task_arn in known and task.desired_status == DesiredStatus.STOPPED
    ]
    await asyncio.gather(*(desk.submit(stop) for stop in stops))
    return []
