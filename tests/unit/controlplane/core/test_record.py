"""What follows from a record is worked out once, and anew where the record has become another one."""

from collections.abc import Callable

import msgspec
import pytest

from controlplane.core import record
from controlplane.core.model import Token
from controlplane.core.record import following


def test_once_for_a_record_and_anew_for_its_next_version() -> None:
    asked: list[Token] = []

    @following
    def length(token: Token) -> int:
        asked.append(token)
        return len(token.fingerprint)

    first = Token(scope="s", token="t", fingerprint="abc")
    assert [length(first), length(first), len(asked)] == [3, 3, 1]
    second = msgspec.structs.replace(first, fingerprint="abcd")
    assert [length(second), length(second), len(asked)] == [4, 4, 2]
    assert [length(first), len(asked)] == [3, 3]


def test_an_equal_record_is_not_the_same() -> None:
    """Two stores of one process may have records under one key; neither is told what follows from the other's."""
    seen: Callable[[Token], int] = following(id)
    first, other = (Token(scope="s", token="t", fingerprint="") for _ in range(2))
    assert seen(first) != seen(other)


def test_as_many_are_kept_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "FOLLOWED_MAX", 2)
    asked: list[Token] = []
    seen = following(asked.append)
    first, second, third = (Token(scope="s", token=str(nth), fingerprint="") for nth in range(3))
    for token in (first, second, first, third, second, third, first):
        seen(token)
    assert asked == [first, second, third, first], "the oldest goes"
