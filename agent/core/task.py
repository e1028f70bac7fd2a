"""The machine of one task: facts in, instructions out, everything that it must know after a crash in `TaskState`.

After each fact the machine settles: it derives what is wanted, moves each container one step towards it, derives the
task's own status, and puts what changed into the outbox. It never waits and never asks Docker or the clock.

Source: amazon-ecs-agent `engine/task_manager.go`, `api/task/task.go`; where we differ, `docs/decisions/` says why.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from agent.core import pause, stopping
from agent.core.acting import for_stop
from agent.core.events import (
    Absent,
    Admitted,
    ContainerEvent,
    Created,
    Desired,
    Event,
    Exited,
    KillSent,
    ReportAccepted,
    RuntimeFault,
    SignalSent,
    Started,
    TimerFired,
)
from agent.core.instructions import (
    AskRoom,
    CreateContainer,
    Forget,
    Instruction,
    NoteStopping,
    ReleaseHost,
    RemoveContainer,
    RemoveResources,
    Send,
    StartContainer,
    StartTimer,
    Tell,
    WithdrawRoom,
)
from agent.core.ladder import Known, known_of_task
from agent.core.reporting import AddressReport, Outbox, ReleaseReport
from agent.core.spec import TaskSpec, cost
from agent.core.state import ContainerState, InvalidTransition, Release, RoomState, Settings, TaskState
from agent.core.stopping import Act, Fact, Stage
from wire.holds import Proof
from wire.status import DesiredStatus
from wire.story import Kind


class TaskMachine:
    """One task. `handle` is the whole interface; `state` is what the journal keeps."""

    def __init__(self, state: TaskState, settings: Settings) -> None:
        self.state = state
        self.settings = settings
        self._out: list[Instruction] = []

    @classmethod
    def accept(cls, event: Desired, settings: Settings) -> "TaskMachine":
        """A machine for a task that was never heard of. Feed it the same event next."""
        spec = event.spec or TaskSpec(arn=event.task)
        containers = [ContainerState(spec=container) for container in (*pause.pauses_of(spec), *spec.containers)]
        return cls(TaskState(spec=spec, containers=containers), settings)

    @property
    def arn(self) -> str:
        """The task's ARN."""
        return self.state.spec.arn

    @property
    def is_over(self) -> bool:
        """Stopped, and everything about it told."""
        return self.state.known is Known.STOPPED and not self.state.outbox

    # ---- facts -------------------------------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Take in a fact; returns what to do about it. Facts that come twice, or too late, change nothing."""
        assert event.task == self.arn
        self._out = []
        match event:
            case Desired():
                self._on_desired(event, now)
            case Admitted():
                if self.state.room is RoomState.QUEUED:
                    self.state.room = RoomState.HELD
            case ReportAccepted(number=number):
                self._on_accepted(number, now)
            case TimerFired(container=""):
                self._on_task_timer(event.timer)
            case ContainerEvent():
                self._on_container(event, now)
            case _:
                raise InvalidTransition(event, self.state)
        self._settle(self._cause(event), now)
        return self._out

    def resume(self, found: list[ContainerEvent], now: float) -> list[Instruction]:
        """After a restart of the agent: what Docker says of the containers, all of it, before anything is decided.

        The room is taken again, waiting reports are sent, stops go on at their original deadlines.
        """
        self._out = []
        state = self.state
        if state.room in (RoomState.HELD, RoomState.QUEUED):
            held = state.room is RoomState.HELD
            self._do(AskRoom(task=self.arn, amounts=cost(state.spec), resumed=held))
        if state.outbox:
            self._do(Send(task=self.arn))
        for container in state.containers:
            container.busy, container.early_exit = "", None
        for event in found:
            self._on_container(event, now)
        for container in state.containers:
            if container.stop is not None and container.known is Known.RUNNING:
                self._do(for_stop(self.arn, container, stopping.resume(container.stop)))
        self._settle(state.cause, now)
        if self.is_over:
            self._await_cleanup(now)
        return self._out

    def _on_desired(self, event: Desired, now: float) -> None:
        state = self.state
        first = not state.cause
        state.cause = state.cause or event.cause
        if first or (event.desired is DesiredStatus.STOPPED and not state.stop_requested):
            self._tell(Kind.TASK_ACCEPTED, event.cause, desired=event.desired)
        if first and event.desired is DesiredStatus.RUNNING:
            if event.refusal or not state.spec.containers:
                why = event.refusal or "it has no containers"
                self._fail(f"UnrecogniedTaskError: Error loading task - {why}")
                return
            state.order = now
            state.room = RoomState.QUEUED
            self._do(AskRoom(task=self.arn, amounts=cost(state.spec)))
            if self.settings.queue_limit_seconds is not None:
                at = now + self.settings.queue_limit_seconds
                self._do(StartTimer(task=self.arn, container="", timer="queue", at=at))
        if event.desired is DesiredStatus.STOPPED and not state.stop_requested:
            state.stop_requested = True
            state.desired = DesiredStatus.STOPPED
            state.cause = event.cause
            if state.room is RoomState.HELD and self.settings.release is Release.EAGER:
                self._report_release(Proof.STOP_REQUESTED, event.cause, now)

    def _on_accepted(self, number: int, now: float) -> None:
        outbox = self.state.outbox
        if outbox and outbox[0].number == number:
            outbox.pop(0)
            if outbox:
                self._do(Send(task=self.arn))
            elif self.is_over:
                self._await_cleanup(now)

    def _on_task_timer(self, timer: str) -> None:
        if timer == "queue" and self.state.room is RoomState.QUEUED:
            self._fail("TaskEngineError: no room on the host within the queue's limit")
        elif timer == "cleanup" and self.is_over:
            for container in self.state.containers:
                if container.docker_id:
                    name = container.spec.name
                    self._do(RemoveContainer(task=self.arn, container=name, docker_id=container.docker_id))
            self._do(RemoveResources(task=self.arn, of=self.state.spec))
            self._do(Forget(task=self.arn))

    def _on_container(self, event: ContainerEvent, now: float) -> None:
        container = self._container(event.container)
        if container is None or container.known is Known.STOPPED:
            return
        _HANDLERS[type(event)](self, container, event, now)

    def _on_created(self, container: ContainerState, event: Created, _now: float) -> None:
        container.busy = ""
        container.docker_id = event.docker_id
        container.stop_signal = event.stop_signal
        container.known = max(container.known, Known.CREATED)
        self._tell(Kind.CONTAINER_CREATED, event.cause, container=event.container, docker_id=event.docker_id)

    def _on_started(self, container: ContainerState, event: Started, now: float) -> None:
        container.busy = ""
        container.docker_id = event.docker_id
        container.ports = event.ports or container.ports
        if container.known >= Known.RUNNING:
            return
        container.known = Known.RUNNING
        container.ever_started = True
        if event.address is not None:
            self._queue(AddressReport(number=self.state.reports, cause=event.cause, address=event.address))
        self._tell(Kind.CONTAINER_STARTED, event.cause, container=event.container, docker_id=event.docker_id)
        if container.early_exit is not None:
            self._on_exited(container, container.early_exit, now)

    def _on_absent(self, container: ContainerState, event: Absent, now: float) -> None:
        if container.known is Known.NONE:
            return  # never created: the next step creates it
        gone = Exited(
            task=self.arn,
            cause=event.cause,
            container=event.container,
            exit_code=None,
            finished_at=None,
            error="ContainerVanishedError: No container matching saved ID found",
        )
        self._on_exited(container, gone, now)

    def _on_exited(self, container: ContainerState, event: Exited, now: float) -> None:
        if container.busy == "start":
            container.early_exit = event
            return
        container.busy, container.early_exit = "", None
        container.known = Known.STOPPED
        container.ever_started = True
        container.exit_code = event.exit_code
        container.finished_at = event.finished_at
        container.reason = container.reason or event.error
        if container.spec.essential and self.state.execution_stopped_at is None:
            self.state.execution_stopped_at = event.finished_at or now
        self._tell(
            Kind.CONTAINER_EXITED,
            self._cause(event),
            container=event.container,
            exit_code=event.exit_code,
            finished_at=event.finished_at,
            error=event.error or None,
        )

    def _on_signal_sent(self, container: ContainerState, event: SignalSent, _now: float) -> None:
        self._step(container, Fact.SIGNAL_SENT, event.at)

    def _on_kill_sent(self, container: ContainerState, _event: KillSent, now: float) -> None:
        self._step(container, Fact.KILL_SENT, now)

    def _on_timer(self, container: ContainerState, event: TimerFired, now: float) -> None:
        self._step(container, Fact(event.timer), now)

    def _on_fault(self, container: ContainerState, event: RuntimeFault, now: float) -> None:
        container.busy, container.early_exit = "", None
        name = container.spec.name
        self._tell(Kind.RUNTIME_FAULT, event.cause, container=name, call=event.call, error=event.error)
        if event.call in ("create", "start"):
            container.reason = container.reason or event.error
            container.known = Known.STOPPED
            return
        self._step(container, Fact.FAULT, now)
        if container.gave_up:
            container.reason = f"CannotStopContainerError: {event.error}"
            container.known = Known.STOPPED
            self._tell(Kind.STOP_UNPROVEN, event.cause, container=name, error=event.error)

    # ---- settling ----------------------------------------------------------------------------------------------

    def _settle(self, cause: str, now: float) -> None:
        state = self.state
        if any(c.spec.essential and c.known is Known.STOPPED for c in state.containers):
            state.reason = state.reason or pause.failure(state)
            state.desired = DesiredStatus.STOPPED
        if state.desired is DesiredStatus.STOPPED:
            self._stop_containers(now)
        elif state.room is RoomState.HELD:
            self._start_containers()
        self._climb(cause, now)

    def _start_containers(self) -> None:
        for container in self.state.containers:
            if container.busy or pause.waits_to_start(container, self.state):
                continue
            name = container.spec.name
            if container.known is Known.NONE:
                container.busy = "create"
                self._do(CreateContainer(task=self.arn, container=name, of=self.state.spec, spec=container.spec))
            elif container.known is Known.CREATED:
                container.busy = "start"
                self._do(
                    StartContainer(
                        task=self.arn,
                        container=name,
                        docker_id=container.docker_id,
                        of=self.state.spec,
                        spec=container.spec,
                    )
                )

    def _stop_containers(self, now: float) -> None:
        """Unrelated containers stop in parallel. One whose start is in flight is stopped when it has started."""
        state = self.state
        if state.room is RoomState.QUEUED:
            state.room = RoomState.NONE
            self._do(WithdrawRoom(task=self.arn))
        for container in state.containers:
            if container.known < Known.RUNNING and not container.busy:
                container.known = Known.STOPPED
            elif (
                container.known is Known.RUNNING
                and container.stop is None
                and not pause.waits_to_stop(container, state)
            ):
                grace = stopping.grace_seconds(container.spec.stop_timeout_seconds, self.settings.stop_timeout_seconds)
                container.stop, act = stopping.begin(grace, now)
                self._do(NoteStopping(task=self.arn))
                self._do(for_stop(self.arn, container, act))

    def _climb(self, cause: str, now: float) -> None:
        state = self.state
        known = known_of_task((c.known, c.spec.essential) for c in state.containers)
        climbed = known > state.known
        if climbed:
            state.known = known
            self._tell(Kind.TASK_KNOWN, cause, known=known.name, reason=state.reason)
        if climbed and known is Known.STOPPED:
            state.stopped_at = now
            self._end_room(cause, now)
            self._queue(state.report("STOPPED", cause))
        elif known is not Known.STOPPED and state.known is Known.RUNNING and state.has_untold:
            self._queue(state.report("RUNNING", cause))

    def _end_room(self, cause: str, now: float) -> None:
        state = self.state
        if state.room is not RoomState.HELD:
            return
        proof = state.proof
        state.room = RoomState.RELEASED
        self._do(ReleaseHost(task=self.arn, proof=proof))
        if self.settings.release is Release.ON_EXIT:
            self._report_release(proof, cause, now)

    # ---- stops -------------------------------------------------------------------------------------------------

    def _step(self, container: ContainerState, fact: Fact, now: float) -> None:
        if container.stop is None:
            return
        before = container.stop.stage
        act = stopping.step(container.stop, fact, now, self.settings.give_up)
        if before is not container.stop.stage is Stage.KILLING:  # Docker answers a SIGKILL only after the exit
            self._tell(Kind.CONTAINER_KILLED, self.state.cause, container=container.spec.name)
        if fact is Fact.SIGNAL_SENT and act is Act.WAIT_DEADLINE:
            self._tell(
                Kind.CONTAINER_SIGNALLED,
                self.state.cause,
                container=container.spec.name,
                signal=container.stop_signal,
                grace_seconds=container.stop.grace_seconds,
                deadline=container.stop.deadline,
            )
        if act is not None:
            self._do(for_stop(self.arn, container, act))

    # ---- telling -----------------------------------------------------------------------------------------------

    def _report_release(self, proof: Proof, cause: str, now: float) -> None:
        self._tell(Kind.RELEASE_REPORTED, cause, proof=proof)
        self._queue(ReleaseReport(number=self.state.reports, cause=cause, released_at=now, proof=proof))

    def _queue(self, report: Outbox) -> None:
        state = self.state
        state.reports += 1
        state.outbox.append(report)
        # Each container is told at most twice, the task's end and its release once each.
        assert len(state.outbox) <= 2 * len(state.containers) + 2
        if len(state.outbox) == 1:
            self._do(Send(task=self.arn))

    def _await_cleanup(self, now: float) -> None:
        at = max((self.state.stopped_at or now) + self.settings.cleanup_seconds, now)
        self._do(StartTimer(task=self.arn, container="", timer="cleanup", at=at))

    def _fail(self, reason: str) -> None:
        self.state.reason = reason
        self.state.desired = DesiredStatus.STOPPED

    def _cause(self, event: Event) -> str:
        """What happens to a task that was told to stop, happens because of that."""
        return self.state.cause if self.state.stop_requested else event.cause

    def _container(self, name: str) -> ContainerState | None:
        return next((c for c in self.state.containers if c.spec.name == name), None)

    def _do(self, instruction: Instruction) -> None:
        self._out.append(instruction)

    def _tell(self, kind: Kind, cause: str, **data: object) -> None:
        known = {key: value for key, value in data.items() if value is not None}
        self._do(Tell(task=self.arn, kind=kind, cause=cause, data=msgspec.to_builtins(known)))


_HANDLERS: dict[type[ContainerEvent], Callable[[TaskMachine, ContainerState, Any, float], None]] = {
    Created: TaskMachine._on_created,  # noqa: SLF001 - the table belongs to the class
    Started: TaskMachine._on_started,  # noqa: SLF001
    Exited: TaskMachine._on_exited,  # noqa: SLF001
    Absent: TaskMachine._on_absent,  # noqa: SLF001
    SignalSent: TaskMachine._on_signal_sent,  # noqa: SLF001
    KillSent: TaskMachine._on_kill_sent,  # noqa: SLF001
    RuntimeFault: TaskMachine._on_fault,  # noqa: SLF001
    TimerFired: TaskMachine._on_timer,  # noqa: SLF001
}
