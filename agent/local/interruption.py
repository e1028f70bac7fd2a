"""The notice that the host is about to be taken away, what the agent does about it, and the end of the notice.

Where `ECS_ENABLE_SPOT_INSTANCE_DRAINING` is on, it asks the control plane to set its instance DRAINING, again every
second until that is done. It stops no task itself: which tasks go, and when, is the control plane's business. At the
end of the notice the machine goes, as on EC2: every container is killed, nobody is told of single exits, and the last
word is EC2's to ECS, that the instance is no more. The notice is on disk: an agent that is killed keeps it.

Source: amazon-ecs-agent `agent/app/agent.go` (spotInstanceDrainingPoller, every second); EC2 User Guide, "Spot Instance
interruption notices" (`instance-action`: two minutes before; actions hibernate, stop, terminate). The end: decision 21.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from agent.backend.ecsclient import BackendUnreachableError, EcsClient, is_transient
from agent.local.shapes import instant
from agent.runtime.port import Runtime, RuntimeCallError
from wire.errors import AwsError
from wire.extensions import SUBMIT_INSTANCE_INTERRUPTION, InstanceInterruption
from wire.status import InstanceStatus

log = logging.getLogger(__name__)

NOTICE_SECONDS = 120
RETRY_SECONDS = 1.0
LOOK_SECONDS = 1.0
"""So often the wall clock is looked at: it may be set."""
_FACT = "interruption"


class Facts(Protocol):
    """What outlives the agent."""

    def fact(self, name: str) -> str | None:
        """A fact; None where it is not known."""

    def note(self, name: str, value: str) -> None:
        """Keep one."""


class Notice(msgspec.Struct, frozen=True):
    """EC2's shape of it."""

    action: Literal["hibernate", "stop", "terminate"] = "terminate"
    time: str = ""
    """RFC 3339; empty: two minutes from now."""

    @property
    def at(self) -> float:
        """Epoch seconds of `time`. Raises ValueError where it is no time with a zone."""
        at = datetime.fromisoformat(self.time)
        if at.tzinfo is None:
            raise ValueError(f"{self.time!r} names no time zone")
        return at.timestamp()


class Interruption:
    """Waits for the notice, and for its end; the first one counts."""

    def __init__(self, facts: Facts, *, is_draining: bool) -> None:
        """`is_draining`: ECS_ENABLE_SPOT_INSTANCE_DRAINING."""
        self._facts = facts
        self._is_draining = is_draining
        self._given = asyncio.Event()
        kept = facts.fact(_FACT)
        self.notice = msgspec.json.decode(kept, type=Notice) if kept else None
        if self.notice is not None:
            self._given.set()

    def give(self, notice: Notice, now: float) -> Notice:
        """The notice that stands: this one, or an earlier one.

        Raises:
            ValueError: its time is none.
        """
        if self.notice is None:
            stands = Notice(notice.action, notice.time or instant(round(now) + NOTICE_SECONDS) or "")
            log.warning("This host will be taken away in %.0f s (%s).", stands.at - now, stands.action)
            self._facts.note(_FACT, msgspec.json.encode(stands).decode())
            self.notice = stands
            self._given.set()
        return self.notice

    async def run(self, client: EcsClient, cluster: str, instance: str) -> None:
        """Wait, and drain where that is on; returns when there is nothing more to do."""
        await self._given.wait()
        if self._is_draining:
            await set_draining(client, cluster, instance)
        else:
            log.warning("ECS_ENABLE_SPOT_INSTANCE_DRAINING is off: the tasks of this host stay where they are.")

    async def over(self, clock: Callable[[], float]) -> None:
        """Return when the time of the notice has come. `clock` tells epoch seconds."""
        await self._given.wait()
        assert self.notice is not None
        while True:
            left = self.notice.at - clock()
            if left <= 0:
                return
            await asyncio.sleep(min(left, LOOK_SECONDS))

    def has_ended(self, now: float) -> bool:
        """Whether the time of a notice has come."""
        return self.notice is not None and self.notice.at <= now

    async def take_away(self, runtime: Runtime, client: EcsClient, cluster: str, instance: str) -> None:
        """Be the machine that goes: containers first, then word of it, as often as it takes. Nothing else works now."""
        assert self.notice is not None
        action = self.notice.action
        log.warning("The time of the notice has come: this host goes (%s).", action)
        await _cut_power(runtime, removes=action == "terminate")
        gone = InstanceInterruption(cluster, instance, action)
        while True:
            try:
                await client.call(SUBMIT_INSTANCE_INTERRUPTION, msgspec.to_builtins(gone))
                break
            except (AwsError, BackendUnreachableError) as error:
                log.warning("The control plane has not heard that this host is gone: %s", error)
                if isinstance(error, AwsError) and not is_transient(error):
                    break
            await asyncio.sleep(RETRY_SECONDS)
        self._facts.note(_FACT, "")
        self.notice = None


async def _cut_power(runtime: Runtime, *, removes: bool) -> None:
    """No process of a task is left, and where the disk goes too, no container."""
    while True:
        try:
            rows = [row for row in await runtime.containers() if row.is_running or removes]
            for row in rows:
                await (runtime.remove(row.docker_id, force=True) if removes else _kill(runtime, row.docker_id))
            if not rows:
                return
        except RuntimeCallError as error:
            log.warning("A container is still there: %s", error)
            await asyncio.sleep(RETRY_SECONDS)


async def _kill(runtime: Runtime, docker_id: str) -> None:
    try:
        await runtime.signal(docker_id, "SIGKILL")
    except RuntimeCallError as error:
        log.info("%s was not killed: %s", docker_id[:12], error)
    await asyncio.sleep(0.05)  # Docker's list follows later


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
