"""Docker's own record of a run: what its events say about the starts, signals and exits of our containers.

The one place of the command line that knows Docker. Times are Docker's (nanoseconds there, epoch seconds here).
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import docker
import msgspec
from docker.errors import DockerException, ImageNotFound

from berth.errors import UserError

TASK_LABEL = "com.amazonaws.ecs.task-arn"
REVISION_LABEL = "com.amazonaws.ecs.task-definition-version"
RUN_LABEL = "berth.run"
ACTIONS = ("start", "kill", "die")
EVENTS_MAX = 10_000
NANO = 1e-9
READY = b"ready"
JOB_ARRIVED = b"a job arrives"
JOB_ATTEMPTS = 120
JOB_ATTEMPT_SECONDS = 0.25


class Event(msgspec.Struct, frozen=True):
    """One event of a container."""

    at: float
    """Epoch seconds."""
    action: str
    """`start`, `kill` (any signal) or `die`."""
    container: str
    task: str
    """ARN."""
    revision: int
    signal: int | None = None
    exit_code: int | None = None


class Evidence(msgspec.Struct):
    """The record: events in the order in which Docker told them."""

    events: list[Event] = []
    trouble: str = ""
    """Why the record is not whole; empty where it is."""

    def of(self, task: str, action: str) -> Iterator[Event]:
        """Events of one task (ARN) with that action, oldest first."""
        return (event for event in self.events if event.task == task and event.action == action)

    def running(self, revision: int) -> int:
        """How many containers of a revision have been started."""
        return self._count(revision, "start")

    def gone(self, revision: int) -> int:
        """How many containers of a revision have died."""
        return self._count(revision, "die")

    def _count(self, revision: int, action: str) -> int:
        return len({e.container for e in self.events if e.revision == revision and e.action == action})


class Recorder:
    """Records the events of the containers that carry one run's label, in a thread of its own."""

    def __init__(self, evidence: Evidence, run: str, on_event: Callable[[], None]) -> None:
        self._evidence = evidence
        self._run = run
        self._on_event = on_event
        self._client = docker.from_env()
        self._loop = asyncio.get_running_loop()
        self._stream: Any = None
        self._is_closing = False
        self._thread = threading.Thread(target=self._read, name="docker-events", daemon=True)

    def start(self) -> None:
        """Begin to listen; from its return on nothing is missed."""
        filters = {"type": "container", "label": f"{RUN_LABEL}={self._run}", "event": list(ACTIONS)}
        self._stream = self._client.events(filters=filters, decode=True)
        self._thread.start()

    def close(self) -> None:
        """Stop to listen."""
        self._is_closing = True
        if self._stream is not None:
            with contextlib.suppress(Exception):  # closing under a reader may fail in as many ways as sockets have
                self._stream.close()
            self._thread.join(timeout=2)
        self._client.close()

    async def give_job(self, task: str) -> None:
        """A job arrives at the task's container (SIGUSR1); returns when its own log says so.

        Raises:
            DockerException: Docker refuses.
            TimeoutError: the container does not take it.
        """
        container = next(self._evidence.of(task, "start")).container
        for _ in range(JOB_ATTEMPTS):
            if await asyncio.to_thread(self._offer_job, container):
                return
            await asyncio.sleep(JOB_ATTEMPT_SECONDS)
        raise TimeoutError(f"Container {container[:12]} did not take its job.")

    def _offer_job(self, container_id: str) -> bool:
        container = self._client.containers.get(container_id)
        said = container.logs()
        if READY in said and JOB_ARRIVED not in said:
            container.kill("SIGUSR1")
        return JOB_ARRIVED in said

    def _read(self) -> None:
        try:
            for raw in self._stream:
                self._loop.call_soon_threadsafe(self._take, raw)
            why = "Docker's events ended"
        except Exception as error:  # noqa: BLE001 - whatever ends the stream, the record ends with it
            why = str(error)
        with contextlib.suppress(RuntimeError):  # the loop has gone
            self._loop.call_soon_threadsafe(self._break_off, why)

    def _take(self, raw: dict[str, Any]) -> None:
        if len(self._evidence.events) >= EVENTS_MAX:
            return self._break_off(f"more than {EVENTS_MAX} events")
        self._evidence.events.append(_event(raw))
        return self._on_event()

    def _break_off(self, why: str) -> None:
        if not self._is_closing:
            self._evidence.trouble = self._evidence.trouble or why
            self._on_event()


def _event(raw: dict[str, Any]) -> Event:
    attributes = raw["Actor"]["Attributes"]
    return Event(
        at=raw["timeNano"] * NANO,
        action=raw["Action"],
        container=raw["Actor"]["ID"],
        task=attributes.get(TASK_LABEL, ""),
        revision=int(attributes.get(REVISION_LABEL) or 0),
        signal=_integer(attributes.get("signal")),
        exit_code=_integer(attributes.get("exitCode")),
    )


def check_image(image: str) -> None:
    """The image must be here; nothing pulls it.

    Raises:
        UserError: it is not.
    """
    try:
        client = docker.from_env()
        try:
            client.images.get(image)
        finally:
            client.close()
    except ImageNotFound:
        raise UserError(f"The image {image} is not there: run `make images` in a checkout of berth.") from None
    except DockerException as error:
        raise UserError(f"Docker cannot be asked for its images: {error}") from None


def _integer(text: str | None) -> int | None:
    return int(text) if text else None
