"""Credentials of task roles, in memory only, by the id under which a container asks for them.

The control plane sends them with a task and again before they expire; after a restart of the agent it sends all anew.
Source: amazon-ecs-agent `ecs-agent/credentials/manager.go`, `acs/session/refresh_credentials_responder.go`.
"""

from collections.abc import Collection

import msgspec

from wire.acs_shapes import IAMRoleCredentials

CREDENTIALS_MAX = 4000
"""Sets kept at once: two a task. Those of tasks that are gone make room first."""
APPLICATION, EXECUTION = "TaskApplication", "TaskExecution"


class RoleCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """Temporary credentials of one role of one task."""

    task: str
    """ARN of the task."""
    role_type: str
    """TaskApplication or TaskExecution."""
    credentials_id: str
    role_arn: str
    access_key_id: str
    secret_access_key: str
    session_token: str
    expiration: str
    """ISO 8601, as it was sent."""


class CredentialStore:
    """The newest credentials of each id."""

    def __init__(self) -> None:
        self._by_id: dict[str, RoleCredentials] = {}

    def get(self, credentials_id: str) -> RoleCredentials | None:
        """The newest of this id; None where there are none (yet)."""
        return self._by_id.get(credentials_id)

    def of_task(self, task: str, role_type: str = APPLICATION) -> RoleCredentials | None:
        """A task's, by its ARN."""
        found = (kept for kept in self._by_id.values() if kept.task == task and kept.role_type == role_type)
        return next(found, None)

    def put(self, sent: IAMRoleCredentials, *, task: str, role_type: str, tasks: Collection[str]) -> bool:
        """Keep credentials; whether they can be kept. `tasks` are the ARNs that the engine knows."""
        if not sent.credentials_id or role_type not in (APPLICATION, EXECUTION):
            return False
        if sent.credentials_id not in self._by_id and len(self._by_id) >= CREDENTIALS_MAX:
            self._by_id = {known: kept for known, kept in self._by_id.items() if kept.task in tasks}
            if len(self._by_id) >= CREDENTIALS_MAX:
                return False
        self._by_id[sent.credentials_id] = RoleCredentials(
            task=task,
            role_type=role_type,
            credentials_id=sent.credentials_id,
            role_arn=sent.role_arn,
            access_key_id=sent.access_key_id,
            secret_access_key=sent.secret_access_key,
            session_token=sent.session_token,
            expiration=sent.expiration,
        )
        return True
