"""The book of metrics on disk: what was put is there after a restart, what was forgotten is not."""

import sqlite3
from pathlib import Path

import pytest

from controlplane.core.scaling import metrics
from controlplane.core.scaling.metrics import Book, Metric, Statistic, metric, one
from controlplane.scaling.minutes import Datum, Minutes

ORDERS = metric("Shop", "Orders", {"shop": "1"})
LOAD = metric("Shop", "Load", {})


def rows(path: Path) -> int:
    (count,) = sqlite3.connect(path).execute("SELECT count(*) FROM minutes").fetchone()
    return int(count)


async def put(path: Path | None, *data: Datum, scale: float = 1) -> Book:
    """The book after these, as the next process finds it that begins without a word of the first."""
    minutes = Minutes(path, Book(), scale=scale)
    await minutes.put(data)
    following = Minutes(path, Book(), scale=scale)
    for each in (minutes, following):
        await each.close()
    return following.book


def orders(book: Book, statistic: str = "Sum", of: Metric = ORDERS) -> list[float | None]:
    return book.datapoints(of, Statistic(statistic), newest=3, count=3)


async def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sqlite"
    await put(path, (ORDERS, one(2), 1), (ORDERS, one(8), 1), (LOAD, one(5), 2))
    book = await put(path, (ORDERS, one(4), 1), (ORDERS, one(1), 3))
    assert orders(book) == [14, None, 1]
    assert (orders(book, "Minimum")[0], orders(book, "Maximum")[0], orders(book, "SampleCount")[0]) == (2, 8, 3)
    assert orders(book, of=LOAD) == [None, 5, None]


async def test_what_the_book_forgets_goes_from_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MINUTES_KEPT", 2)
    monkeypatch.setattr(metrics, "METRICS_MAX", 1)
    path = tmp_path / "metrics.sqlite"
    assert orders(await put(path, *((ORDERS, one(minute), minute) for minute in (1, 2, 3)))) == [None, 2, 3]
    assert rows(path) == 2
    book = await put(path, (LOAD, one(5), 3))
    assert (rows(path), book.knows(ORDERS)) == (1, False)


async def test_at_another_scale_and_after_a_reset_it_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sqlite"
    await put(path, (ORDERS, one(2), 1), scale=60)
    assert not (await put(path, scale=1)).knows(ORDERS), "its minutes are others"
    minutes = Minutes(path, Book(), scale=1)
    await minutes.put([(ORDERS, one(2), 1)])
    await minutes.clear()
    assert not minutes.book.knows(ORDERS)
    await minutes.close()
    assert rows(path) == 0


async def test_without_a_folder_it_is_in_memory() -> None:
    assert not (await put(None, (ORDERS, one(2), 1))).knows(ORDERS)
