"""Many rows in few statements.

A statement is one stretch without the interpreter's lock, however many rows it has: the event loop decides while the
disk is written to. With a statement for each row the two would take turns at every row.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

ROWS = 128
"""Rows of a full statement; below SQLite's limit of 32,766 parameters for any table here."""


def insert(database: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Run `statement` for all `rows`, in order; `{rows}` in it stands for its VALUES."""
    if not rows:
        return
    one = f"({','.join('?' * len(rows[0]))})"
    start = 0
    while start < len(rows):
        # Full ones, then powers of two: a handful of statements, which SQLite keeps prepared.
        size = min(ROWS, 1 << (len(rows) - start).bit_length() - 1)
        values = [value for row in rows[start : start + size] for value in row]
        database.execute(statement.format(rows=",".join([one] * size)), values)
        start += size
