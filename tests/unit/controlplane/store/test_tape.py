"""A tape keeps its newest entries, cuts no number in two, and says up to where it has forgotten."""

import sqlite3
from random import Random

import pytest

from controlplane.store import stroke, tape


class Small:
    """A tape of 20 entries, appended to as a store does."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(":memory:", isolation_level=None)
        self._tape = tape.Tape(self._database, self._database, "told", str, 20)
        stroke.prepare(self._database, self._tape.target)
        self.read = self._tape.read

    def add(self, entries: list[tuple[int, str]]) -> None:
        strip = self._tape.strip(entries)
        stroke.draw(self._database, strip.values)
        if self._tape.is_long(strip):
            self._tape.trim(strip)
        self._tape.appended(strip)


@pytest.fixture(name="small")
def fixture_small() -> Small:
    return Small()


def test_pages_are_whole_and_follow_each_other(small: Small) -> None:
    dice, all_entries, number = Random(3), [], 0
    for _ in range(8):
        entries = []
        for _ in range(dice.randrange(1, 4)):
            number += 1
            entries += [(number, f"{number}.{nth}") for nth in range(dice.randrange(1, 3))]
        small.add(entries)
        all_entries += entries
    kept, forgotten = small.read(0, number, 1000)
    assert kept == [entry for entry in all_entries if entry[0] > forgotten]
    for limit in (1, 2, 3, 7):
        read, after = [], forgotten
        while page := small.read(after, number, limit)[0]:
            assert len({entry[0] for entry in page[:-1]}) <= limit
            read, after = read + page, page[-1][0]
        assert read == kept
    assert small.read(0, number - 1, 1000)[0] == [entry for entry in kept if entry[0] < number]
    assert small.read(0, number, 0)[0] == []


def test_the_oldest_go_whole_transactions_at_a_time(small: Small) -> None:
    for number in range(1, 101):
        small.add([(number, "one"), (number, "two"), (number, "three")])
    kept, forgotten = small.read(0, 100, 1000)
    assert [entry[0] for entry in kept] == [n for n in range(forgotten + 1, 101) for _ in range(3)]
    assert 20 <= len(kept) <= 2 * 20 + 3


def test_the_newest_transaction_stays_however_large(small: Small) -> None:
    small.add([(1, "old")])
    small.add([(2, str(nth)) for nth in range(50)])
    assert (len(small.read(0, 2, 1000)[0]), small.read(0, 2, 1000)[1]) == (50, 1)
