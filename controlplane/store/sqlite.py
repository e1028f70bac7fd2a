"""The store on disk: one SQLite file, one writer, one process.

Group commit: what arrives while a transaction is being written shares the next one. A plan is checked against the
state and against those before it in its batch, is written with synchronous=FULL, and only then becomes visible.
"""

import asyncio
import contextlib
import fcntl
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import msgspec

from controlplane.core.batch import Batch
from controlplane.core.plan import Conflict, Plan
from controlplane.core.state import State
from controlplane.store import stroke
from controlplane.store.feed import Feed
from controlplane.store.port import (
    EVENTS_KEPT,
    STORY_LINES_KEPT,
    WATCH_COMMITS_MAX,
    Commit,
    Emit,
    EventPage,
    Render,
    StoreBusy,
    StoreClosed,
    StoreForeign,
    Waiter,
    Watch,
    as_kept,
    no_events,
)
from controlplane.store.rows import TARGETS, Changes, Rows
from controlplane.store.tape import Strip, Tape
from wire.story import StoryLine

T = TypeVar("T")

BATCH_PLANS_MAX = 100
BATCH_RECORDS_MAX = 500
"""Plans in one transaction, and records from which on it takes no further plan. Those of the one before decide while
it is written: with more at once all would wait."""
QUIET_TURNS = 2
"""Turns of the loop without a further plan before a transaction begins: in one a call is read, in the next decided. Who
comes a moment too late would wait for that transaction, and then have one of his own: two where one does."""
WAITING_PLANS_MAX = 10_000
"""Plans that wait for the writer; who comes then waits for a place."""
FORMAT = 3
"""Of the file, as its `user_version` says."""
FORMATS_READ = frozenset({2, FORMAT})
"""In 2 every event was kept rendered."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS newest (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER, line INTEGER);
INSERT OR IGNORE INTO newest VALUES (1, 0, 0);
"""
_NEWEST = "UPDATE newest SET revision = NEW.a, line = NEW.b"


class _Waiting(msgspec.Struct):
    plan: Plan
    events: list[Any]
    """What is kept of them, known once it is accepted."""
    done: Waiter[int]
    is_tale: bool = False
    """Story lines alone: the answer is the newest line, not a revision."""


class _Transaction(NamedTuple):
    """All that the writer's thread needs for one: it touches no record."""

    values: list[Any]
    """For a stroke."""
    changes: Changes
    strips: list[tuple[Tape[Any], Strip]]


