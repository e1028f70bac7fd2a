"""The agents' half of a cluster's policy, on its way to one agent of ours. Amazon's own agent is never told.

It is told with every contact and with every change; the agent keeps it on disk and acknowledges. What its releases then
mean is noted with the instance.
"""

from collections.abc import Callable

import msgspec

from controlplane.core.model import Instance, Release
from controlplane.core.policy import AgentPolicy
from controlplane.core.view import Draft, View
from wire.acs_session_shapes import BerthPolicyMessage
from wire.extensions import RELEASE_ATTRIBUTE


class PolicyNews:
    """What one session has told its agent."""

    def __init__(self) -> None:
        self._told: AgentPolicy | None = None
        self._message_id = ""

    def message(self, view: View, instance: Instance, new_id: Callable[[], str]) -> BerthPolicyMessage | None:
        """What the agent must be told now, if anything; it counts as told."""
        cluster = view.cluster(instance.cluster)
        policy = cluster.agent_policy if cluster is not None else None
        if cluster is None or policy in (None, self._told) or instance.release is Release.NONE:
            return None
        assert policy is not None
        self._told, self._message_id = policy, new_id()
        return BerthPolicyMessage(
            message_id=self._message_id,
            cluster_arn=cluster.arn,
            container_instance_arn=instance.arn,
            resource_release=policy.release,
            task_queue=policy.task_queue,
            stop_give_up=policy.stop_give_up,
        )

    def is_answered_by(self, message_id: str) -> bool:
        """Whether the acknowledgement of `message_id` is the one that is waited for."""
        return bool(self._message_id) and message_id == self._message_id

    def note(self, draft: Draft, arn: str) -> None:
        """The agent of the instance (ARN) goes by what it was told."""
        instance = draft.instance(arn)
        if instance is None or self._told is None or instance.release == self._told.release:
            return
        rest = tuple(each for each in instance.attributes if each["name"] != RELEASE_ATTRIBUTE)
        changed = msgspec.structs.replace(
            instance,
            release=Release(self._told.release),
            attributes=(*rest, {"name": RELEASE_ATTRIBUTE, "value": self._told.release}),
            version=instance.version + 1,
        )
        draft.put(changed)
