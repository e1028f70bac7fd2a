"""The scaler's clock: it may run faster than the wall's (`--time-scale`), so that a demonstration takes no hour.

What is measured on it are the scaler's periods: metric, alarms, warm-up, boot, hooks, PROVISIONING, the ceiling of
draining. Never a grace, a job or a notice: those are the containers' own.
"""

from typing import NamedTuple


class Pace(NamedTuple):
    """`scale` seconds on the scaler's clock are one on the wall."""

    scale: float = 1.0

    def wall(self, seconds: float) -> float:
        """How long a period of the scaler takes on the wall."""
        return seconds / self.scale

    def scaler(self, seconds: float) -> float:
        """How long it has been on the scaler's clock."""
        return seconds * self.scale
