"""A steady stream of requests on loopback, and what became of each. Open loop: a slow answer slows nothing else."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

ANSWER_SECONDS = 60
IN_FLIGHT_MAX = 400


@dataclass
class Tally:
    """Outcomes: a status code as text, or the name of what went wrong; failures with the time of their request."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[float, str]] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    """First words of what was answered."""

    @property
    def sent(self) -> int:
        return self.outcomes.total()

    @property
    def failed(self) -> int:
        return len(self.failures)


@asynccontextmanager
async def steady(url: str, *, per_second: int) -> AsyncIterator[Tally]:
    """Requests to `url`, evenly spaced, for as long as the block runs; at its end all answers are in."""
    tally = Tally()
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        stop = asyncio.Event()
        sender = asyncio.create_task(_send(session, url, per_second, stop, tally))
        try:
            yield tally
        finally:
            stop.set()
            await sender


async def _send(session: aiohttp.ClientSession, url: str, per_second: int, stop: asyncio.Event, tally: Tally) -> None:
    began, count = time.monotonic(), 0
    open_: set[asyncio.Task[None]] = set()
    while not stop.is_set():
        while count < (time.monotonic() - began) * per_second and len(open_) < IN_FLIGHT_MAX:
            request = asyncio.create_task(_ask(session, url, tally))
            open_.add(request)
            request.add_done_callback(open_.discard)
            count += 1
        await asyncio.sleep(1 / per_second)
    await asyncio.gather(*open_)


async def _ask(session: aiohttp.ClientSession, url: str, tally: Tally) -> None:
    at = time.time()
    try:
        async with session.get(url) as answer:
            body = await answer.text()
            outcome = str(answer.status)
            tally.answers[body.split(" ", 1)[0].strip()[:20]] += 1
    except (aiohttp.ClientError, TimeoutError) as error:
        outcome = type(error).__name__
    tally.outcomes[outcome] += 1
    if outcome != "200":
        tally.failures.append((at, outcome))
