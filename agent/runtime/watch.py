"""Docker's event stream, read in a thread of its own and handed to the loop. It reconnects; gaps are told."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import docker
import docker.errors
import msgspec
import requests
import urllib3

RECONNECT_SECONDS = 0.5
OOM_MAX = 1000
"""Containers remembered as out of memory between Docker's `oom` and `die`, in whichever order they come."""
NANO = 1e-9


class Die(msgspec.Struct, frozen=True):
    """Docker's `die`."""

    docker_id: str
    at: float
    exit_code: int | None
    labels: dict[str, str]
    out_of_memory: bool


class Change(msgspec.Struct, frozen=True):
    """Docker's `start`, or `health_status` with its word in capitals."""

    docker_id: str
    at: float
    labels: dict[str, str]
    health: str = ""


class EventStream:
    """Calls back, in the loop's thread, for exits, starts, changes of health, and when the stream begins anew."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: docker.APIClient,
        labels: list[str],
        *,
        on_die: Callable[[Die], None],
        on_change: Callable[[Change], None],
        on_gap: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._client = client
        self._filters = {"type": "container", "event": ["die", "oom", "start", "health_status"], "label": labels}
        self._on_die = on_die
        self._on_change = on_change
        self._on_gap = on_gap
        self._stopped = threading.Event()
        self._out_of_memory: dict[str, None] = {}
        self._thread = threading.Thread(target=self._run, name="docker-events", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """End; the thread is a daemon and its read may be blocked, so it is not waited for."""
        self._stopped.set()

    def take_out_of_memory(self, docker_id: str) -> bool:
        """Whether an `oom` has come that no `die` has told of yet; it counts once."""
        return self._out_of_memory.pop(docker_id, self) is None

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                stream = self._client.events(filters=self._filters, decode=True)
                self._hand_over(self._on_gap)
                for event in stream:
                    self._read(event)
            except (
                docker.errors.DockerException,
                requests.exceptions.RequestException,
                urllib3.exceptions.HTTPError,
                OSError,
            ):
                pass  # the engine went away; what was missed is listed after
            self._stopped.wait(RECONNECT_SECONDS)

    def _read(self, event: dict[str, Any]) -> None:
        docker_id, action = event["Actor"]["ID"], event["Action"]
        if action == "start":
            self._out_of_memory.pop(docker_id, None)
        if action == "start" or action.startswith("health_status"):
            health = action.partition(": ")[2].upper()
            if health in ("", "HEALTHY", "UNHEALTHY"):
                change = Change(docker_id, event["timeNano"] * NANO, event["Actor"]["Attributes"], health)
                self._hand_over(self._on_change, change)
            return
        if action == "oom":
            if len(self._out_of_memory) >= OOM_MAX:
                self._out_of_memory.pop(next(iter(self._out_of_memory)))
            self._out_of_memory[docker_id] = None
            return
        attributes = event["Actor"]["Attributes"]
        exit_code = attributes.get("exitCode")
        die = Die(
            docker_id,
            event["timeNano"] * NANO,
            int(exit_code) if exit_code else None,
            attributes,
            self.take_out_of_memory(docker_id),
        )
        self._hand_over(self._on_die, die)

    def _hand_over(self, callback: Callable[..., None], *arguments: object) -> None:
        if not self._stopped.is_set() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, *arguments)
