"""Three starts at a time, in order; the next container is created meanwhile, and none beyond it."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from agent.slots import STARTS_MAX, Slots, Turn

TASKS = 8


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


class Host:
    """What the agent does with a slot: it creates, and is in line for the start before it leaves the create's slot."""

    def __init__(self):
        self.slots = Slots()
        self.doing = []
        self.done = []
        self.over = {(turn, number): asyncio.Event() for turn in Turn for number in range(TASKS)}

    async def task(self, number):
        async with self.slots.take(Turn.CREATE):
            await self._work(Turn.CREATE, number)
            start = asyncio.create_task(self.start(number))
            await asyncio.sleep(0)
        await start

    async def start(self, number):
        async with self.slots.take(Turn.START):
            await self._work(Turn.START, number)

    async def _work(self, turn, number):
        self.doing.append((turn, number))
        try:
            await self.over[turn, number].wait()
        finally:
            self.doing.remove((turn, number))
        self.done.append((turn, number))

    async def finish(self, turn, number):
        self.over[turn, number].set()
        await settle()


@pytest.fixture
async def host():
    host = Host()
    async with AsyncExitStack() as stack:
        tasks = [asyncio.create_task(host.task(number)) for number in range(TASKS)]
        stack.push_async_callback(asyncio.gather, *tasks, return_exceptions=True)
        for task in tasks:
            stack.callback(task.cancel)
        await settle()
        yield host


def starting(host):
    return sorted(number for turn, number in host.doing if turn is Turn.START)


async def test_three_start_and_one_is_ahead(host):
    for number in range(4):
        assert host.doing[-1] == (Turn.CREATE, number), "one after the other"
        await host.finish(Turn.CREATE, number)
    assert starting(host) == [0, 1, 2]
    assert len(host.doing) == STARTS_MAX, "the fourth is created and waits, the fifth is not"
    await host.finish(Turn.START, 1)
    assert starting(host) == [0, 2, 3]
    assert (Turn.CREATE, 4) in host.doing


async def test_all_of_them_start_in_order(host):
    while len(host.done) < 2 * TASKS:
        assert len(starting(host)) <= STARTS_MAX
        assert sum(turn is Turn.CREATE for turn, _ in host.doing) <= 1
        await host.finish(*host.doing[0])
    assert [number for turn, number in host.done if turn is Turn.START] == list(range(TASKS))


async def test_who_leaves_a_line_or_a_slot_holds_up_nobody(host):
    for number in range(4):
        await host.finish(Turn.CREATE, number)
    waits = asyncio.create_task(host.start(7))  # a restart
    given = asyncio.create_task(host.start(6))
    await settle()
    waits.cancel()
    await settle()
    host.over[Turn.START, 0].set()
    host.over[Turn.START, 1].set()
    await settle()
    assert starting(host) == [2, 3, 6]
    given.cancel()
    await settle()
    assert (Turn.CREATE, 4) in host.doing, "nobody waits for a start any more"
    await host.finish(Turn.CREATE, 4)
    assert (Turn.START, 4) in host.doing


async def test_a_slot_that_was_given_to_somebody_who_has_gone_is_free_again():
    slots = Slots()
    async with AsyncExitStack() as held:
        for _ in range(STARTS_MAX):
            await held.enter_async_context(slots.take(Turn.START))
        waits = asyncio.create_task(slots.take(Turn.START).__aenter__())
        await settle()
    waits.cancel()  # in the very turn of the loop in which it was given the slot
    await settle()
    assert waits.cancelled()
    async with asyncio.timeout(60), AsyncExitStack() as held:
        for _ in range(STARTS_MAX):
            await held.enter_async_context(slots.take(Turn.START))
