"""What the machine of a task knows: the part that the journal keeps, and the agent's policy beside it."""

from enum import StrEnum

import msgspec

from agent.core.events import Exited
from agent.core.ladder import Known
from agent.core.reporting import Outbox
from agent.core.spec import ContainerSpec, Port, TaskSpec
from agent.core.stopping import GiveUp, Stage, Stop
from wire.status import DesiredStatus


class Release(StrEnum):
    """`ECS_RESOURCE_RELEASE`: when the release of a task's resources is reported."""

    EAGER = "eager"
    """As soon as the stop is accepted: what Amazon's control plane assumes of every agent."""
    ON_EXIT = "on-exit"
    """When every container of the task has been seen to exit."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's policy, as far as a task's machine needs it."""

    release: Release = Release.EAGER
    give_up: GiveUp = GiveUp.HOLD
    stop_timeout_seconds: float = 30
    """`ECS_CONTAINER_STOP_TIMEOUT`."""
    cleanup_seconds: float = 3 * 3600
    """`ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION`."""
    queue_limit_seconds: float | None = None
    """Longest wait for room before the task fails (`ECS_TASK_QUEUE=greedy:SECONDS`); None is for ever."""


class RoomState(StrEnum):
    """What the task has on the host ledger."""

    NONE = "NONE"
    QUEUED = "QUEUED"
    HELD = "HELD"
    RELEASED = "RELEASED"


class ContainerState(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What is known of one container. `busy` is a call in flight; neither it nor `early_exit` outlives us."""

    spec: ContainerSpec
    known: Known = Known.NONE
    busy: str = ""
    docker_id: str = ""
    stop_signal: str = "SIGTERM"
    ever_started: bool = False
    exit_code: int | None = None
    finished_at: float | None = None
    reason: str = ""
    ports: tuple[Port, ...] = ()
    stop: Stop | None = None
    told: Known = Known.NONE
    """The highest status that is in a report."""
    early_exit: Exited | None = None
    """An exit seen before the start call answered; it counts once the start is known to have worked."""

    @property
    def gave_up(self) -> bool:
        """Declared stopped without proof."""
        return self.stop is not None and self.stop.stage is Stage.GAVE_UP


class TaskState(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Everything that must survive: the journal keeps it whole. Times are epoch seconds."""

    spec: TaskSpec
    containers: list[ContainerState]
    desired: DesiredStatus = DesiredStatus.RUNNING
    known: Known = Known.NONE
    room: RoomState = RoomState.NONE
    order: float = 0
    """When it asked for room: the queue's order after a restart."""
    reason: str = ""
    """Why the task as a whole cannot be run; reported with its STOPPED."""
    cause: str = ""
    stop_requested: bool = False
    """The control plane has asked for the stop; a task can also want to stop by itself."""
    execution_stopped_at: float | None = None
    stopped_at: float | None = None
    outbox: list[Outbox] = []
    reports: int = 0