class SqliteStore:
    """A `Store` (see `port`). Construct it anywhere (it loads the file, blocking); use it from one event loop."""

    def __init__(
        self,
        path: Path,
        *,
        story_lines_kept: int = STORY_LINES_KEPT,
        watch_commits_max: int = WATCH_COMMITS_MAX,
        events_kept: int = EVENTS_KEPT,
        emit: Emit = no_events,
        render: Render = as_kept,
    ) -> None:
        """Open or create the file.

        Raises:
            StoreBusy: another process has the file; the message is one sentence.
            StoreForeign: its format is none of ours; the message is one sentence.
        """
        self._state = State()
        self._emit = emit
        self._render = render
        self._feed = Feed(watch_commits_max)
        self._writing = ThreadPoolExecutor(1, "store-writer")
        self._reading = ThreadPoolExecutor(1, "store-reader")
        self._newest_line = 0
        self._waiting: list[_Waiting] = []
        self._places = asyncio.Semaphore(WAITING_PLANS_MAX)
        self._writer: asyncio.Task[None] | None = None
        self._is_hurried = False
        self._is_open = True
        _require_ours(path)
        with contextlib.ExitStack() as so_far:  # a file that cannot be read is nobody's
            self._lock = so_far.enter_context(_locked(path))
            self._database = so_far.enter_context(contextlib.closing(_connected(path)))
            self._reader = so_far.enter_context(contextlib.closing(_connected(path)))
            self._database.execute(f"PRAGMA user_version = {FORMAT}")  # before any table: a file that was begun is ours
            self._rows = Rows(self._database)
            self._load()
            self._story = Tape(self._database, self._reader, "story", StoryLine, story_lines_kept)
            self._events = Tape(self._database, self._reader, "events", msgspec.Raw, events_kept)
            targets = {**TARGETS, **self._story.target, **self._events.target, "newest": _NEWEST}
            stroke.prepare(self._database, targets)
            so_far.pop_all()

    def _load(self) -> None:
        self._database.executescript(_SCHEMA)
        revision, self._newest_line = self._database.execute("SELECT revision, line FROM newest").fetchone()
        self._state.load(self._rows.load(), revision)

    def view(self) -> State:
        return self._state

    async def commit(self, plan: Plan) -> int:
        if not plan:
            self._require_open()
            return self._state.revision
        async with self._places:
            done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            self.offer(plan, done)
            return await done

    def offer(self, plan: Plan, done: Waiter[int]) -> None:
        self._queue(_Waiting(plan, [], done))
        self._hurry()

    async def tell(self, lines: list[StoryLine], *, patience_seconds: float = 0) -> int:
        if not lines:
            self._require_open()
            return self._newest_line
        async with self._places:
            loop = asyncio.get_running_loop()
            done: asyncio.Future[int] = loop.create_future()
            self._queue(_Waiting(Plan(cause="", story=tuple(lines)), [], done, is_tale=True))
            if patience_seconds:
                loop.call_later(patience_seconds, self._hurry_for, done)
            else:
                self._hurry()
            return await done

    def watch(self) -> Watch:
        self._require_open()
        return self._feed.watch()

    async def story(self, after: int, limit: int) -> tuple[list[tuple[int, StoryLine]], int]:
        newest = self._newest_line
        lines, _ = await self._read(self._story.read, after, newest, limit)
        return lines, newest

    async def events(self, after: int, limit: int) -> EventPage:
        return await self._read(self._page_of_events, after, self._state.revision, limit)

    def _page_of_events(self, after: int, newest: int, limit: int) -> EventPage:
        """In the reader's thread."""
        rows, forgotten = self._events.read(after, newest, limit)
        return EventPage([(revision, self._render(bytes(kept))) for revision, kept in rows], forgotten, newest)

    async def _read(self, read: Callable[[int, int, int], T], after: int, newest: int, limit: int) -> T:
        self._require_open()
        from_ = min(after, newest)  # a number may be larger than SQLite's are
        return await asyncio.get_running_loop().run_in_executor(self._reading, read, from_, newest, limit)

    async def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self._hurry()
        if self._writer is not None:
            await asyncio.wait([self._writer])
        self._feed.close()
        self._writing.shutdown()
        self._reading.shutdown()
        self._reader.close()
        self._database.close()
        self._lock.close()

    def _require_open(self) -> None:
        if not self._is_open:
            raise StoreClosed("The store is closed.")

    def _queue(self, one: _Waiting) -> None:
        if self._is_open:
            self._waiting.append(one)
        else:
            one.done.set_exception(StoreClosed("The store is closed."))

    def _hurry(self) -> None:
        """Whatever waits now is to be written."""
        self._is_hurried = bool(self._waiting)
        if self._is_hurried and (self._writer is None or self._writer.done()):
            self._writer = asyncio.create_task(self._write())

    def _hurry_for(self, done: "asyncio.Future[int]") -> None:
        """Unless it went along with another meanwhile."""
        if not done.done():
            self._hurry()

    async def _write(self) -> None:
        """Write batch after batch until nobody waits, or who waits has patience."""
        while self._is_hurried:
            await self._gather()
            batch = self._next_batch()
            self._is_hurried = bool(self._waiting)
            accepted, refused = self._check(batch)
            if accepted:
                await self._make_true(accepted)
            # Not sooner: whoever decides anew at once must find the view that he was refused for.
            for one, refusal in refused:
                _refuse(one, refusal)

    async def _gather(self) -> None:
        """Let those come along whose plans are being made just now; a full batch waits for nobody."""
        quiet_turns = 0
        while quiet_turns < QUIET_TURNS and len(self._waiting) < BATCH_PLANS_MAX:
            before = len(self._waiting)
            await asyncio.sleep(0)
            quiet_turns = quiet_turns + 1 if len(self._waiting) == before else 0

    def _next_batch(self) -> list[_Waiting]:
        count = records = 0
        for one in islice(self._waiting, BATCH_PLANS_MAX):
            count += 1
            records += len(one.plan.puts)
            if records >= BATCH_RECORDS_MAX:
                break
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    async def _make_true(self, accepted: list[_Waiting]) -> None:
        try:
            transaction = self._compose(accepted)
            await asyncio.get_running_loop().run_in_executor(self._writing, self._transact, transaction)
        except Exception as error:  # noqa: BLE001 - a full disk, a broken file: whoever waits is told
            for one in accepted:
                _refuse(one, error)
        else:
            self._written(transaction)
            self._show(accepted)

    def _check(self, waiting: list[_Waiting]) -> tuple[list[_Waiting], list[tuple[_Waiting, BaseException]]]:
        batch = Batch(self._state)
        accepted: list[_Waiting] = []
        refused: list[tuple[_Waiting, BaseException]] = []
        for one in waiting:
            try:
                batch.accept(one.plan)
                one.events = [] if one.plan.is_tale else self._emit(one.plan, self._state, batch)
            except Conflict as refusal:
                refused.append((one, refusal))
            except Exception as mistake:  # noqa: BLE001 - one of ours: an error to its caller, to nobody else
                refused.append((one, mistake))
                batch = self._batch_of(accepted)  # its plan may have been taken in already
            else:
                accepted.append(one)
        return accepted, refused

    def _batch_of(self, accepted: list[_Waiting]) -> Batch:
        batch = Batch(self._state)
        for one in accepted:
            batch.accept(one.plan)
        return batch

    def _compose(self, accepted: list[_Waiting]) -> _Transaction:
        """On the loop, which has just made all this: the writer's thread would fetch it from another core's caches."""
        revision = self._state.revision
        plans: list[tuple[Plan, int]] = []
        events: list[tuple[int, Any]] = []
        for one in accepted:
            revision += not one.plan.is_tale
            plans.append((one.plan, revision))
            events += [(revision, event) for event in one.events]
        story = chain.from_iterable(plan.story for plan, _ in plans)
        lines = list(enumerate(story, start=self._newest_line + 1))
        changes = self._rows.changes(plans)
        strips: list[tuple[Tape[Any], Strip]] = [
            (self._story, self._story.strip(lines)),
            (self._events, self._events.strip(events)),
        ]
        said = [value for _, strip in strips for value in strip.values]
        newest = ("newest", revision, self._newest_line + len(lines), None, None)
        return _Transaction([*changes.values, *said, *newest], changes, strips)

    def _transact(self, what: _Transaction) -> None:
        """In the writer's thread."""
        long = [(tape, strip) for tape, strip in what.strips if tape.is_long(strip)]
        if not long and stroke.is_one(what.values):
            stroke.draw(self._database, what.values)
            return
        with self._transaction() as database:
            stroke.draw(database, what.values)
            for tape, strip in long:
                tape.trim(strip)

    def _written(self, what: _Transaction) -> None:
        self._rows.written(what.changes)
        for tape, strip in what.strips:
            tape.appended(strip)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def _show(self, accepted: list[_Waiting]) -> None:
        """They are durable: let them be seen, then tell those who wait and those who watch."""
        state, commits = self._state, []
        for one in accepted:
            plan, changed = one.plan, one.plan.changed
            if changed:
                state.apply(plan, state.revision + 1)
            self._newest_line += len(plan.story)
            if not one.done.done():  # else the caller has gone
                one.done.set_result(self._newest_line if one.is_tale else state.revision)
            commits.append(Commit(state.revision, plan.cause, changed, plan.story, self._newest_line))
        self._feed.publish(commits)


def _refuse(one: _Waiting, why: BaseException) -> None:
    if not one.done.done():
        one.done.set_exception(why)


def _require_ours(path: Path) -> None:
    """Let a new file pass, and one of our format."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        (format_,) = database.execute("PRAGMA user_version").fetchone()
        if format_ not in FORMATS_READ and database.execute("SELECT 1 FROM sqlite_schema").fetchone():
            raise StoreForeign(f"{path} is a file of another version of berth; choose another folder.")


def _locked(path: Path) -> IO[str]:
    lock = path.with_name(path.name + ".lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise StoreBusy(f"{path} is in use by another control plane; stop that one or choose another folder.") from None
    return lock


def _connected(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=2 * stroke.ROWS)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("PRAGMA temp_store=MEMORY")  # the rows of a stroke, on their way
    return database
