"""The records of a SQLite store, a row each. A row keeps its place, so records load in the order of their making.

Which place is whose, the process knows: an index of the keys, which come in no order, would cost a disk as much as all
the rest.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

from controlplane.core.plan import Key, Plan
from controlplane.core.record import Record
from controlplane.store import bulk, records

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    place INTEGER PRIMARY KEY, tbl TEXT NOT NULL, revision INTEGER NOT NULL, body BLOB NOT NULL
)
"""
_LOAD = "SELECT place, tbl, revision, body FROM records ORDER BY place"
_PUT = "INSERT OR REPLACE INTO records (place, tbl, revision, body) VALUES {rows}"
_PUT_COLUMNS = 4
_DELETE = "DELETE FROM records WHERE place = ?"


class Rows:
    """`load` once, first; then `write` in the writer's thread and transaction, and `written` once that is committed."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._places: dict[Key, int] = {}
        self._new: dict[Key, int] = {}
        self._gone: list[Key] = []
        self._next = 1
        database.execute(_SCHEMA)

    def load(self) -> Iterator[tuple[Record, int]]:
        """Every record with its revision, the oldest first."""
        for place, table, revision, body in self._database.execute(_LOAD):
            record = records.decode(table, body)
            self._places[table, record.key] = place
            self._next = place + 1
            yield record, revision

    def write(self, plans: Iterable[tuple[Plan, int]]) -> None:
        """What plans, with their revisions, put and delete; no two of them change one record."""
        self._new, self._gone = {}, []
        values: list[Any] = []
        for plan, revision in plans:
            for record in plan.puts:
                values += (self._place_of(record), record.table, revision, records.encode(record))
            self._gone += [key for key in plan.deletes if key in self._places]
        if self._gone:
            self._database.executemany(_DELETE, [(self._places[key],) for key in self._gone])
        bulk.insert(self._database, _PUT, _PUT_COLUMNS, values)

    def written(self) -> None:
        """What was written last is on disk."""
        self._places.update(self._new)
        for key in self._gone:
            del self._places[key]

    def _place_of(self, record: Record) -> int:
        key = (record.table, record.key)
        place = self._places.get(key)
        if place is None:
            place = self._new[key] = self._next
            self._next += 1
        return place
