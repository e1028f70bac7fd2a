"""How the agent leaves: at once and with its containers running, or after its host has been emptied.

SIGTERM and SIGINT: at once, as Amazon's agent; where it was started with `--drain`, it empties the host first. SIGUSR1:
empty the host, then leave, however it was started. A second signal: at once. While it empties the host the agent
works as ever: it is the control plane that moves the tasks away. Ours; Amazon's agent has no such thing.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from enum import Enum
from typing import Any

import msgspec

from agent.core.ladder import Known
from agent.core.state import TaskState

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
LIMIT_SECONDS = 3600.0


class Way(Enum):
    """How to leave."""

    AT_ONCE = "at once"
    EMPTIED = "emptied"


class Leaving(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says about it."""

    on_term: Way = Way.AT_ONCE
    limit_seconds: float = LIMIT_SECONDS
    """Longest wait for the last task; then the agent leaves, and what is left runs on."""


class Departure:
    """Knows when to begin to leave, and how."""

    def __init__(self, leaving: Leaving) -> None:
        self._leaving = leaving
        self._draining = asyncio.Event()
        self._now = asyncio.Event()
        self._can_drain = False

    def listen(self) -> None:
        """Take the signals."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ask, self._leaving.on_term)
        loop.add_signal_handler(signal.SIGUSR1, self.ask, Way.EMPTIED)

    def ask(self, way: Way) -> None:
        """A signal came. An agent that is not at work yet has nothing to empty."""
        if way is Way.AT_ONCE or self._draining.is_set() or not self._can_drain:
            self._now.set()
        else:
            self._draining.set()

    async def at_once(self) -> None:
        """Return when the agent must leave now."""
        await self._now.wait()

    async def emptied(self, drain: Callable[[], Awaitable[None]], tasks: Callable[[], Iterable[TaskState]]) -> None:
        """Return when the agent may leave because its host is empty, or will not be in time.

        `drain` sets the instance DRAINING; `tasks` tells the engine's.
        """
        self._can_drain = True
        await self._draining.wait()
        log.info("The host is emptied before the agent leaves; it waits at most %g s.", self._leaving.limit_seconds)
        try:
            async with asyncio.timeout(self._leaving.limit_seconds):
                await drain()
                while left := _left(tasks()):
                    log.debug("%d tasks are left.", left)
                    await asyncio.sleep(LOOK_SECONDS)
            log.info("The host is empty.")
        except TimeoutError:
            log.warning("%d tasks are left after %g s; they run on.", _left(tasks()), self._leaving.limit_seconds)


async def first(*ways: Coroutine[Any, Any, None]) -> None:
    """Return with the first of these that returns; the others are cancelled."""
    waiting = [asyncio.ensure_future(way) for way in ways]
    try:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for way in done:
            way.result()
    finally:
        for way in waiting:
            way.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def _left(tasks: Iterable[TaskState]) -> int:
    """Tasks that have not stopped, or whose end the control plane has not heard of."""
    return sum(1 for task in tasks if task.known is not Known.STOPPED or task.outbox)
