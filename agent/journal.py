"""What must survive a crash, on disk: one row a task, a few facts about the host. SQLite, one writer.

`save` returns when it is durable. It is called from the engine's loop itself: a commit takes well under a
millisecond or two, and nothing that depends on it may go out before.
"""

import fcntl
import sqlite3
from pathlib import Path

import msgspec

from agent.core.images import PulledImage
from agent.core.state import TaskState

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (arn TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS images (name TEXT PRIMARY KEY, image BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class JournalInUseError(Exception):
    """Another agent has this data directory."""


class Journal:
    """The agent's memory under `ECS_DATADIR`."""

    def __init__(self, directory: Path) -> None:
        """Open or create it.

        Raises:
            JournalInUseError: another process has it open.
            OSError, sqlite3.Error: the directory cannot be used.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = (directory / "agent.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise JournalInUseError(f"Another agent is using {directory}; give each its own ECS_DATADIR.") from error
        self._db = sqlite3.connect(directory / "agent.db", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)

    def save(self, changed: list[TaskState], forgotten: list[str]) -> None:
        """Write some tasks and drop others, in one commit."""
        if not changed and not forgotten:
            return
        rows = [(state.spec.arn, msgspec.json.encode(state)) for state in changed]
        self._db.execute("BEGIN")
        try:
            self._db.executemany("INSERT OR REPLACE INTO tasks VALUES (?, ?)", rows)
            self._db.executemany("DELETE FROM tasks WHERE arn = ?", [(arn,) for arn in forgotten])
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def tasks(self) -> list[TaskState]:
        """Every task that was saved and not forgotten."""
        decoder = msgspec.json.Decoder(TaskState)
        return [decoder.decode(state) for (state,) in self._db.execute("SELECT state FROM tasks")]

    def images(self) -> list[PulledImage]:
        """Every image that was noted and not dropped."""
        decoder = msgspec.json.Decoder(PulledImage)
        return [decoder.decode(image) for (image,) in self._db.execute("SELECT image FROM images")]

    def note_image(self, image: PulledImage) -> None:
        """Keep an image, in the place of what was known of that name."""
        self._db.execute("INSERT OR REPLACE INTO images VALUES (?, ?)", (image.name, msgspec.json.encode(image)))

    def drop_image(self, name: str) -> None:
        """The image is gone."""
        self._db.execute("DELETE FROM images WHERE name = ?", (name,))

    def fact(self, name: str) -> str | None:
        """A fact about the host, such as its container instance ARN."""
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def note(self, name: str, value: str) -> None:
        """Keep a fact."""
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def close(self) -> None:
        """Close it; another agent may open it then."""
        self._db.close()
        self._lock.close()
