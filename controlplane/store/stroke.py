"""One statement for all that a transaction says: a *stroke*.

The interpreter's lock is let go for a statement and taken again behind it, and a writer's thread that takes it again
waits for the loop, which has more to do than to let it go: with a statement for each thing that is said, a transaction
took twice as long as the disk needs. So everything is a row for one view, whose triggers put it where it belongs. A
statement outside of a transaction is one by itself.

Source: sqlite.org, "CREATE TRIGGER" (INSTEAD OF), "Transaction" (implicit transactions).
"""

import sqlite3
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

COLUMNS = 5
"""Of a row: the name of its target, and four values for it."""
ROWS = 128
"""Of a statement at most. There is a statement for every number of rows below, each kept prepared where it is used."""

_VIEW = "CREATE TEMP VIEW stroke AS SELECT 0 AS target, 0 AS a, 0 AS b, 0 AS c, 0 AS d"
_INSERT = "INSERT INTO stroke VALUES {rows}"
_TRIGGER = """
CREATE TEMP TRIGGER stroke_{target} INSTEAD OF INSERT ON stroke WHEN NEW.target = '{target}' BEGIN {statement}; END
"""


def prepare(database: sqlite3.Connection, targets: Mapping[str, str]) -> None:
    """Make the view of a connection. `targets` are statements by name; `NEW.a` to `NEW.d` in one is a row's values."""
    database.execute(_VIEW)
    for target, statement in targets.items():
        database.execute(_TRIGGER.format(target=target, statement=statement))


def is_one(values: list[Any]) -> bool:
    """Whether these rows are one statement."""
    return len(values) <= ROWS * COLUMNS


def draw(database: sqlite3.Connection, values: list[Any]) -> None:
    """Run the statements of rows, given one after the other, in order."""
    for start in range(0, len(values), ROWS * COLUMNS):
        some = values[start : start + ROWS * COLUMNS]
        database.execute(_of_rows(len(some) // COLUMNS), some)


@lru_cache(maxsize=ROWS)
def _of_rows(rows: int) -> str:
    row = f"({','.join('?' * COLUMNS)})"
    return _INSERT.format(rows=",".join([row] * rows))
