"""What an agent does when its control plane has forgotten its instance: clean up what has ended, then register anew.

Tasks that still run stay as they are: the manifest of the next session says what becomes of them.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from agent.core.events import Event, TimerFired
from agent.core.ladder import Known
from agent.core.state import TaskState
from agent.runtime.port import Listed, RuntimeCallError

log = logging.getLogger(__name__)

LOOKS, LOOK_SECONDS = 200, 0.05
"""How often, and how far apart, it is looked whether all has been told and removed."""
CAUSE = "agent.forgotten"


class Books(Protocol):
    """What is needed of the engine."""

    async def submit(self, event: Event) -> None:
        """Give it a fact; returns when everything about it is on disk."""

    def tasks(self) -> list[TaskState]:
        """Every task's state, to read."""


class Lists(Protocol):
    """What is needed of the runtime."""

    async def containers(self) -> list[Listed]:
        """Every container of this agent."""


async def clean_up_ended(engine: Books, runtime: Lists) -> None:
    """Remove the containers of tasks that have ended now, not after the clean-up wait. Returns when they are gone."""
    await _until(lambda: all(not state.outbox for state in _ended(engine)))
    arns = {state.spec.arn for state in _ended(engine) if not state.outbox}
    for arn in arns:
        await engine.submit(TimerFired(task=arn, container="", timer="cleanup", cause=CAUSE))
    for _ in range(LOOKS):
        try:
            if not any(row.task in arns for row in await runtime.containers()):
                return
        except RuntimeCallError as error:
            log.info("The runtime did not list its containers: %s", error)
        await asyncio.sleep(LOOK_SECONDS)
    log.warning("Containers of tasks that have ended are still here; they are left.")


def _ended(engine: Books) -> list[TaskState]:
    return [state for state in engine.tasks() if state.known is Known.STOPPED]


async def _until(holds: Callable[[], bool]) -> None:
    for _ in range(LOOKS):
        if holds():
            return
        await asyncio.sleep(LOOK_SECONDS)
