"""Log events on disk: one SQLite file, one thread. Every stream has a bound; the oldest events go first.

Logs are for reading, nothing is decided by them: a commit need not wait for the disk (synchronous=NORMAL).
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")

EVENTS_PER_STREAM_MAX = 20_000
BYTES_PER_STREAM_MAX = 16 * 1024 * 1024
STREAMS_MAX = 5_000
"""Over all groups; the stream that was written to longest ago goes first."""
GROUPS_MAX = 1_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS groups (name TEXT PRIMARY KEY, created_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS streams (
    id INTEGER PRIMARY KEY, grp TEXT NOT NULL, name TEXT NOT NULL, created_ms INTEGER NOT NULL,
    ingested_ms INTEGER, token TEXT NOT NULL DEFAULT '', bytes INTEGER NOT NULL DEFAULT 0,
    events INTEGER NOT NULL DEFAULT 0, UNIQUE (grp, name)
);
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    ingested_ms INTEGER NOT NULL, message TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_time ON events (stream, at_ms, id);
"""


class LogEvent(NamedTuple):
    """One line. Times are epoch milliseconds; `id` is unique in the store and grows."""

    stream: str
    id: int
    at_ms: int
    ingested_ms: int
    message: str


class LogStream(NamedTuple):
    """A stream. Times are epoch milliseconds; None where it has no events."""

    name: str
    created_ms: int
    first_ms: int | None
    last_ms: int | None
    ingested_ms: int | None
    token: str
    bytes: int


class Span(NamedTuple):
    """Which events: from `start_ms`, before `end_ms`; behind, or before, the event (at_ms, id) of a token."""

    start_ms: int = 0
    end_ms: int = 1 << 62
    behind: tuple[int, int] | None = None
    before: tuple[int, int] | None = None


