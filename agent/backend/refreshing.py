"""Credentials that come with a task, and newer ones under the same id. What cannot be kept is not acknowledged.

Source: amazon-ecs-agent `ecs-agent/acs/session/refresh_credentials_responder.go`, `payload_responder.go`.
"""

import logging

import msgspec

from agent.backend.credentials import APPLICATION, EXECUTION
from agent.backend.desk import Desk, encode
from wire.acs_session_shapes import IAMRoleCredentialsAckRequest, IAMRoleCredentialsMessage
from wire.acs_shapes import IAMRoleCredentials
from wire.envelope import Frame

log = logging.getLogger(__name__)


class Credentialed(msgspec.Struct, rename="camel"):
    """What of a payload's task is about credentials."""

    arn: str = ""
    role_credentials: IAMRoleCredentials | None = None
    execution_role_credentials: IAMRoleCredentials | None = None


async def refreshed(frame: Frame, desk: Desk) -> list[str]:
    """IAMRoleCredentialsMessage: of a task that is known here."""
    message = msgspec.json.decode(frame.message, type=IAMRoleCredentialsMessage)
    sent, known = message.role_credentials, {state.spec.arn for state in desk.tasks()}
    if not message.message_id or sent is None or message.task_arn not in known:
        log.warning("Credentials of no task of ours, or without an id, were passed over.")
        return []
    if not desk.credentials.put(sent, task=message.task_arn, role_type=message.role_type, tasks=known):
        log.warning("Credentials of the role type %r cannot be kept.", message.role_type)
        return []
    return [_ack(message.message_id, sent)]


def keep(desk: Desk, message_id: str, task: msgspec.Raw) -> list[str]:
    """Take the credentials of a payload's task in; the acks to send. Before the task itself: it may ask at once."""
    of = msgspec.json.decode(task, type=Credentialed)
    known = {state.spec.arn for state in desk.tasks()} | {of.arn}
    sets = ((APPLICATION, of.role_credentials), (EXECUTION, of.execution_role_credentials))
    return [
        _ack(message_id, sent)
        for role_type, sent in sets
        if sent is not None and desk.credentials.put(sent, task=of.arn, role_type=role_type, tasks=known)
    ]


def _ack(message_id: str, sent: IAMRoleCredentials) -> str:
    return encode(
        IAMRoleCredentialsAckRequest(
            message_id=message_id, expiration=sent.expiration, credentials_id=sent.credentials_id
        )
    )
