"""Whether somebody has set the wall clock. What is on disk is in epoch seconds; what passes is told by a steady clock.

A host that was suspended looks as if its clock had been set forward: its containers did not run meanwhile either.
"""

from collections.abc import Callable

SET_SECONDS = 0.5
"""The two clocks part by less than this by themselves (assumed: corrections of the rate move both)."""


class WallClock:
    """`wall` tells epoch seconds, `steady` seconds since any moment."""

    def __init__(self, wall: Callable[[], float], steady: Callable[[], float]) -> None:
        self._wall = wall
        self._steady = steady
        self._apart = wall() - steady()

    def set_by(self) -> float:
        """By how many seconds it was set since this was last asked; 0 where it was not."""
        apart = self._wall() - self._steady()
        moved = apart - self._apart
        if abs(moved) < SET_SECONDS:
            return 0.0
        self._apart = apart
        return moved
