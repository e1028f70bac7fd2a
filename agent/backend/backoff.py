"""Waits between tries, as Amazon's agent computes them (`ecs-agent/utils/retry`): jitter is only ever added."""

import random


class Backoff:
    """Exponential: `least`, x `factor` each time, at most `most`; plus up to `jitter` of it."""

    def __init__(self, least: float, most: float, factor: float, jitter: float = 0.2) -> None:
        """All in seconds but the factors."""
        self._least = least
        self._most = most
        self._factor = factor
        self._jitter = jitter
        self._next = least

    def wait_seconds(self) -> float:
        """The next wait."""
        wait = self._next
        self._next = min(self._next * self._factor, self._most)
        return wait * (1 + self._jitter * random.random())  # noqa: S311 - not for secrets

    def reset(self) -> None:
        """Begin again at the least wait."""
        self._next = self._least
