"""A tape of a SQLite store: numbered entries in order, the story's lines or the events. The oldest go.

All entries of one transaction are one row: what a row costs a disk, and the interpreter, hardly grows with its size.
It knows nothing of what an entry says.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

T = TypeVar("T")

TRIM_EVERY = 1000
"""Entries between two looks at how many there are."""

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS {table} (last INTEGER PRIMARY KEY, ordinal INTEGER NOT NULL, entries BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS forgotten (tape TEXT PRIMARY KEY, last INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO forgotten VALUES ('{table}', 0)",
)
_STATEMENTS = {
    "newest": "SELECT ordinal FROM {table} ORDER BY last DESC LIMIT 1",
    "add": "INSERT INTO {table} VALUES (?, ?, ?)",
    "since": "SELECT entries FROM {table} WHERE last > ? ORDER BY last",
    "oldest kept": "SELECT last FROM {table} WHERE ordinal > ? ORDER BY last LIMIT 1",
    "before": "SELECT max(last) FROM {table} WHERE last < ?",
    "delete": "DELETE FROM {table} WHERE last <= ?",
    "forget": "UPDATE forgotten SET last = ? WHERE tape = '{table}'",
    "forgotten": "SELECT last FROM forgotten WHERE tape = '{table}'",
}
"""`last` is the highest number in a row, `ordinal` how many entries there ever were, those in it included."""


_encode = msgspec.json.Encoder().encode


class Strip(NamedTuple):
    """What one transaction appends."""

    last: int
    size: int
    entries: bytes


def strip_of(entries: Sequence[tuple[int, Any]]) -> Strip:
    """Of numbered entries, each anything that `msgspec` encodes."""
    return Strip(entries[-1][0] if entries else 0, len(entries), _encode(entries))


class Tape(Generic[T]):
    """`add` belongs to the writer's thread and transaction, `read` to the reader's."""

    def __init__(
        self, database: sqlite3.Connection, reader: sqlite3.Connection, table: str, entry: type[T], kept: int
    ) -> None:
        """`table` is a name of ours, `entry` what its JSON is read as, `kept` how many entries stay."""
        self._database = database
        self._reader = reader
        self._kept = kept
        self._decoder = msgspec.json.Decoder(list[tuple[int, entry]])  # type: ignore[valid-type]
        for statement in _SCHEMA:
            database.execute(statement.format(table=table))
        self._sql = {name: statement.format(table=table) for name, statement in _STATEMENTS.items()}
        newest = database.execute(self._sql["newest"]).fetchone()
        self._ordinal: int = newest[0] if newest else 0
        self._trimmed_at = 0

    def add(self, strip: Strip) -> None:
        """Append what one transaction says; numbers never fall, and the next transaction's are higher."""
        if strip.size:
            self._ordinal += strip.size
            self._database.execute(self._sql["add"], (strip.last, self._ordinal, strip.entries))
            self._trim()

    def _trim(self) -> None:
        """Now and then: forget whole transactions, the oldest first, but never the newest."""
        if self._ordinal - self._trimmed_at < min(TRIM_EVERY, self._kept):
            return
        self._trimmed_at = self._ordinal
        (kept,) = self._database.execute(self._sql["oldest kept"], (self._ordinal - self._kept,)).fetchone() or (0,)
        (last,) = self._database.execute(self._sql["before"], (kept,)).fetchone()
        if last is not None:
            self._database.execute(self._sql["delete"], (last,))
            self._database.execute(self._sql["forget"], (last,))

    def read(self, after: int, newest: int, limit: int) -> tuple[list[tuple[int, T]], int]:
        """Some `limit` entries behind the number `after`, up to `newest`, and the number up to which they are gone.

        What has one number is never cut in two.
        """
        entries = self._entries(after, newest, limit)
        (forgotten,) = self._reader.execute(self._sql["forgotten"]).fetchone()  # after: what goes meanwhile is said
        return entries, forgotten

    def _entries(self, after: int, newest: int, limit: int) -> list[tuple[int, T]]:
        found: list[tuple[int, T]] = []
        rows = self._reader.execute(self._sql["since"], (after,))
        try:
            for (body,) in rows if limit > 0 else ():
                for entry in self._decoder.decode(body):
                    if entry[0] > newest or (len(found) >= limit and entry[0] != found[-1][0]):
                        return found
                    if entry[0] > after:
                        found.append(entry)
        finally:
            rows.close()
        return found
