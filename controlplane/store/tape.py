"""A tape of a SQLite store: numbered entries in order, the story's lines or the events. The oldest go.

All entries of one transaction are one row: what a row costs a disk, and the interpreter, hardly grows with its size.
It knows nothing of what an entry says.
"""

import sqlite3
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")

TRIM_EVERY = 1000
"""Entries between two looks at how many there are."""


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
        database.executescript(
            f"CREATE TABLE IF NOT EXISTS {table} (last INTEGER PRIMARY KEY, ordinal INTEGER NOT NULL, entries BLOB);"
            "CREATE TABLE IF NOT EXISTS forgotten (tape TEXT PRIMARY KEY, last INTEGER NOT NULL);"
            f"INSERT OR IGNORE INTO forgotten VALUES ('{table}', 0)"
        )
        self._insert = f"INSERT INTO {table} VALUES (?, ?, ?)"  # noqa: S608 - this and what follows: our own name
        self._since = f"SELECT entries FROM {table} WHERE last > ? ORDER BY last"  # noqa: S608
        self._oldest_kept = f"SELECT last FROM {table} WHERE ordinal > ? ORDER BY last LIMIT 1"  # noqa: S608
        self._before = f"SELECT max(last) FROM {table} WHERE last < ?"  # noqa: S608
        self._delete = f"DELETE FROM {table} WHERE last <= ?"  # noqa: S608
        self._forget = f"UPDATE forgotten SET last = ? WHERE tape = '{table}'"  # noqa: S608
        self._forgotten = f"SELECT last FROM forgotten WHERE tape = '{table}'"  # noqa: S608
        newest = database.execute(f"SELECT ordinal FROM {table} ORDER BY last DESC LIMIT 1").fetchone()  # noqa: S608
        self._ordinal: int = newest[0] if newest else 0
        self._trimmed_at = 0

    def add(self, entries: list[tuple[int, Any]]) -> None:
        """Append what one transaction says; numbers never fall, and the next transaction's are higher."""
        if entries:
            self._ordinal += len(entries)
            self._database.execute(self._insert, (entries[-1][0], self._ordinal, msgspec.json.encode(entries)))
            self._trim()

    def _trim(self) -> None:
        """Now and then: forget whole transactions, the oldest first, but never the newest."""
        if self._ordinal - self._trimmed_at < min(TRIM_EVERY, self._kept):
            return
        self._trimmed_at = self._ordinal
        (kept,) = self._database.execute(self._oldest_kept, (self._ordinal - self._kept,)).fetchone() or (0,)
        (last,) = self._database.execute(self._before, (kept,)).fetchone()
        if last is not None:
            self._database.execute(self._delete, (last,))
            self._database.execute(self._forget, (last,))

    def read(self, after: int, newest: int, limit: int) -> tuple[list[tuple[int, T]], int]:
        """Some `limit` entries behind the number `after`, up to `newest`, and the number up to which they are gone.

        What has one number is never cut in two.
        """
        (forgotten,) = self._reader.execute(self._forgotten).fetchone()
        return self._entries(after, newest, limit), forgotten

    def _entries(self, after: int, newest: int, limit: int) -> list[tuple[int, T]]:
        found: list[tuple[int, T]] = []
        rows = self._reader.execute(self._since, (after,))
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
