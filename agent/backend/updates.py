"""Updates of Amazon's agent, which do not concern this one: refused in Amazon's words, as with updates switched off.

Source: amazon-ecs-agent `agent/acs/updater/updater.go` (ECS_UPDATES_ENABLED=false).
"""

import msgspec

from agent.backend.desk import Desk, encode
from wire.acs_session_shapes import NackRequest, UpdateMessage
from wire.envelope import Frame

REASON = "Updates are disabled"


async def refuse(frame: Frame, _desk: Desk) -> list[str]:
    """StageUpdateMessage and PerformUpdateMessage."""
    message = msgspec.json.decode(frame.message, type=UpdateMessage)
    if not message.message_id:
        return []
    return [
        encode(
            NackRequest(
                cluster=message.cluster_arn,
                container_instance=message.container_instance_arn,
                message_id=message.message_id,
                reason=REASON,
            )
        )
    ]
