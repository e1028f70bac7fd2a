"""Facts given to a task's machine. Effects never raise into the engine's loop: they come back as one of these."""

import msgspec

from agent.core.health import Health
from agent.core.spec import Address, Port, TaskSpec
from wire.status import DesiredStatus


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is so. `task` is the ARN; `cause` the id of what led here, for the story."""

    task: str
    cause: str = ""


class Desired(Event, frozen=True, kw_only=True):
    """The control plane wants this of the task. `spec` is None where only the ARN was sent (a stop)."""

    desired: DesiredStatus
    spec: TaskSpec | None = None
    refusal: str = ""
    """Why the payload of this task could not be read; such a task is reported STOPPED."""
    force: bool = False
    """With a stop: the rest of every grace is cut."""


class Admitted(Event, frozen=True, kw_only=True):
    """The host ledger holds room for the task."""


class Impossible(Event, frozen=True, kw_only=True):
    """The task can never fit this host."""

    reason: str


class ContainerEvent(Event, frozen=True, kw_only=True):
    """A fact about one container of the task."""

    container: str


class Pulled(ContainerEvent, frozen=True, kw_only=True):
    """Its image is here. Times are epoch seconds, and None where nothing had to be pulled."""

    digest: str = ""
    """The registry's digest; empty for an image that only this host knows."""
    pull_started_at: float | None = None
    pull_stopped_at: float | None = None
    error: str = ""
    """Why the registry could not be asked, where the local image stands in."""


class Created(ContainerEvent, frozen=True, kw_only=True):
    """Docker has created it. `stop_signal` is the image's, when it was looked at, or the configuration's."""

    docker_id: str
    stop_signal: str = "SIGTERM"


class Started(ContainerEvent, frozen=True, kw_only=True):
    """It runs. Epoch seconds, Docker's."""

    docker_id: str
    at: float
    ports: tuple[Port, ...] = ()
    address: Address | None = None
    stop_signal: str = ""
    """As Docker has it; empty where that was not looked at."""


class HealthChanged(ContainerEvent, frozen=True, kw_only=True):
    """Docker's health check has come to another result."""

    health: Health


class Exited(ContainerEvent, frozen=True, kw_only=True):
    """It has been seen to exit. `finished_at` is Docker's, epoch seconds."""

    exit_code: int | None
    finished_at: float | None
    error: str = ""
    """`OutOfMemoryError: ...`, `ContainerVanishedError: ...`; empty for an ordinary exit."""


class SignalSent(ContainerEvent, frozen=True, kw_only=True):
    """Docker has delivered the stop signal. Epoch seconds at delivery."""

    at: float


class KillSent(ContainerEvent, frozen=True, kw_only=True):
    """Docker has delivered SIGKILL."""


class RuntimeFault(ContainerEvent, frozen=True, kw_only=True):
    """A call to the container runtime failed."""

    call: str
    """`pull`, `create`, `start`, `signal` or `kill`."""
    error: str
    """`<ErrorName>: <text>`, with Amazon's error names."""
    is_away: bool = False
    """The runtime did not answer at all."""


class TimerFired(ContainerEvent, frozen=True, kw_only=True):
    """A timer has fired. For a finished matter that is a legal no-op."""

    timer: str


class ReportAccepted(Event, frozen=True, kw_only=True):
    """The control plane has taken the oldest report of the outbox (or refused it for good)."""

    number: int


class Absent(ContainerEvent, frozen=True, kw_only=True):
    """After a restart of the agent: Docker knows no such container."""
