"""Lines of scripted containers while the log store is away: the oldest are lost, and that is said once."""

import asyncio
import logging

from agent.runtime import saying
from agent.runtime.saying import Sayings, Stream

STREAM = Stream("group", "stream")


class Store:
    def __init__(self):
        self.is_there = asyncio.Event()
        self.lines = []

    async def newest(self, _group, _stream):
        await self.is_there.wait()
        return ""

    async def put(self, _group, _stream, lines):
        self.lines += [line.message for line in lines]


async def test_at_its_limit_the_oldest_lines_are_lost_and_no_others(monkeypatch, caplog):
    monkeypatch.setattr(saying, "LINES_WAITING_MAX", 10)
    store = Store()
    sayings = Sayings(store, lambda: 1.0)
    with caplog.at_level(logging.WARNING):
        for number in range(13):
            sayings.say(STREAM, f"line {number}")
    store.is_there.set()
    await sayings.close()
    assert store.lines == [f"line {number}" for number in range(3, 13)]
    assert [record.getMessage() for record in caplog.records] == [
        "Log stream stream of group: its oldest lines are lost"
    ]
