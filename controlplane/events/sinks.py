"""Where events can go besides `/events`: a webhook, and a file of JSON lines.

Both keep the order: while one event is being tried again, the next ones wait. An event that a webhook does not take
within its tries is a dead letter: the log has it whole, and the next one follows.
"""

import asyncio
import random
from pathlib import Path

import aiohttp
import structlog

TRIES_MAX = 8
"""Of one event; with the waits between them about two minutes."""
FIRST_WAIT_SECONDS = 0.5
WAIT_SECONDS_MAX = 60.0
TRY_SECONDS_MAX = 10.0
FINAL_BELOW, FINAL_FROM = 500, 400
AGAIN = frozenset({401, 407, 408, 409, 425, 429})
"""Refusals that may pass. Source: EventBridge User Guide, "API destinations" (retried errors); others are final."""
FILE_BYTES_MAX = 64 * 1024 * 1024
FILES_KEPT = 3
"""Besides the one that is written: `NAME.1` is the newest of them."""
SEQUENCE_HEADER = "X-Berth-Sequence"

_log = structlog.get_logger(__name__)


class Webhook:
    """POSTs each event to a URL."""

    def __init__(self, url: str) -> None:
        self.name = f"webhook {url}"
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    def is_idle(self) -> bool:
        """Never."""
        return False

    async def deliver(self, sequence: int, event: bytes) -> None:
        """Try until it is taken, finally refused, or tried often enough."""
        wait, why = FIRST_WAIT_SECONDS, ""
        for nth in range(TRIES_MAX):
            if nth > 0:
                await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - jitter
                wait = min(wait * 2, WAIT_SECONDS_MAX)
            status, why = await self._try(sequence, event)
            if status // 100 == 2:  # noqa: PLR2004 - any success
                return
            if FINAL_FROM <= status < FINAL_BELOW and status not in AGAIN:
                break
        _log.error("an event is a dead letter", sink=self.name, sequence=sequence, why=why, letter=event.decode())

    async def _try(self, sequence: int, event: bytes) -> tuple[int, str]:
        """Status and how it went; status 0 where nobody answered."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TRY_SECONDS_MAX))
        headers = {"Content-Type": "application/json", SEQUENCE_HEADER: str(sequence)}
        try:
            async with self._session.post(self._url, data=event, headers=headers, allow_redirects=False) as answer:
                return answer.status, f"HTTP {answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return 0, str(error) or type(error).__name__

    async def close(self) -> None:
        """Send no more."""
        if self._session is not None:
            await self._session.close()


class EventFile:
    """Appends each event to a file, one JSON object on a line; a full file is moved aside, the oldest goes."""

    def __init__(self, path: Path, *, bytes_max: int = FILE_BYTES_MAX) -> None:
        self.name = f"file {path}"
        self._path = path
        self._bytes_max = bytes_max

    def is_idle(self) -> bool:
        """Never."""
        return False

    async def deliver(self, sequence: int, event: bytes) -> None:
        """Append; a disk that does not take it makes a dead letter."""
        try:
            await asyncio.to_thread(self._append, event)
        except OSError as error:
            why = error.strerror or str(error)
            _log.error("an event is a dead letter", sink=self.name, sequence=sequence, why=why, letter=event.decode())

    async def close(self) -> None:
        """Nothing is open between two events."""

    def _append(self, event: bytes) -> None:
        if self._path.exists() and self._path.stat().st_size + len(event) >= self._bytes_max:
            for nth in range(FILES_KEPT, 1, -1):
                older = self._aside(nth - 1)
                if older.exists():
                    older.replace(self._aside(nth))
            self._path.replace(self._aside(1))
        with self._path.open("ab") as file:
            file.write(event + b"\n")

    def _aside(self, nth: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{nth}")
