"""Metrics on disk: what was put is written before it counts, so alarms and policies go on after a restart.

One SQLite file, one thread, as with logs: a kill of the process loses nothing, the end of the machine perhaps its last
second (synchronous=NORMAL). It holds what the book holds and forgets what the book forgets. Minutes are of the scaler's
clock: at another scale they are other minutes, and the file begins anew.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from controlplane.core.scaling.metrics import Book, Metric, Samples

_SCHEMA = """
CREATE TABLE IF NOT EXISTS scale (one INTEGER PRIMARY KEY CHECK (one = 1), scale REAL NOT NULL);
CREATE TABLE IF NOT EXISTS minutes (
    metric BLOB NOT NULL, minute INTEGER NOT NULL,
    count REAL NOT NULL, total REAL NOT NULL, least REAL NOT NULL, most REAL NOT NULL, PRIMARY KEY (metric, minute)
) WITHOUT ROWID;
"""
_ADD = """
INSERT INTO minutes VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count,
    total = total + excluded.total, least = min(least, excluded.least), most = max(most, excluded.most)
"""


Datum = tuple[Metric, Samples, int]
"""What was measured, and in which minute."""


class Minutes:
    """Construct it anywhere (it fills the book, blocking); use it from one event loop."""

    def __init__(self, path: Path | None, book: Book, *, scale: float) -> None:
        """None keeps the book in memory alone."""
        self.book = book
        self._db = sqlite3.connect(str(path or ":memory:"), isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)
        self._thread = ThreadPoolExecutor(1, "metrics")
        if self._db.execute("SELECT scale FROM scale").fetchone() != (scale,):
            self._db.execute("DELETE FROM minutes")
            self._db.execute("INSERT OR REPLACE INTO scale VALUES (1, ?)", (scale,))
        self._load()

    async def put(self, data: Iterable[Datum]) -> None:
        """Add to the book; durable when it returns."""
        data = list(data)
        if not data:
            return
        await self._run(partial(self._write, data))
        forgotten = [old for datum in data for old in self.book.put(*datum)]
        if forgotten:
            await self._run(partial(self._forget, forgotten))

    async def clear(self) -> None:
        """Forget all."""
        self.book.clear()
        await self._run(lambda: self._db.execute("DELETE FROM minutes"))

    async def close(self) -> None:
        """Close the file."""
        await self._run(self._db.close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], object]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _load(self) -> None:
        rows = self._db.execute("SELECT * FROM minutes ORDER BY minute")
        for metric, minute, count, total, least, most in rows.fetchall():
            samples = Samples(count=count, total=total, least=least, most=most)
            self._forget(self.book.put(msgspec.json.decode(metric, type=Metric), samples, minute))

    def _write(self, data: Iterable[Datum]) -> None:
        rows = [
            (msgspec.json.encode(of), minute, added.count, added.total, added.least, added.most)
            for of, added, minute in data
        ]
        self._all(_ADD, rows)

    def _forget(self, minutes: Iterable[tuple[Metric, int]]) -> None:
        rows = [(msgspec.json.encode(of), minute) for of, minute in minutes]
        self._all("DELETE FROM minutes WHERE metric = ? AND minute = ?", rows)

    def _all(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        """In one transaction, or not at all."""
        if not rows:
            return
        self._db.execute("BEGIN")
        try:
            self._db.executemany(statement, rows)
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
