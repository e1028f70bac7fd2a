"""Credentials of task roles, on their way to one instance: with the task, when its agent asks, and before they expire.

No value is kept here, nor told, nor logged: only until when the newest set lasts that went out, and whether it came.
Source: amazon-ecs-agent `ecs-agent/acs/session/refresh_credentials_responder.go`; ECS Developer Guide, "Task IAM role".
"""

import math
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from controlplane.api.role_keys import Claims, Mint
from controlplane.core.lifecycle import task_role
from controlplane.core.model import Task, TaskDefinition
from wire.acs_session_shapes import IAMRoleCredentialsAckRequest, IAMRoleCredentialsMessage
from wire.acs_shapes import IAMRoleCredentials

LIFETIME_SECONDS = 6 * 3600
"""Source: ECS Developer Guide, "Task IAM role": credentials of six hours."""
REFRESH_SECONDS = 3600
"""Newer ones go out so long before the end. The SDKs ask for newer ones 15 minutes before it."""
AGAIN_SECONDS = 60
"""What is not acknowledged for so long is sent again."""
MESSAGES_MAX = 100
"""Messages of one look; the rest goes with the next."""
ROLE_TYPE = "TaskApplication"


class _Sent(msgspec.Struct):
    """`at` and `expires` are epoch seconds."""

    credentials_id: str
    expiration: str
    at: float
    expires: float
    has_come: bool = False


class Roles:
    """What one instance has of its tasks' credentials. It outlives the sessions of the instance."""

    def __init__(self, mint: Mint) -> None:
        self._mint = mint
        self._sent: dict[str, _Sent] = {}

    def forget(self) -> None:
        """The agent has none any more: it says so when it connects (`sendCredentials`)."""
        self._sent.clear()

    def of(self, task: Task, definition: TaskDefinition, now: float) -> IAMRoleCredentials | None:
        """Fresh credentials of the task's role, about to be sent; None for a task without one."""
        role = task_role(definition.body, task.body.get("overrides", {})) if task.credentials_id else ""
        if not role:
            return None
        expires = math.floor(now) + LIFETIME_SECONDS
        minted = self._mint.make(Claims(task=task.arn, role=role, expires=expires))
        expiration = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._sent[task.arn] = _Sent(task.credentials_id, expiration, now, expires)
        return IAMRoleCredentials(
            credentials_id=task.credentials_id,
            role_arn=role,
            access_key_id=minted.access_key_id,
            secret_access_key=minted.secret_access_key,
            session_token=minted.session_token,
            expiration=expiration,
        )

    def come(self, ack: IAMRoleCredentialsAckRequest) -> None:
        """The agent has a set. Older acks say nothing about the newest."""
        for sent in self._sent.values():
            if (sent.credentials_id, sent.expiration) == (ack.credentials_id, ack.expiration):
                sent.has_come = True

    def due(self, tasks: Iterable[Task], now: float) -> list[Task]:
        """Those of the instance's tasks whose credentials it lacks, or will soon; at most `MESSAGES_MAX`."""
        with_role = {task.arn: task for task in tasks if task.credentials_id}
        self._sent = {arn: sent for arn, sent in self._sent.items() if arn in with_role}
        return [task for task in with_role.values() if self._is_due(task.arn, now)][:MESSAGES_MAX]

    def _is_due(self, arn: str, now: float) -> bool:
        sent = self._sent.get(arn)
        if sent is None:
            return True
        return sent.expires - now < REFRESH_SECONDS if sent.has_come else now - sent.at >= AGAIN_SECONDS

    def message(
        self, task: Task, definition: TaskDefinition, message_id: str, now: float
    ) -> IAMRoleCredentialsMessage | None:
        """Newer credentials for a task that the instance has."""
        credentials = self.of(task, definition, now)
        if credentials is None:
            return None
        return IAMRoleCredentialsMessage(
            message_id=message_id,
            task_arn=task.arn,
            role_type=ROLE_TYPE,
            role_credentials=credentials,
        )
