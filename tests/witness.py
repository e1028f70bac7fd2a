"""Who can say something about a test that fails: logs of its processes, events of its containers. Bounded."""

from collections.abc import Callable
from pathlib import Path

CHARACTERS_MAX = 6000
"""Of each witness, its last."""
WITNESSES_MAX = 12

_witnesses: list[tuple[str, Callable[[], str]]] = []


def call(name: str, tell: Callable[[], str]) -> None:
    """Have `tell` asked if the running test fails; what it needs outlives the test's own cleaning up."""
    _witnesses.append((name, tell))


def call_file(path: Path) -> None:
    """A log file is a witness."""
    call(path.name, lambda: path.read_text(errors="replace") if path.exists() else "")


def testimony() -> list[tuple[str, str]]:
    """(Title, text) of everybody who has something to say, the last called last."""
    return [(name, told) for name, tell in _witnesses[-WITNESSES_MAX:] if (told := _told(tell))]


def dismiss() -> None:
    """The test is over."""
    _witnesses.clear()


def _told(tell: Callable[[], str]) -> str:
    try:
        return tell()[-CHARACTERS_MAX:].strip()
    except Exception as error:  # noqa: BLE001 - a witness that cannot speak hides no failure
        return f"{type(error).__name__}: {error}"
