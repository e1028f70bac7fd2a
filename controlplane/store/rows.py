"""The records of a SQLite store, a row each. A row keeps its place, so records load in the order of their making.

Which place is whose, the process knows: an index of the keys, which come in no order, would cost a disk as much as all
the rest.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from controlplane.core.plan import Key, Plan
from controlplane.core.record import Record
from controlplane.store import records

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    place INTEGER PRIMARY KEY, tbl TEXT NOT NULL, revision INTEGER NOT NULL, body BLOB NOT NULL
)
"""
_LOAD = "SELECT place, tbl, revision, body FROM records ORDER BY place"
TARGETS = {
    "put": "INSERT OR REPLACE INTO records (place, tbl, revision, body) VALUES (NEW.a, NEW.b, NEW.c, NEW.d)",
    "delete": "DELETE FROM records WHERE place = NEW.a",
}
"""Of a stroke."""


class Changes(NamedTuple):
    """What one transaction does to the rows."""

    values: list[Any]
    """For a stroke."""
    new: dict[Key, int]
    """Places of records that had none."""
    gone: list[Key]


class Rows:
    """`load` once, first; then `changes` for each transaction, and `written` once it is on disk."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._places: dict[Key, int] = {}
        self._next = 1
        database.execute(_SCHEMA)

    def load(self) -> Iterator[tuple[Record, int]]:
        """Every record with its revision, the oldest first."""
        for place, table, revision, body in self._database.execute(_LOAD):
            record = records.decode(table, body)
            self._places[table, record.key] = place
            self._next = place + 1
            yield record, revision

    def changes(self, plans: Iterable[tuple[Plan, int]]) -> Changes:
        """What plans, with their revisions, put and delete; no two of them change one record."""
        values: list[Any] = []
        new: dict[Key, int] = {}
        gone: list[Key] = []
        for plan, revision in plans:
            for record in plan.puts:
                values += ("put", self._place_of(record, new), record.table, revision, records.encode(record))
            gone += [key for key in plan.deletes if key in self._places]
        for key in gone:
            values += ("delete", self._places[key], None, None, None)
        return Changes(values, new, gone)

    def written(self, changes: Changes) -> None:
        """They are on disk."""
        self._places.update(changes.new)
        for key in changes.gone:
            del self._places[key]

    def _place_of(self, record: Record, new: dict[Key, int]) -> int:
        key = (record.table, record.key)
        place = self._places.get(key)
        if place is None:
            place = new[key] = self._next
            self._next += 1
        return place
