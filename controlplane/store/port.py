"""The store port: a view, a commit by compare and set, a watch. Nothing is visible before it is durable."""

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from controlplane.core.plan import Key, Plan
from controlplane.core.view import State
from wire.story import StoryLine


class Commit(msgspec.Struct, frozen=True):
    """One committed plan, as watchers see it."""

    revision: int
    cause: str
    changed: tuple[Key, ...]
    story: tuple[StoryLine, ...]


class Store(Protocol):
    """What every engine does. One process writes; plans that arrive together share one disk write (group commit)."""

    def view(self) -> State:
        """The state as of the last durable commit. Use it before the next await, then take a new one."""
        ...

    async def commit(self, plan: Plan) -> int:
        """Verify and make durable, then visible. Returns the revision; an empty plan costs nothing.

        Raises:
            Conflict: the view that the plan was made from is gone; nothing has changed.
        """
        ...

    def watch(self) -> AsyncIterator[Commit]:
        """Every commit from now on, in order. A watcher that falls too far behind is ended, and looks again."""
        ...

    async def story(self, after: int, limit: int) -> tuple[list[tuple[int, StoryLine]], int]:
        """Story lines behind sequence number `after`, oldest first, and the newest number there is."""
        ...

    async def tell(self, lines: list[StoryLine]) -> int:
        """Append lines that an agent reported. Returns the newest sequence number."""
        ...

    async def close(self) -> None:
        """Make everything durable and stop."""
        ...
