"""The runtime port: the few verbs that the agent needs of a container runtime.

A call that fails raises `RuntimeCallError` with Amazon's error name; the engine turns it into a fact.
Every call is bounded in time by the implementation.
"""

from collections.abc import Callable, Collection
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import msgspec

from agent.core.health import Health
from agent.core.spec import Address, ContainerSpec, Port, TaskSpec


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
    health: Health = Health()


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image on this host."""

    image_id: str
    digest: str = ""
    """`sha256:...` of the registry it came from; empty for an image that only this host knows."""
    variables: frozenset[str] = frozenset()
    """Names of the environment variables that it sets."""
    stop_signal: str = ""
    """Its STOPSIGNAL; empty where it says none."""


class Login(msgspec.Struct, frozen=True):
    """Credentials for a registry."""

    username: str
    password: str


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


class NoAnswerError(RuntimeCallError):
    """The runtime is away, or hangs: whether it has done what it was asked for is not known."""


class RefusedError(RuntimeCallError):
    """A registry has given a definite answer: there is no such image, or it is not for us. Asking again is no use."""


class UnreachableError(Exception):
    """There is no container runtime to talk to; the message is one sentence with the fix."""


class ForbiddenError(UnreachableError):
    """It is there, and not for this user: waiting is no use."""


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


OnFound = Callable[[Found], None]
"""Called in the loop's thread for every exit, start and change of health that the runtime tells of."""
OnGap = Callable[[], None]
"""Called in the loop's thread when exits may have gone untold: list the containers and look."""


class Furnishes(Protocol):
    """What the agent adds to its containers besides what their task says. Called in the runtime's threads."""

    def furnish(self, task: TaskSpec, container: ContainerSpec, image_variables: Collection[str]) -> ContainerSpec:
        """The container as it is to be created; `image_variables` are the names that its image sets."""
        ...

    def started(self, task: str, container: str, inspected: dict[str, Any]) -> None:
        """It runs; `inspected` is the runtime's own description. It does not raise."""
        ...

    def removed(self) -> None:
        """A container was removed. It does not raise."""
        ...


class Runtime(Protocol):
    """What the engine needs. Containers are named after their task, so that a call can be made twice."""

    async def version(self) -> str:
        """The engine's version. Raises `UnreachableError`."""
        ...

    async def image(self, name: str) -> Image | None:
        """An image by its name; None where it is not on this host."""
        ...

    async def manifest(self, name: str, login: Login | None) -> str:
        """Ask the registry for the image's digest. Raises `RefusedError`; CannotPullImageManifestError."""
        ...

    async def pull(self, name: str, login: Login | None, inactivity_seconds: float) -> None:
        """Pull it. Cancelling cuts the pull short. Raises `RefusedError`; CannotPullContainerError."""
        ...

    async def remove_image(self, name: str) -> None:
        """Remove a name of an image, and the image with its last name; one that is gone already is no error."""
        ...

    async def create(self, task: TaskSpec, container: ContainerSpec) -> Found:
        """Create the container; one of the same name and task is adopted as it is."""
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

    async def remove(self, docker_id: str, *, force: bool = False) -> None:
        """Remove a stopped container, with `force` a running one too; one that is gone already is no error."""
        ...

    async def remove_resources(self, task: TaskSpec) -> None:
        """Remove what was made for `task` besides its containers, once these are gone; what is gone is no error."""
        ...

    async def containers(self) -> list[Listed]:
        """Every container of this agent, running or not."""
        ...

    def watch(self, on_found: OnFound, on_gap: OnGap) -> None:
        """Tell of exits, starts and health from now on. An exit may be told twice; a gap calls `on_gap` once."""
        ...

    async def close(self) -> None:
        """Stop watching; containers stay as they are."""
        ...
