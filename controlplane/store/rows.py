"""The records of a SQLite store, a row each. A row keeps its place, so records load in the order of their making.

Which place is whose, the process knows: an index of the keys, which come in no order, would cost a disk as much as all
the rest.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

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


class Changes(NamedTuple):
    """What one transaction does to the rows."""

    values: list[Any]
    """Of the rows that are put, one after the other."""
    new: dict[Key, int]
    """Places of records that had none."""
    gone: list[Key]


class Rows:
    """`load` once, first; then for each transaction `read`, `write` in the writer's thread, and `written`."""

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

    def read(self, plans: Iterable[tuple[Plan, int]]) -> Changes:
        """What plans, with their revisions, put and delete; no two of them change one record."""
        changes = Changes([], {}, [])
        for plan, revision in plans:
            for record in plan.puts:
                place = self._place_of(record, changes.new)
                changes.values.extend((place, record.table, revision, records.encode(record)))
            changes.gone.extend(key for key in plan.deletes if key in self._places)
        return changes

    def write(self, changes: Changes) -> None:
        """As part of a transaction."""
        if changes.gone:
            self._database.executemany(_DELETE, [(self._places[key],) for key in changes.gone])
        bulk.insert(self._database, _PUT, _PUT_COLUMNS, changes.values)

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
