"""The newest lines of this agent's story, for people on the host. It is a reader of the story like any other."""

from collections import Counter, deque
from itertools import islice
from typing import Any

from wire.story import Kind, StoryLine

KEPT_MAX = 500
ACTOR = "agent"


class Recent:
    """A window on the story, and a count of its kinds since the agent's start."""

    def __init__(self) -> None:
        self._lines: deque[StoryLine] = deque(maxlen=KEPT_MAX)
        self.counts: Counter[str] = Counter()

    def tell(self, at: float, subject: str, kind: Kind, cause: str, data: dict[str, Any]) -> None:
        """Take a line in."""
        self._lines.append(StoryLine(at, ACTOR, subject, str(kind), cause, data))
        self.counts[str(kind)] += 1

    def newest(self, limit: int) -> list[StoryLine]:
        """At most `limit` lines, oldest first."""
        return list(islice(self._lines, max(0, len(self._lines) - limit), None))
