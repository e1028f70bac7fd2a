"""A tape of a SQLite store: numbered entries in order, the story's lines or the events. The oldest go.

All entries of one transaction are one row: what a row costs a disk, and the interpreter, hardly grows with its size.
It knows nothing of what an entry says.
"""

import sqlite3
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
    "add": "INSERT INTO {table} VALUES (NEW.a, NEW.b, NEW.c)",
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

    values: list[Any]
    """For a stroke; none where it appends nothing."""
    size: int


class Tape(Generic[T]):
    """`strip` for each transaction, and `appended` once it is on disk. `trim` is the writer's, `read` the reader's."""

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
        self._table = table
        self.target = {table: self._sql["add"]}
        """Of a stroke."""
        self._ordinal: int = newest[0] if newest else 0
        self._trimmed_at = 0

    def strip(self, entries: list[tuple[int, Any]]) -> Strip:
        """What one transaction says; numbers never fall, and the next transaction's are higher."""
        if not entries:
            return Strip([], 0)
        row = [self._table, entries[-1][0], self._ordinal + len(entries), _encode(entries), None]
        return Strip(row, len(entries))

    def appended(self, strip: Strip) -> None:
        """It is on disk."""
        self._ordinal += strip.size

    def is_long(self, strip: Strip) -> bool:
        """Whether it is to be trimmed with this strip."""
        return self._ordinal + strip.size - self._trimmed_at >= min(TRIM_EVERY, self._kept)

    def trim(self, strip: Strip) -> None:
        """Forget whole transactions, the oldest first, but never the newest, which is this strip's."""
        ordinal = self._ordinal + strip.size
        (kept,) = self._database.execute(self._sql["oldest kept"], (ordinal - self._kept,)).fetchone() or (0,)
        (last,) = self._database.execute(self._sql["before"], (kept,)).fetchone()
        if last is not None:
            self._database.execute(self._sql["delete"], (last,))
            self._database.execute(self._sql["forget"], (last,))
        self._trimmed_at = ordinal

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
