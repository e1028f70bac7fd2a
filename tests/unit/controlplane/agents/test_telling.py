"""What the sessions tell: one write for one turn of the loop, in order, and nobody waits."""

import asyncio
from typing import cast

import pytest

from controlplane.agents import telling
from controlplane.agents.telling import Teller
from controlplane.store.port import Store, StoreClosed
from wire.story import StoryLine


class SlowStore:
    """Keeps what it was asked to tell; answers when it is told to."""

    def __init__(self, *, is_closed: bool = False) -> None:
        self.told: list[list[str]] = []
        self.answers = asyncio.Event()
        self._is_closed = is_closed

    async def tell(self, lines: list[StoryLine], *, patience_seconds: float) -> int:
        assert patience_seconds > 0
        if self._is_closed:
            raise StoreClosed("The store is closed.")
        self.told.append([line.subject for line in lines])
        await self.answers.wait()
        return 0


def line(subject: str) -> StoryLine:
    return StoryLine(0.0, "controlplane", subject, "task.told")


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_lines_of_one_turn_are_one_write_and_a_slow_store_keeps_nobody() -> None:
    store = SlowStore()
    teller = Teller(cast("Store", store))
    teller.tell([line("a"), line("b")])
    teller.tell([line("c")])
    await turns(3)
    teller.tell([line("d")])
    await turns(3)
    assert store.told == [["a", "b", "c"], ["d"]]
    store.answers.set()


async def test_no_more_lines_wait_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "LINES_MAX", 2)
    store = SlowStore()
    teller = Teller(cast("Store", store))
    teller.tell([line("a"), line("b")])
    teller.tell([line("lost")])
    await turns(3)
    teller.tell([line("lost")])
    await turns(3)
    assert store.told == [["a", "b"]]
    store.answers.set()
    await turns(3)
    teller.tell([line("again")])
    await turns(3)
    assert store.told == [["a", "b"], ["again"]]


async def test_lines_end_with_the_store() -> None:
    unhandled: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    Teller(cast("Store", SlowStore(is_closed=True))).tell([line("a")])
    await turns(5)
    assert not unhandled
