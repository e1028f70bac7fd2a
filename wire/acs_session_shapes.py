"""The messages of an ACS session beside the payload: the manifest, credentials, updates and their answers.

Source: amazon-ecs-agent `ecs-agent/acs/model/api/api-2.json`, `ecs-agent/acs/session`; recorded traffic.
"""

import msgspec

from wire.acs_shapes import IAMRoleCredentials


class _Shape(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """Amazon's spelling on the wire, ours in the code."""


class ManifestTask(_Shape, frozen=True):
    """A task by its ARN, and what is wanted of it."""

    task_arn: str
    task_cluster_arn: str = ""
    desired_status: str = ""


class TaskManifestMessage(_Shape, frozen=True):
    """Every task that the instance should have. An agent drops one whose timeline is not above all it has seen."""

    message_id: str
    cluster_arn: str
    container_instance_arn: str
    timeline: int
    """Greater than any `seqNum` of a payload and any timeline before it."""
    tasks: list[ManifestTask] = msgspec.field(default_factory=list)
    generated_at: int = 0
    """Epoch milliseconds."""


class TaskStopVerificationMessage(_Shape, frozen=True):
    """Tasks that the agent runs and that the manifest of this id does not list. An agent's question, as it were."""

    message_id: str
    stop_candidates: list[ManifestTask] = msgspec.field(default_factory=list)


class TaskStopVerificationAck(_Shape, frozen=True):
    """Which of them are to stop. Honoured once, for the newest manifest; never acknowledged."""

    message_id: str
    stop_tasks: list[ManifestTask] = msgspec.field(default_factory=list)
    generated_at: int = 0
    """Epoch milliseconds."""


class IAMRoleCredentialsMessage(_Shape, frozen=True):
    """Newer credentials under the same id."""

    message_id: str = ""
    task_arn: str = ""
    task_cluster_arn: str = ""
    role_type: str = ""
    """TaskApplication or TaskExecution."""
    role_credentials: IAMRoleCredentials | None = None


class IAMRoleCredentialsAckRequest(_Shape, frozen=True):
    """An agent has taken credentials."""

    message_id: str
    expiration: str = ""
    credentials_id: str = ""


class UpdateMessage(_Shape, frozen=True):
    """`StageUpdateMessage` or `PerformUpdateMessage`: a new version of Amazon's agent."""

    message_id: str = ""
    cluster_arn: str = ""
    container_instance_arn: str = ""


class NackRequest(_Shape, frozen=True):
    """An agent will not do what the message of this id asks for."""

    cluster: str
    container_instance: str
    message_id: str
    reason: str = ""


class BerthPolicyMessage(_Shape, frozen=True, omit_defaults=False):
    """Ours, for our agents: what goes from now on for the three variables of the agent that are policy."""

    message_id: str
    cluster_arn: str
    container_instance_arn: str
    resource_release: str
    task_queue: str
    stop_give_up: str
