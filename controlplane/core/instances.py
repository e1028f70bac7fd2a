"""What becomes of an instance: another status or connection, or its end with all that was on it."""

import msgspec

from controlplane.core import lifecycle
from controlplane.core.model import Instance
from controlplane.core.view import Draft
from wire.status import InstanceStatus, StopCode, TaskStatus
from wire.story import Kind


def set_status(draft: Draft, instance: Instance, status: InstanceStatus, *, connected: bool | None = None) -> Instance:
    """The instance with another status or connection; the story tells of it. A no-op where nothing changes."""
    connected = instance.agent_connected if connected is None else connected
    if (instance.status, instance.agent_connected) == (status, connected):
        return instance
    changed = msgspec.structs.replace(
        instance,
        status=status,
        agent_connected=connected,
        version=instance.version + 1,
        ended_at=draft.now if status is InstanceStatus.INACTIVE else None,
        connected_at=draft.now if connected and not instance.agent_connected else instance.connected_at,
    )
    draft.put(changed)
    draft.tell(Kind.INSTANCE_STATUS, instance.arn, status=status, connected=connected)
    return changed


def lose(draft: Draft, instance: Instance, status: InstanceStatus, *, stop_code: StopCode, reason: str) -> Instance:
    """The instance has gone, with all its tasks; `status` is what it has from now on."""
    for task in [task for task in draft.tasks_on(instance.arn) if task.last_status is not TaskStatus.STOPPED]:
        lifecycle.observe_lost(draft, task, stop_code=stop_code, reason=reason)
    return set_status(draft, draft.instance(instance.arn) or instance, status, connected=False)
