"""What the machine of a task knows: the part that the journal keeps, and the agent's policy beside it."""

from enum import StrEnum

import msgspec

from agent.core.events import Event, Exited
from agent.core.health import Health
from agent.core.ladder import Known
from agent.core.reporting import ContainerReport, Outbox, StateReport
from agent.core.spec import Address, ContainerSpec, Port, TaskSpec
from agent.core.stopping import GiveUp, Stage, Stop
from wire.holds import Proof
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
    cleanup_jitter_seconds: float = 0
    """`ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION_JITTER`: up to so much more, each task its own share."""
    pull_upfront: bool = False
    """`ECS_PULL_DEPENDENT_CONTAINERS_UPFRONT`: images are pulled before a container's dependencies are met."""
    queue_limit_seconds: float | None = None
    """Longest wait for room before the task fails (`ECS_TASK_QUEUE=greedy:SECONDS`); None is for ever."""


class RoomState(StrEnum):
    """What the task has on the host ledger."""

    NONE = "NONE"
    QUEUED = "QUEUED"
    HELD = "HELD"
    RELEASED = "RELEASED"


class Busy(StrEnum):
    """A call in flight for a container that is on its way up."""

    NO = ""
    PULL = "pull"
    CREATE = "create"
    START = "start"


class ContainerState(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What is known of one container. `busy` is a call in flight; neither it nor `early_exit` outlives us."""

    spec: ContainerSpec
    known: Known = Known.NONE
    busy: Busy = Busy.NO
    docker_id: str = ""
    stop_signal: str = "SIGTERM"
    image_digest: str = ""
    pull_started_at: float | None = None
    pull_stopped_at: float | None = None
    ever_started: bool = False
    started_at: float | None = None
    """Its latest start, Docker's."""
    start_timed_out: bool = False
    """Its `startTimeout` is over."""
    health: Health = Health()
    restarts: int = 0
    """How often its restart policy has started it again."""
    restarted_at: float | None = None
    last_exit: Exited | None = None
    """The exit that a restart under way answers; it counts if the restart fails."""
    is_revived: bool = False
    """It has stopped, somebody has started it again, and it is being stopped again."""
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

    def report(self) -> ContainerReport:
        """What a report says of it."""
        return ContainerReport(
            name=self.spec.name,
            status=self.known.name if self.known >= Known.RUNNING else "PENDING",
            docker_id=self.docker_id or None,
            exit_code=self.exit_code,
            reason=self.reason or None,
            image_digest=self.image_digest or None,
            ports=self.ports,
        )


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
    force: bool = False
    """No container gets its grace any more."""
    was_restopped: bool = False
    """A container that somebody started again has been stopped again; that is done once."""
    execution_stopped_at: float | None = None
    stopped_at: float | None = None
    release_told: bool = False
    """The release of its room is in a report."""
    address: Address | None = None
    """Of a task with a network of its own."""
    address_told: bool = False
    """It is in a report."""
    outbox: list[Outbox] = []
    reports: int = 0

    @property
    def proof(self) -> Proof:
        """What the end of the task rests on, once all its containers have stopped."""
        if any(container.gave_up for container in self.containers):
            return Proof.GAVE_UP
        return Proof.EXIT_SEEN if any(c.ever_started for c in self.containers) else Proof.NEVER_STARTED

    @property
    def has_untold(self) -> bool:
        """A container that is reported has come to run or to stop since the last report."""
        return any(c.known >= Known.RUNNING and c.known > c.told for c in self.containers if not c.spec.internal)

    @property
    def is_waiting(self) -> bool:
        """Nothing is under way: some container waits for a condition of another."""
        return not any(container.busy for container in self.containers)

    def report(self, status: str, cause: str) -> StateReport:
        """All that is known now, as a report; what it says counts as told."""
        for container in self.containers:
            container.told = container.known
        pulls = [c for c in self.containers if c.pull_started_at is not None]
        return StateReport(
            number=self.reports,
            cause=cause,
            status=status,
            reason=self.reason,
            containers=tuple(container.report() for container in self.containers if not container.spec.internal),
            pull_started_at=min((c.pull_started_at or 0 for c in pulls), default=None),
            pull_stopped_at=max((c.pull_stopped_at or 0 for c in pulls), default=0) or None,
            execution_stopped_at=self.execution_stopped_at,
        )


class InvalidTransition(AssertionError):
    """A fact that cannot be, with the state that it met. A mistake of ours."""

    def __init__(self, event: Event, state: TaskState) -> None:
        super().__init__(f"{event!r} cannot happen to {state!r}")
