"""The store in memory: for tests, the simulator and a control plane without a data directory. Nothing survives."""

from collections import deque
from itertools import islice, takewhile
from typing import Any

import msgspec

from controlplane.core.batch import Batch
from controlplane.core.plan import Plan
from controlplane.core.state import State
from controlplane.store.feed import Feed
from controlplane.store.port import (
    EVENTS_KEPT,
    STORY_LINES_KEPT,
    WATCH_COMMITS_MAX,
    Commit,
    Emit,
    EventPage,
    Render,
    StoreClosed,
    Waiter,
    Watch,
    as_kept,
    no_events,
)
from wire.story import StoryLine


class MemoryStore:
    """A `Store` (see `port`). Construct it anywhere; use it from one event loop. A commit never waits."""

    def __init__(
        self,
        *,
        story_lines_kept: int = STORY_LINES_KEPT,
        watch_commits_max: int = WATCH_COMMITS_MAX,
        events_kept: int = EVENTS_KEPT,
        emit: Emit = no_events,
        render: Render = as_kept,
    ) -> None:
        self._emit = emit
        self._render = render
        self._events_kept = events_kept
        self._events: deque[tuple[int, Any]] = deque()
        self._forgotten = 0
        self._state = State()
        self._feed = Feed(watch_commits_max)
        self._lines: deque[StoryLine] = deque(maxlen=story_lines_kept)
        self._newest_line = 0
        self._is_open = True

    def view(self) -> State:
        return self._state

    async def commit(self, plan: Plan) -> int:
        self._require_open()
        return self._commit(plan) if plan else self._state.revision

    def _commit(self, plan: Plan) -> int:
        self._require_open()
        batch = Batch(self._state)
        batch.accept(plan)
        if not plan.is_tale:
            events = self._emit(plan, self._state, batch)
            self._state.apply(plan, self._state.revision + 1)
            self._keep_events(events)
        self._publish(plan)
        return self._state.revision

    def offer(self, plan: Plan, done: Waiter[int]) -> None:
        try:
            done.set_result(self._commit(plan))
        except Exception as refusal:  # noqa: BLE001 - a conflict, or a mistake of ours: to its caller
            done.set_exception(refusal)

    def watch(self) -> Watch:
        self._require_open()
        return self._feed.watch()

    async def story(self, after: int, limit: int) -> tuple[list[tuple[int, StoryLine]], int]:
        self._require_open()
        oldest = self._newest_line - len(self._lines) + 1
        skip = max(0, after + 1 - oldest)
        lines = islice(self._lines, skip, skip + max(0, limit))
        return list(enumerate(lines, start=oldest + skip)), self._newest_line

    async def events(self, after: int, limit: int) -> EventPage:
        self._require_open()
        behind = list(takewhile(lambda row: row[0] > after, reversed(self._events)))[::-1]
        last = behind[min(limit, len(behind)) - 1][0] if behind and limit > 0 else after
        rows = takewhile(lambda row: row[0] <= last, behind)
        events = [(revision, self._render(msgspec.json.encode(kept))) for revision, kept in rows]
        return EventPage(events, self._forgotten, self._state.revision)

    def _keep_events(self, events: list[Any]) -> None:
        revision = self._state.revision
        self._events.extend((revision, event) for event in events)
        while len(self._events) > self._events_kept and self._events[0][0] < revision:
            self._forgotten = self._events[0][0]
            while self._events[0][0] == self._forgotten:
                self._events.popleft()

    async def tell(self, lines: list[StoryLine], *, patience_seconds: float = 0) -> int:
        del patience_seconds  # a commit of its own costs nothing
        self._require_open()
        if lines:
            self._publish(Plan(cause="", story=tuple(lines)))
        return self._newest_line

    async def close(self) -> None:
        self._is_open = False
        self._feed.close()

    def _publish(self, plan: Plan) -> None:
        self._lines.extend(plan.story)
        self._newest_line += len(plan.story)
        self._feed.publish([Commit(self._state.revision, plan.cause, plan.changed, plan.story, self._newest_line)])

    def _require_open(self) -> None:
        if not self._is_open:
            raise StoreClosed("The store is closed.")
