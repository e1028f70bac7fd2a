"""Ctrl-C: the first asks for the clean-up, the second forces it. SIGTERM counts as Ctrl-C.

Work is cancelled at the first one; the clean-up that follows is cancelled by the second, and what it must do in any
case happens in `force`.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

EXIT_CODE = 130
"""128 + SIGINT, as shells have it."""


async def run_with_cleanup(
    work: Callable[[], Coroutine[Any, Any, int]],
    *,
    cleanup: Callable[[], Awaitable[None]],
    force: Callable[[], None],
    on_interrupt: Callable[[], None],
) -> int:
    """Run `work`, and `cleanup` after it, however it ends. Returns the exit code."""
    loop = asyncio.get_running_loop()
    interrupts = asyncio.Semaphore(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupts.release)
    try:
        working: asyncio.Task[int] = asyncio.create_task(work())
        try:
            exit_code = await _until_interrupted(working, interrupts)
            if exit_code is None:
                on_interrupt()
                exit_code = EXIT_CODE
        finally:
            cleaning = asyncio.ensure_future(cleanup())
            if await _until_interrupted(cleaning, interrupts, otherwise=0) is None:
                force()
        return exit_code
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _until_interrupted(
    task: "asyncio.Future[Any]", interrupts: asyncio.Semaphore, *, otherwise: int | None = None
) -> int | None:
    """The task's result (`otherwise` in the place of None); None where an interrupt came first and ended it."""
    interrupted = asyncio.create_task(interrupts.acquire())
    try:
        await asyncio.wait((task, interrupted), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            result: int | None = task.result()
            return otherwise if result is None else result
        task.cancel()
        await asyncio.wait((task,))
        return None
    finally:
        interrupted.cancel()
