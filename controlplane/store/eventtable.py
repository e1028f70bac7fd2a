"""The events of a SQLite store: a table beside its records, written in their transactions, trimmed by revisions."""

import sqlite3

from controlplane.store import bulk
from controlplane.store.port import EventPage

TRIM_EVERY = 500
"""Events between two looks at how many there are."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    revision INTEGER NOT NULL, nth INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (revision, nth)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS forgotten (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER);
INSERT OR IGNORE INTO forgotten SELECT 1, revision FROM newest;
"""
_READ = """
SELECT revision, body FROM events WHERE revision > :after AND revision <= (
    SELECT max(revision) FROM (
        SELECT revision FROM events WHERE revision > :after AND revision <= :newest ORDER BY revision, nth LIMIT :limit
    )
) ORDER BY revision, nth
"""


class EventTable:
    """`add` and `trim` belong to the writer's thread and transaction, `read` to the reader's."""

    def __init__(self, database: sqlite3.Connection, reader: sqlite3.Connection, kept: int) -> None:
        self._database = database
        self._reader = reader
        self._kept = kept
        database.executescript(_SCHEMA)
        self._added = TRIM_EVERY

    def add(self, rows: list[tuple[int, int, bytes]]) -> None:
        """Keep events: (revision, which of that revision's, body)."""
        bulk.insert(self._database, "INSERT INTO events VALUES {rows}", rows)
        self._added += len(rows)

    def trim(self, newest: int) -> None:
        """Now and then: forget whole revisions, the oldest first, but never the newest."""
        if self._added < min(TRIM_EVERY, self._kept):
            return
        self._added = 0
        oldest_kept = "SELECT revision FROM events ORDER BY revision DESC, nth DESC LIMIT 1 OFFSET ?"
        found = self._database.execute(oldest_kept, (self._kept,)).fetchone()
        if found is not None and found[0] < newest:
            self._database.execute("DELETE FROM events WHERE revision <= ?", found)
            self._database.execute("UPDATE forgotten SET revision = ?", found)

    def read(self, after: int, newest: int, limit: int) -> EventPage:
        """See `Store.events`; `newest` is the newest revision that is visible."""
        rows = self._reader.execute(_READ, {"after": after, "newest": newest, "limit": max(0, limit)}).fetchall()
        (forgotten,) = self._reader.execute("SELECT revision FROM forgotten").fetchone()
        return EventPage(rows, forgotten, newest)
