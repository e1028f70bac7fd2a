"""The store port: a view, a commit by compare and set, a watch. Nothing is visible before it is durable."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from controlplane.core.batch import Batch
from controlplane.core.plan import Key, Plan
from controlplane.core.state import State
from wire.story import StoryLine

T_contra = TypeVar("T_contra", contravariant=True)

STORY_LINES_KEPT = 200_000
"""The newest lines that a store keeps; older ones are dropped."""
WATCH_COMMITS_MAX = 10_000
"""How many commits a watcher may lag behind before it is ended."""


EVENTS_KEPT = 20_000
"""The newest events that a store keeps, but for the last commit's, which are kept whole."""

Emit = Callable[[Plan, State, Batch], list[Any]]
"""What is to be kept of the events of a plan that the batch has just accepted on the state: a JSON object for each, as
`msgspec` encodes it. It becomes durable with the plan."""
Render = Callable[[bytes], bytes]
"""The event, as JSON, of what was kept of it. A reader's thread may call it."""


def no_events(plan: Plan, state: State, batch: Batch) -> list[Any]:
    """Nobody wants events."""
    del plan, state, batch
    return []


def as_kept(kept: bytes) -> bytes:
    """It was kept whole."""
    return kept


class EventPage(NamedTuple):
    """Events in order, each with the revision of its commit: its sequence number. A revision is never cut in two."""

    rows: list[tuple[int, bytes]]
    forgotten: int
    """Events up to this revision are no longer kept; 0 where all are."""
    newest: int
    """Revision up to which there can be no others."""


class StoreBusy(Exception):
    """Another process has the store. The message is one sentence to people."""


class StoreForeign(Exception):
    """What the store keeps was written by another version of this program. The message is one sentence to people."""


class StoreClosed(Exception):
    """The store was closed before, or while, this was asked of it; nothing of it was made durable."""


class Waiter(Protocol[T_contra]):
    """Who waits for an outcome: a future, or whatever is told by the same calls."""

    def done(self) -> bool:
        """Whether it wants no outcome any more."""
        ...

    def set_result(self, result: T_contra, /) -> None:
        """It came about. Raises nothing."""
        ...

    def set_exception(self, error: BaseException, /) -> None:
        """It did not. Raises nothing."""
        ...


class Commit(msgspec.Struct, frozen=True):
    """One committed plan, as watchers see it; or story lines alone, where `changed` is empty."""

    revision: int
    cause: str
    changed: tuple[Key, ...]
    story: tuple[StoryLine, ...]
    newest_line: int = 0
    """Sequence number of the last line of `story`."""


class Watch(Protocol):
    """Commits in order, from the call of `Store.watch` on: `async for commit in watch`, or by `bursts`.

    It ends when the store closes, when `close` is called, or when it lags more than WATCH_COMMITS_MAX behind; whoever
    still wants to know takes a new one and a new view.
    """

    def __aiter__(self) -> "Watch": ...

    async def __anext__(self) -> Commit: ...

    def bursts(self) -> AsyncIterator[Sequence[Commit]]:
        """All that have come, each time, at least one: who wakes once for many does so once for a group commit."""
        ...

    def close(self) -> None:
        """Stop watching."""
        ...


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

    def offer(self, plan: Plan, done: Waiter[int]) -> None:
        """`commit` of a plan that is not empty, for who waits elsewhere: `done` gets the revision or the exception."""
        ...

    def watch(self) -> Watch:
        """Every commit from this call on, in order."""
        ...

    async def story(self, after: int, limit: int) -> tuple[list[tuple[int, StoryLine]], int]:
        """Story lines behind sequence number `after`, oldest first, and the newest number there is."""
        ...

    async def events(self, after: int, limit: int) -> EventPage:
        """Events behind revision `after`: about `limit` of them, at least one revision's."""
        ...

    async def tell(self, lines: list[StoryLine], *, patience_seconds: float = 0) -> int:
        """Append lines that say what happened and change nothing. Returns the newest sequence number.

        With patience they go along with the next commit, or by themselves once so much time has gone by.
        """
        ...

    async def close(self) -> None:
        """Make everything durable and stop."""
        ...
