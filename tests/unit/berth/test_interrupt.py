"""Ctrl-C: the first cleans up, the second forces; whatever ends the work, it is cleaned up."""

import asyncio
import os
import signal

import pytest

from berth.interrupt import run_with_cleanup


class Told:
    def __init__(self, *, work_seconds: float = 60, cleanup_seconds: float = 0) -> None:
        self.said: list[str] = []
        self.has_begun = asyncio.Event()
        self.is_cleaning = asyncio.Event()
        self.work_seconds, self.cleanup_seconds = work_seconds, cleanup_seconds

    async def work(self) -> int:
        self.has_begun.set()
        await asyncio.sleep(self.work_seconds)
        return 7

    async def cleanup(self) -> None:
        self.is_cleaning.set()
        await asyncio.sleep(self.cleanup_seconds)
        self.said.append("clean")

    async def run(self) -> int:
        return await run_with_cleanup(
            self.work,
            cleanup=self.cleanup,
            force=lambda: self.said.append("forced"),
            on_interrupt=lambda: self.said.append("interrupted"),
        )


async def test_work_that_ends_is_cleaned_up_after() -> None:
    told = Told(work_seconds=0)
    assert await told.run() == 7
    assert told.said == ["clean"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_interrupt_cleans_up(number: signal.Signals) -> None:
    told = Told()
    running = asyncio.create_task(told.run())
    await told.has_begun.wait()
    os.kill(os.getpid(), number)
    assert await running == 130
    assert told.said == ["interrupted", "clean"]


async def test_the_second_interrupt_forces() -> None:
    told = Told(cleanup_seconds=60)
    running = asyncio.create_task(told.run())
    await told.has_begun.wait()
    os.kill(os.getpid(), signal.SIGINT)
    await told.is_cleaning.wait()
    os.kill(os.getpid(), signal.SIGINT)
    assert await running == 130
    assert told.said == ["interrupted", "forced"]


async def test_work_that_fails_is_cleaned_up_too() -> None:
    told = Told()

    async def fail() -> int:
        raise ValueError("broken")

    told.work = fail  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="broken"):
        await told.run()
    assert told.said == ["clean"]
