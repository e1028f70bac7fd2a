"""The agent's half of the story, on its way to the control plane. Best effort: nothing is decided by it.

Lines go out in batches beside the reports, and wait for none of them: a reader goes by the time of a line, not by its
arrival. A control plane that knows no stories is asked once.
"""

import asyncio
import logging
from collections import deque
from typing import Any

import msgspec

from agent.backend.ecsclient import BackendUnreachableError, EcsClient, is_transient
from wire.errors import AwsError
from wire.extensions import STORY_LINES_MAX, SUBMIT_STORY, StoryReport
from wire.story import Kind, StoryLine

log = logging.getLogger(__name__)

WAITING_MAX = 10_000
"""Lines kept while nobody takes them; the oldest go first."""
BATCH_SECONDS = 0.1
RETRY_SECONDS = 2.0


class Storyteller:
    """Collects lines and submits them."""

    def __init__(self, client: EcsClient, cluster: str, instance: str) -> None:
        """`instance` is the container instance's ARN."""
        self._client = client
        self._cluster = cluster
        self._instance = instance
        self._actor = f"agent/{instance.rsplit('/', 1)[-1]}"
        self._lines: deque[StoryLine] = deque(maxlen=WAITING_MAX)
        self._more = asyncio.Event()
        self._sending = asyncio.Lock()
        self._is_heard = True

    def tell(self, at: float, subject: str, kind: Kind, cause: str, data: dict[str, Any]) -> None:
        """Add a line."""
        if self._is_heard:
            self._lines.append(StoryLine(at, self._actor, subject, str(kind), cause, data))
            self._more.set()

    async def flush(self) -> bool:
        """Send what waits. Returns whether everything has gone out; it never raises.

        What is refused for good is dropped: it would stand in the way of all that comes behind it.
        """
        async with self._sending:
            while self._lines and self._is_heard:
                batch = [self._lines[i] for i in range(min(len(self._lines), STORY_LINES_MAX))]
                report = StoryReport(self._cluster, self._instance, batch)
                try:
                    await self._client.call(SUBMIT_STORY, msgspec.to_builtins(report))
                except BackendUnreachableError:
                    return False
                except AwsError as error:
                    if error.code == "UnknownOperationException":
                        self._is_heard = False
                        self._lines.clear()
                        return True
                    log.warning("The story was not taken: %s", error)
                    if is_transient(error):
                        return False
                for _ in batch:
                    if self._lines:
                        self._lines.popleft()
        return True

    async def run(self) -> None:
        """Send lines soon after they were told, until cancelled."""
        while True:
            await self._more.wait()
            await asyncio.sleep(BATCH_SECONDS)
            self._more.clear()
            if not await self.flush():
                await asyncio.sleep(RETRY_SECONDS)
                self._more.set()
