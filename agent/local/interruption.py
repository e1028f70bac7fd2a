"""The notice that the host is about to be taken away, and what the agent does about it.

Where `ECS_ENABLE_SPOT_INSTANCE_DRAINING` is on, it asks the control plane to set its instance DRAINING, again every
second until that is done. It stops no task itself: which tasks go, and when, is the control plane's business.

Source: amazon-ecs-agent `agent/app/agent.go` (spotInstanceDrainingPoller, every second); EC2 User Guide, "Spot Instance
interruption notices" (`instance-action`: two minutes before; actions hibernate, stop, terminate).
"""

import asyncio
import logging
from typing import Literal

import msgspec

from agent.backend.ecsclient import BackendUnreachableError, EcsClient
from agent.local.shapes import instant
from wire.errors import AwsError
from wire.status import InstanceStatus

log = logging.getLogger(__name__)

NOTICE_SECONDS = 120
RETRY_SECONDS = 1.0


class Notice(msgspec.Struct, frozen=True):
    """EC2's shape of it."""

    action: Literal["hibernate", "stop", "terminate"] = "terminate"
    time: str = ""
    """RFC 3339; empty: two minutes from now."""


class Interruption:
    """Waits for the notice; the first one counts."""

    def __init__(self, *, is_draining: bool) -> None:
        """`is_draining`: ECS_ENABLE_SPOT_INSTANCE_DRAINING."""
        self._is_draining = is_draining
        self._given = asyncio.Event()
        self.notice: Notice | None = None

    def give(self, notice: Notice, now: float) -> Notice:
        """The notice that stands: this one, or an earlier one."""
        if self.notice is None:
            time = notice.time or instant(round(now) + NOTICE_SECONDS) or ""
            self.notice = Notice(notice.action, time)
            log.warning("This host will be taken away at %s (%s).", self.notice.time, self.notice.action)
            self._given.set()
        return self.notice

    async def run(self, client: EcsClient, cluster: str, instance: str) -> None:
        """Wait, and drain where that is on; returns when there is nothing more to do."""
        await self._given.wait()
        if self._is_draining:
            await set_draining(client, cluster, instance)
        else:
            log.warning("ECS_ENABLE_SPOT_INSTANCE_DRAINING is off: the tasks of this host stay where they are.")


async def set_draining(client: EcsClient, cluster: str, instance: str) -> None:
    """Set the instance DRAINING, as often as it takes."""
    request = {"cluster": cluster, "containerInstances": [instance], "status": str(InstanceStatus.DRAINING)}
    while True:
        try:
            answer = await client.call("UpdateContainerInstancesState", request)
            if not answer.get("failures"):
                log.info("The instance is DRAINING.")
                return
            log.warning("The instance is not DRAINING yet: %s", answer["failures"])
        except (AwsError, BackendUnreachableError) as error:
            log.warning("The instance is not DRAINING yet: %s", error)
        await asyncio.sleep(RETRY_SECONDS)
