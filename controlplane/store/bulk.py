"""Many rows in few statements.

A statement is one stretch without the interpreter's lock, however many rows it has: the event loop decides while the
disk is written to. With a statement for each row the two would take turns at every row.
"""

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

ROWS = 64
"""Rows of a statement at most. There is one for every number of rows below, which SQLite keeps prepared: some 30 KB for
the longest of them."""


def insert(database: sqlite3.Connection, statement: str, columns: int, values: Sequence[Any]) -> None:
    """Run `statement` for rows of `columns` values each, in order; `{rows}` in it stands for its VALUES."""
    full = ROWS * columns
    for start in range(0, len(values), full):
        some = values[start : start + full]
        database.execute(_of_rows(statement, columns, len(some) // columns), some)


@lru_cache(maxsize=2 * ROWS)
def _of_rows(statement: str, columns: int, rows: int) -> str:
    row = f"({','.join('?' * columns)})"
    return statement.format(rows=",".join([row] * rows))
