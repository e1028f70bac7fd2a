"""A stroke: each row goes where it belongs, in order, and all of it or nothing is there."""

import sqlite3
from typing import Any

import pytest

from controlplane.store import stroke


class Counting(sqlite3.Connection):
    """Counts what is executed."""

    statements = 0

    def execute(self, *args: Any) -> sqlite3.Cursor:
        self.statements += 1
        return super().execute(*args)


@pytest.fixture(name="database")
def fixture_database() -> Counting:
    database = sqlite3.connect(":memory:", isolation_level=None, factory=Counting)
    database.execute("CREATE TABLE shelf (place INTEGER PRIMARY KEY, what TEXT)")
    database.execute("CREATE TABLE log (nth INTEGER PRIMARY KEY, what BLOB)")
    targets = {
        "shelve": "INSERT OR REPLACE INTO shelf VALUES (NEW.a, NEW.b)",
        "clear": "DELETE FROM shelf WHERE place = NEW.a",
        "log": "INSERT INTO log VALUES (NEW.a, NEW.b)",
    }
    stroke.prepare(database, targets)
    return database


def row(target: str, *values: object) -> list[object]:
    return [target, *values, *[None] * (stroke.COLUMNS - 1 - len(values))]


def test_rows_go_where_they_belong_in_their_order(database: Counting) -> None:
    said = [*row("shelve", 1, "cup"), *row("log", 1, b"\x00"), *row("shelve", 1, "jug"), *row("shelve", 2, "pot")]
    stroke.draw(database, [*said, *row("clear", 2)])
    assert database.execute("SELECT * FROM shelf").fetchall() == [(1, "jug")]
    assert database.execute("SELECT * FROM log").fetchall() == [(1, b"\x00")]


@pytest.mark.parametrize("rows", [1, stroke.ROWS, stroke.ROWS + 1, 3 * stroke.ROWS])
def test_any_number_of_rows_in_few_statements(database: Counting, rows: int) -> None:
    values = [value for nth in range(rows) for value in row("log", nth, b"x")]
    before = database.statements
    stroke.draw(database, values)
    ran = database.statements - before
    assert database.execute("SELECT count(*) FROM log").fetchone() == (rows,)
    assert ran == -(-rows // stroke.ROWS)
    assert stroke.is_one(values) == (ran == 1)


def test_a_row_that_cannot_be_takes_the_others_with_it(database: Counting) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        stroke.draw(database, [*row("shelve", 1, "cup"), *row("log", 1, b""), *row("log", 1, b"")])
    assert database.execute("SELECT count(*) FROM shelf").fetchone() == (0,)
    assert not database.in_transaction
