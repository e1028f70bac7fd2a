"""The runtime port: the few verbs that the agent needs of a container runtime.

A call that fails raises `RuntimeCallError` with Amazon's error name; the engine turns it into a fact.
Every call is bounded in time by the implementation.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

from agent.core.spec import Address, ContainerSpec, Port, TaskSpec


class PullBehavior(StrEnum):
    """`ECS_IMAGE_PULL_BEHAVIOR`."""

    DEFAULT = "default"
    """Pull; use the local image where that fails."""
    ALWAYS = "always"
    """Pull, or fail."""
    ONCE = "once"
    """Pull unless a task of this agent has pulled it before."""
    PREFER_CACHED = "prefer-cached"
    """Use the local image where there is one; else pull."""


class ContainerLife(StrEnum):
    """What the runtime says of a container."""

    CREATED = "CREATED"
    RUNNING = "RUNNING"
    EXITED = "EXITED"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A container as the runtime has it. Times are epoch seconds, the runtime's own."""

    docker_id: str
    task: str
    container: str
    life: ContainerLife
    stop_signal: str = "SIGTERM"
    started_at: float | None = None
    finished_at: float | None = None
    exit_code: int | None = None
    error: str = ""
    """`OutOfMemoryError: ...` or the like; empty for an ordinary life."""
    ports: tuple[Port, ...] = ()
    address: Address | None = None
    """Of a container that holds its task's network."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A container in a list: enough to see what is missing."""

    docker_id: str
    task: str
    container: str
    is_running: bool


class RuntimeCallError(Exception):
    """The runtime refused, failed or did not answer in time."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")


class NotRunningError(RuntimeCallError):
    """A signal found nobody: the container has ended, or is gone."""


class UnreachableError(Exception):
    """There is no container runtime to talk to; the message is one sentence with the fix."""


class LogLine(NamedTuple):
    """A line that a container wrote. `stamp` is the runtime's own, of fixed width: as text it sorts as time does."""

    stamp: str
    at_ms: int
    """Epoch milliseconds."""
    message: str


class LogSink(Protocol):
    """Where the lines of `awslogs` containers go. Both calls wait as long as it takes."""

    async def newest(self, group: str, stream: str) -> str:
        """Stamp of the newest line that the stream has; "" where it has none."""
        ...

    async def put(self, group: str, stream: str, lines: list[LogLine]) -> None:
        """Add lines, in order, each behind `newest`. Twice is once."""
        ...


OnExit = Callable[[Found], None]
"""Called in the loop's thread for every exit that the runtime tells of."""
OnGap = Callable[[], None]
"""Called in the loop's thread when exits may have gone untold: list the containers and look."""


class Runtime(Protocol):
    """What the engine needs. Containers are named after their task, so that a call can be made twice."""

    async def version(self) -> str:
        """The engine's version. Raises `UnreachableError`."""
        ...

    async def create(self, task: TaskSpec, container: ContainerSpec) -> Found:
        """See to the image and create the container; one of the same name and task is adopted as it is."""
        ...

    async def start(self, docker_id: str) -> Found:
        """Start it; one that runs already is left alone."""
        ...

    async def signal(self, docker_id: str, signal: str) -> None:
        """Send a signal to the container's first process. Raises `NotRunningError` where there is none."""
        ...

    async def inspect(self, docker_id: str) -> Found | None:
        """One container; None where the runtime knows of none."""
        ...

    async def remove(self, docker_id: str) -> None:
        """Remove a stopped container; one that is gone already is no error."""
        ...

    async def remove_resources(self, task: TaskSpec) -> None:
        """Remove what was made for `task` besides its containers, once these are gone; what is gone is no error."""
        ...

    async def containers(self) -> list[Listed]:
        """Every container of this agent, running or not."""
        ...

    def watch(self, on_exit: OnExit, on_gap: OnGap) -> None:
        """Tell of exits from now on. An exit may be told twice; after a gap `on_gap` is called once."""
        ...

    async def close(self) -> None:
        """Stop watching; containers stay as they are."""
        ...
