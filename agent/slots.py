"""Start slots: three starts at a time are faster than twenty at a time, and the first is done sooner.

Above a start or two per core dockerd only adds waiting. What it leaves of two cores while containers start is enough
to create the next one: creates have a slot of their own, and one container at most is ahead of the starts. It does not
know what it is that starts.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum

AHEAD_MAX = 1
"""Starts that wait for a slot; with so many, nothing more is created."""


class Turn(IntEnum):
    """What a slot is for; who goes first."""

    START = 0
    CREATE = 1


STARTS_MAX = 3
SLOTS = {Turn.START: STARTS_MAX, Turn.CREATE: 1}


class Slots:
    """Two lines, each served in order of arrival."""

    def __init__(self) -> None:
        self._free = dict(SLOTS)
        self._waiting: dict[Turn, deque[asyncio.Future[None]]] = {turn: deque() for turn in Turn}

    @asynccontextmanager
    async def take(self, turn: Turn) -> AsyncIterator[None]:
        """Hold a slot for the length of the block."""
        await self._acquire(turn)
        try:
            yield
        finally:
            self._free[turn] += 1
            self._serve()

    async def _acquire(self, turn: Turn) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[turn].append(waiter)
        self._serve()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._waiting[turn].remove(waiter)
            else:
                self._free[turn] += 1  # the slot had just been given
            self._serve()
            raise

    def _serve(self) -> None:
        for turn in Turn:
            while self._waiting[turn] and self._may(turn):
                self._free[turn] -= 1
                self._waiting[turn].popleft().set_result(None)

    def _may(self, turn: Turn) -> bool:
        is_ahead = turn is Turn.CREATE and len(self._waiting[Turn.START]) >= AHEAD_MAX
        return self._free[turn] > 0 and not is_ahead
