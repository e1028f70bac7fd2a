"""A file that another version wrote is left as it is, and whoever starts is told so in one sentence."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from controlplane.store import sqlite
from controlplane.store.port import StoreForeign
from controlplane.store.sqlite import FORMAT, SqliteStore


def test_a_file_of_another_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE records (place INTEGER PRIMARY KEY, tbl, key, revision, body)")
        database.commit()
    before = path.read_bytes()
    with pytest.raises(StoreForeign, match=r"is a file of another version of berth; .*\.$"):
        SqliteStore(path)
    assert path.read_bytes() == before


async def test_a_new_file_gets_our_format(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    await SqliteStore(path).close()
    await SqliteStore(path).close()


async def test_a_first_start_that_is_killed_leaves_a_file_that_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at each step of its statements in turn; the statements before are on disk."""
    connected, killed_before = sqlite._connected, 0

    def killing(path: Path) -> sqlite3.Connection:
        connection = connected(path)
        left = iter(range(killed_before))
        connection.set_authorizer(lambda *_: sqlite3.SQLITE_DENY if next(left, None) is None else sqlite3.SQLITE_OK)
        return connection

    while True:
        path = tmp_path / f"{killed_before}.sqlite"
        monkeypatch.setattr(sqlite, "_connected", killing)
        try:
            await SqliteStore(path).close()
        except sqlite3.DatabaseError:
            pass  # who could not open it has let go of it
        else:
            break
        monkeypatch.setattr(sqlite, "_connected", connected)
        await SqliteStore(path).close()
        killed_before += 1 + killed_before // 3
    assert killed_before > 5, "there are that many"


async def test_a_file_of_the_format_before_ours_is_read(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    await SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 2")
    await SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (FORMAT,)