class LogStore:
    """Construct it anywhere; use it from one event loop."""

    def __init__(self, path: Path | None) -> None:
        """None keeps it in memory."""
        self._db = sqlite3.connect(str(path or ":memory:"), isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)
        self._thread = ThreadPoolExecutor(1, "logs")

    async def close(self) -> None:
        """Close the file."""
        await self._run(self._db.close)
        self._thread.shutdown()

    async def create_group(self, group: str, now_ms: int) -> bool:
        """Whether it is new."""
        return await self._run(lambda: self._insert("INSERT OR IGNORE INTO groups VALUES (?, ?)", group, now_ms))

    async def create_stream(self, group: str, stream: str, now_ms: int) -> bool:
        """Whether it is new. The group is there."""
        return await self._run(lambda: self._create_stream(group, stream, now_ms))

    async def delete_group(self, group: str) -> None:
        """Remove it with all that is in it."""

        def delete() -> None:
            for (stream,) in self._db.execute("SELECT id FROM streams WHERE grp = ?", (group,)).fetchall():
                self._drop(stream)
            self._db.execute("DELETE FROM groups WHERE name = ?", (group,))

        await self._run(lambda: self._whole(delete))

    async def delete_stream(self, group: str, stream: str) -> None:
        """Remove it with its events."""

        def delete() -> None:
            row = self._db.execute("SELECT id FROM streams WHERE grp = ? AND name = ?", (group, stream)).fetchone()
            if row is not None:
                self._drop(row[0])

        await self._run(lambda: self._whole(delete))

    async def has_group(self, group: str) -> bool:
        """Whether it is there."""
        query = "SELECT 1 FROM groups WHERE name = ?"
        return await self._run(lambda: self._db.execute(query, (group,)).fetchone() is not None)

    async def has_stream(self, group: str, stream: str) -> bool:
        """Whether it is there."""
        query = "SELECT 1 FROM streams WHERE grp = ? AND name = ?"
        return await self._run(lambda: self._db.execute(query, (group, stream)).fetchone() is not None)

    async def groups(self) -> list[tuple[str, int, int]]:
        """(name, created_ms, bytes), by name."""
        query = (
            "SELECT name, created_ms, (SELECT coalesce(sum(bytes), 0) FROM streams WHERE grp = groups.name) "
            "FROM groups ORDER BY name"
        )
        return await self._run(lambda: self._db.execute(query).fetchall())

    async def streams(self, group: str) -> list[LogStream]:
        """Streams of a group, by name."""
        query = (
            "SELECT name, created_ms, (SELECT min(at_ms) FROM events WHERE stream = streams.id),"
            " (SELECT max(at_ms) FROM events WHERE stream = streams.id), ingested_ms, token, bytes "
            "FROM streams WHERE grp = ? ORDER BY name"
        )
        return await self._run(lambda: [LogStream(*row) for row in self._db.execute(query, (group,))])

    async def put(self, group: str, stream: str, lines: list[tuple[int, str]], now_ms: int, token: str) -> bool:
        """Add (at_ms, message) lines. False: the stream is gone, or has this or a later token already.

        Tokens are compared as text; "" is none.
        """
        return await self._run(lambda: self._whole(lambda: self._put(group, stream, lines, now_ms, token)))

    async def read(
        self, group: str, streams: list[str], span: Span, *, limit: int, newest: bool = False
    ) -> list[LogEvent]:
        """Events by time, at most `limit`: the first of the span, or its newest."""
        return await self._run(lambda: self._read(group, streams, span, limit, newest=newest))

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _whole(self, work: Callable[[], T]) -> T:
        self._db.execute("BEGIN")
        try:
            done = work()
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        return done

    def _insert(self, query: str, *values: object) -> bool:
        return self._db.execute(query, values).rowcount == 1

    def _create_stream(self, group: str, stream: str, now_ms: int) -> bool:
        query = "INSERT OR IGNORE INTO streams (grp, name, created_ms) VALUES (?, ?, ?)"
        is_new = self._insert(query, group, stream, now_ms)
        oldest = "SELECT id FROM streams ORDER BY coalesce(ingested_ms, created_ms) DESC, id DESC LIMIT -1 OFFSET ?"
        for (surplus,) in self._db.execute(oldest, (STREAMS_MAX,)).fetchall() if is_new else ():
            self._drop(surplus)
        return is_new

    def _drop(self, stream: int) -> None:
        self._db.execute("DELETE FROM events WHERE stream = ?", (stream,))
        self._db.execute("DELETE FROM streams WHERE id = ?", (stream,))

    def _put(self, group: str, stream: str, lines: list[tuple[int, str]], now_ms: int, token: str) -> bool:
        query = "SELECT id, token, bytes, events FROM streams WHERE grp = ? AND name = ?"
        row = self._db.execute(query, (group, stream)).fetchone()
        if row is None or (token and token <= row[1]):
            return False
        key, known, size, count = row
        rows = [(key, at_ms, now_ms, message) for at_ms, message in lines]
        self._db.executemany("INSERT INTO events (stream, at_ms, ingested_ms, message) VALUES (?, ?, ?, ?)", rows)
        size += sum(len(message) for _, message in lines)
        count += len(lines)
        size, count = self._trim(key, size, count)
        update = "UPDATE streams SET ingested_ms = ?, token = ?, bytes = ?, events = ? WHERE id = ?"
        self._db.execute(update, (now_ms, token or known, size, count, key))
        return True

    def _trim(self, stream: int, size: int, count: int) -> tuple[int, int]:
        query = "SELECT id, length(message) FROM events WHERE stream = ? ORDER BY at_ms, id"
        surplus = []
        if size > BYTES_PER_STREAM_MAX or count > EVENTS_PER_STREAM_MAX:
            for key, length in self._db.execute(query, (stream,)):
                if size <= BYTES_PER_STREAM_MAX and count <= EVENTS_PER_STREAM_MAX:
                    break
                surplus.append((key,))
                size, count = size - length, count - 1
        self._db.executemany("DELETE FROM events WHERE id = ?", surplus)
        return size, count

    def _read(self, group: str, streams: list[str], span: Span, limit: int, *, newest: bool) -> list[LogEvent]:
        names = ",".join("?" * len(streams))
        where = f"s.grp = ? AND s.name IN ({names}) AND e.at_ms >= ? AND e.at_ms < ?"
        values: list[object] = [group, *streams, span.start_ms, span.end_ms]
        for sign, mark in ((">", span.behind), ("<", span.before)):
            if mark is not None:
                where += f" AND (e.at_ms, e.id) {sign} (?, ?)"
                values += mark
        order = "DESC" if newest else "ASC"
        # What is put into the text is question marks and words of ours; every value is bound.
        query = (
            "SELECT s.name, e.id, e.at_ms, e.ingested_ms, e.message FROM events e JOIN streams s ON s.id = e.stream "  # noqa: S608
            f"WHERE {where} ORDER BY e.at_ms {order}, e.id {order} LIMIT ?"
        )
        rows = [LogEvent(*row) for row in self._db.execute(query, [*values, limit])]
        return rows[::-1] if newest else rows
