"""The dice of a running control plane: every number in range, and none of what was fetched used twice."""

import os
from collections import Counter
from collections.abc import Iterator

import pytest

from controlplane import dice


def test_numbers_have_the_bits_that_were_asked_for() -> None:
    die = dice.Dice()
    asked = [bits for bits in (1, 3, 8, 61, 64, 128, 1000) for _ in range(500)]
    drawn = [die.getrandbits(bits) for bits in asked]
    limits = [1 << bits for bits in asked]
    assert all(0 <= number < limit for number, limit in zip(drawn, limits, strict=True))
    assert {die.randrange(4) for _ in range(200)} == {0, 1, 2, 3}
    assert len({die.getrandbits(128) for _ in range(1000)}) == 1000


def test_a_choice_is_one_of_those_there_are() -> None:
    die = dice.Dice()
    assert {die.randrange(3, 9, 2) for _ in range(200)} == {3, 5, 7}
    assert all(0 <= die.randrange(stop) < stop for stop in (1, 3, 9 * 10**18, 1 << 64, 1 << 100) for _ in range(200))
    spread = Counter(die.randrange(3) for _ in range(9000))
    assert all(2500 < count < 3500 for count in spread.values())
    with pytest.raises(ValueError, match="empty"):
        die.randrange(0)


def test_what_was_fetched_is_used_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pages: Iterator[bytes] = iter([bytes(range(256)) * 16, b"\xff" * 4096])
    monkeypatch.setattr(os, "urandom", lambda _: next(pages))
    die = dice.Dice()
    drawn = b"".join(die.getrandbits(128).to_bytes(16) for _ in range(dice.PAGE_BYTES // 16))
    assert drawn == bytes(range(256)) * 16
    assert die.getrandbits(12) == 0xFFF
