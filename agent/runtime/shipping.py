"""Follows what `awslogs` containers write, and hands it to a sink: one reading thread for each, from start to end.

Docker keeps the lines (json-file, bounded), so nothing is lost while the sink is away or the agent is down: the
stream's newest stamp says where to go on.
"""

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

import docker
import docker.errors
import requests
import urllib3

from agent.runtime.logconfig import GROUP_LABEL, STREAM_LABEL
from agent.runtime.port import LogLine, LogSink

log = logging.getLogger(__name__)

LINES_WAITING_MAX = 2_000
"""Lines of one container between Docker and the sink; a reader that finds no place waits."""
BATCH_LINES_MAX = 1_000
BATCH_BYTES_MAX = 512 * 1024
"""Half of what one request may have."""
BATCH_SECONDS = 0.2
PLACE_SECONDS = 0.5
_STAMP_CHARACTERS = len("2026-01-01T00:00:00.000000000Z")


class LogShipper:
    """One agent's log streams."""

    def __init__(self, connect: Callable[[int | None], docker.APIClient], sink: LogSink) -> None:
        self._connect = connect
        self._sink = sink
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shipping: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._stopped = threading.Event()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say whose loop the sink's is."""
        self._loop = loop

    def follow(self, docker_id: str, labels: Mapping[str, str]) -> None:
        """Ship what a container writes, if its labels say so. From any thread, and as often as one likes."""
        group = labels.get(GROUP_LABEL)
        if group and self._loop is not None:
            stream = labels.get(STREAM_LABEL) or docker_id
            self._loop.call_soon_threadsafe(self._begin, docker_id, group, stream)

    def follow_all(self, client: docker.APIClient, labels: list[str]) -> None:
        """Every container with these labels: a reader ends with the engine, its container perhaps not. Blocks."""
        try:
            for row in client.containers(all=True, filters={"label": [*labels, GROUP_LABEL]}):
                self.follow(row["Id"], row["Labels"])
        except (docker.errors.APIError, requests.exceptions.RequestException) as error:
            log.warning("Docker did not list whose lines are to be shipped: %s", error)

    async def close(self) -> None:
        """Stop; readers are daemons that end with their next line."""
        self._stopped.set()
        for shipping in self._shipping.values():
            shipping.cancel()
        await asyncio.gather(*self._shipping.values(), return_exceptions=True)

    def _begin(self, docker_id: str, group: str, stream: str) -> None:
        if docker_id in self._shipping:
            self._again.add(docker_id)  # it was started again: look once more when this reader has come to its end
            return
        self._shipping[docker_id] = asyncio.get_running_loop().create_task(self._ship(docker_id, group, stream))

    async def _ship(self, docker_id: str, group: str, stream: str) -> None:
        try:
            while True:
                self._again.discard(docker_id)
                await self._ship_once(docker_id, group, stream)
                if docker_id not in self._again:
                    return
        finally:
            del self._shipping[docker_id]

    async def _ship_once(self, docker_id: str, group: str, stream: str) -> None:
        reader = _Reader(self._connect, docker_id, await self._sink.newest(group, stream), self._stopped)
        reader.start()
        ended = False
        while not ended:
            await reader.more.wait()
            await asyncio.sleep(BATCH_SECONDS)
            reader.more.clear()
            while batch := reader.take():
                ended = batch[-1] is None
                await self._sink.put(group, stream, [line for line in batch if line is not None])


class _Reader:
    """A thread that reads one container's log into a bounded queue; None is its end."""

    def __init__(
        self,
        connect: Callable[[int | None], docker.APIClient],
        docker_id: str,
        behind: str,
        stopped: threading.Event,
    ) -> None:
        self.more = asyncio.Event()
        self._connect = connect
        self._docker_id = docker_id
        self._behind = behind
        self._stopped = stopped
        self._loop = asyncio.get_running_loop()
        self._lines: queue.Queue[LogLine | None] = queue.Queue(LINES_WAITING_MAX)

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"logs-{self._docker_id[:12]}", daemon=True).start()

    def take(self) -> list[LogLine | None]:
        """What waits, as far as one batch may have it; the end stands last."""
        batch: list[LogLine | None] = []
        size = 0
        with contextlib.suppress(queue.Empty):
            while len(batch) < BATCH_LINES_MAX and size < BATCH_BYTES_MAX and (not batch or batch[-1] is not None):
                line = self._lines.get_nowait()
                batch.append(line)
                size += len(line.message) if line is not None else 0
        return batch

    def _run(self) -> None:
        with contextlib.suppress(
            docker.errors.DockerException, requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError
        ):
            for line in self._read():
                if line.stamp > self._behind and not self._hand_over(line):
                    return
        self._hand_over(None)

    def _read(self) -> Iterator[LogLine]:
        client = self._connect(None)
        try:
            is_terminal = client.inspect_container(self._docker_id)["Config"]["Tty"]
            since = _epoch_ms(self._behind) // 1000 if self._behind else None
            frames = client.logs(self._docker_id, stream=True, follow=True, timestamps=True, since=since)
            for raw in _lines_of(frames) if is_terminal else frames:
                line = _line(raw)
                if line is not None:
                    yield line
        finally:
            client.close()

    def _hand_over(self, line: LogLine | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._lines.put(line, timeout=PLACE_SECONDS)
            except queue.Full:
                continue
            with contextlib.suppress(RuntimeError):  # the loop has ended: so has the agent
                self._loop.call_soon_threadsafe(self.more.set)
                return True
        return False


def _lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Of a terminal the log comes in any pieces; else a piece is a line, or a part of a long one, with its stamp."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    yield rest


def _line(raw: bytes) -> LogLine | None:
    stamp, _, message = raw.decode(errors="replace").rstrip("\r\n").partition(" ")
    if len(stamp) != _STAMP_CHARACTERS:
        return None
    return LogLine(stamp, _epoch_ms(stamp), message)


def _epoch_ms(stamp: str) -> int:
    return int(datetime.fromisoformat(stamp[:23] + "+00:00").timestamp() * 1000)
