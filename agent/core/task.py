"""The machine of one task: facts in, instructions out, everything that it must know after a crash in `TaskState`.

After each fact the machine settles: it derives what is wanted, moves each container one step towards it, derives the
task's own status, and puts what changed into the outbox. It never waits and never asks Docker or the clock.

Source: amazon-ecs-agent `engine/task_manager.go`, `api/task/task.go`; where we differ, `docs/decisions/` says why.
"""

import zlib

from agent.core import containers, dependson, pause, starts, stopping, stops
from agent.core.acting import for_stop
from agent.core.events import (
    Admitted,
    ContainerEvent,
    Desired,
    Event,
    Impossible,
    ReportAccepted,
    TimerFired,
)
from agent.core.instructions import (
    AskRoom,
    Forget,
    Instruction,
    ReleaseHost,
    RemoveContainer,
    RemoveResources,
    Send,
    StartTimer,
)
from agent.core.ladder import Known, known_of_task
from agent.core.reporting import AddressReport, Outbox, ReleaseReport
from agent.core.spec import TaskSpec, cost
from agent.core.state import Busy, ContainerState, InvalidTransition, Release, RoomState, Settings, TaskState
from agent.core.turn import Turn
from wire.holds import Proof
from wire.status import DesiredStatus
from wire.story import Kind


class TaskMachine:
    """One task. `handle` is the whole interface; `state` is what the journal keeps."""

    def __init__(self, state: TaskState, settings: Settings) -> None:
        self.state = state
        self.settings = settings

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
        turn = Turn(self.state, self.settings, now, event.cause)
        match event:
            case Desired():
                self._on_desired(turn, event)
            case Admitted():
                if self.state.room is RoomState.QUEUED:
                    self.state.room = RoomState.HELD
            case Impossible(reason=reason):
                self.state.room = RoomState.NONE
                self._fail(reason)
            case ReportAccepted(number=number):
                self._on_accepted(turn, number)
            case TimerFired(container=""):
                self._on_task_timer(turn, event.timer)
            case ContainerEvent():
                containers.take(turn, event)
            case _:
                raise InvalidTransition(event, self.state)
        self._settle(turn)
        return turn.instructions

    def shift(self, seconds: float) -> bool:
        """The wall clock was set: what has been waited for stays as far away as it was. True where that is news."""
        stops = [container.stop for container in self.state.containers if container.stop is not None]
        for stop in stops:
            stopping.shift(stop, seconds)
        restarted = [container for container in self.state.containers if container.restarted_at is not None]
        for container in restarted:
            container.restarted_at = (container.restarted_at or 0.0) + seconds
        if self.state.room is RoomState.QUEUED:
            self.state.order += seconds
        return bool(stops or restarted) or self.state.room is RoomState.QUEUED

    def resume(self, found: list[ContainerEvent], now: float) -> list[Instruction]:
        """After a restart of the agent: what Docker says of the containers, all of it, before anything is decided.

        The room is taken again, waiting reports are sent, stops go on at their original deadlines.
        """
        state = self.state
        turn = Turn(state, self.settings, now, state.cause)
        if state.room in (RoomState.HELD, RoomState.QUEUED):
            held = state.room is RoomState.HELD
            turn.do(AskRoom(task=self.arn, amounts=cost(state.spec), resumed=held))
            self._bound_the_wait(turn)
        if state.outbox:
            turn.do(Send(task=self.arn))
        for container in state.containers:
            container.busy, container.early_exit = Busy.NO, None
        for event in found:
            containers.take(turn, event)
        for container in state.containers:
            if container.known is Known.RUNNING:
                starts.await_start_timeout(turn, container)
            if container.stop is not None and (container.known is Known.RUNNING or container.is_revived):
                turn.do(for_stop(self.arn, container, stopping.resume(container.stop)))
        self._settle(turn)
        if self.is_over:
            self._await_cleanup(turn)
        return turn.instructions

    def _on_desired(self, turn: Turn, event: Desired) -> None:
        state = self.state
        first = not state.cause
        state.cause = state.cause or event.cause
        is_forced = event.force and event.desired is DesiredStatus.STOPPED and not state.force
        is_new_stop = event.desired is DesiredStatus.STOPPED and not state.stop_requested
        if first or is_new_stop or is_forced:
            turn.tell(Kind.TASK_ACCEPTED, event.cause, desired=event.desired, force=is_forced or None)
        if first and event.desired is DesiredStatus.RUNNING:
            self._begin(turn, event.refusal)
        if is_new_stop:
            state.stop_requested = True
            state.desired = DesiredStatus.STOPPED
            state.cause = event.cause
            if state.room is RoomState.HELD and self.settings.release is Release.EAGER:
                self._report_release(turn, Proof.STOP_REQUESTED, event.cause)
        if is_forced:
            stops.cut_graces(turn)

    def _begin(self, turn: Turn, refusal: str) -> None:
        state = self.state
        if refusal or not state.spec.containers:
            self._fail(f"UnrecogniedTaskError: Error loading task - {refusal or 'it has no containers'}")
            return
        if unresolvable := dependson.refusal(state.spec):
            self._fail(unresolvable)
            return
        state.order = turn.now
        state.room = RoomState.QUEUED
        turn.do(AskRoom(task=self.arn, amounts=cost(state.spec)))
        self._bound_the_wait(turn)

    def _bound_the_wait(self, turn: Turn) -> None:
        """For room: so long since it was asked for, whoever has been restarted in between."""
        limit = self.settings.queue_limit_seconds
        if limit is not None and self.state.room is RoomState.QUEUED:
            turn.do(StartTimer(task=self.arn, container="", timer="queue", at=self.state.order + limit))

    def _on_accepted(self, turn: Turn, number: int) -> None:
        outbox = self.state.outbox
        if outbox and outbox[0].number == number:
            outbox.pop(0)
            if outbox:
                turn.do(Send(task=self.arn))
            elif self.is_over:
                self._await_cleanup(turn)

    def _on_task_timer(self, turn: Turn, timer: str) -> None:
        is_limited = self.settings.queue_limit_seconds is not None
        if timer == "queue" and is_limited and self.state.room is RoomState.QUEUED:
            self._fail("TaskEngineError: no room on the host within the queue's limit")
        elif timer == "cleanup" and self.is_over:
            for container in self.state.containers:
                if container.docker_id:
                    turn.do(
                        RemoveContainer(
                            task=self.arn,
                            container=container.spec.name,
                            docker_id=container.docker_id,
                            force=container.gave_up,
                        )
                    )
            turn.do(RemoveResources(task=self.arn, of=self.state.spec))
            turn.do(Forget(task=self.arn))

    # ---- settling ----------------------------------------------------------------------------------------------

    def _settle(self, turn: Turn) -> None:
        state = self.state
        if state.room is RoomState.HELD and state.desired is DesiredStatus.RUNNING:
            starts.fail_the_hopeless(turn)
        if any(c.spec.essential and c.known is Known.STOPPED for c in state.containers):
            state.reason = state.reason or pause.failure(state)
            state.desired = DesiredStatus.STOPPED
        if state.desired is DesiredStatus.STOPPED:
            stops.stop_containers(turn)
        elif state.room is RoomState.HELD:
            starts.start_containers(turn)
        self._climb(turn)

    def _climb(self, turn: Turn) -> None:
        state = self.state
        if state.address is not None and not state.address_told:
            state.address_told = True
            self._queue(turn, AddressReport(number=state.reports, cause=turn.cause, address=state.address))
        known = known_of_task((c.known, c.spec.essential) for c in state.containers)
        climbed = known > state.known
        if climbed:
            state.known = known
            turn.tell(Kind.TASK_KNOWN, known=known.name, reason=state.reason)
        if climbed and known is Known.STOPPED:
            state.stopped_at = turn.now
            self._end_room(turn)
            self._queue(turn, state.report("STOPPED", turn.cause))
        elif known is not Known.STOPPED and state.has_untold:
            if state.known is Known.RUNNING:
                self._queue(turn, state.report("RUNNING", turn.cause))
            elif state.is_waiting:
                self._queue(turn, state.report("PENDING", turn.cause))

    def _end_room(self, turn: Turn) -> None:
        state = self.state
        if state.room is not RoomState.HELD:
            return
        proof = state.proof
        state.room = RoomState.RELEASED
        turn.do(ReleaseHost(task=self.arn, proof=proof))
        if self.settings.release is Release.ON_EXIT and not state.release_told:
            self._report_release(turn, proof, turn.cause)

    # ---- telling -----------------------------------------------------------------------------------------------

    def _report_release(self, turn: Turn, proof: Proof, cause: str) -> None:
        self.state.release_told = True
        turn.tell(Kind.RELEASE_REPORTED, cause, proof=proof)
        report = ReleaseReport(number=self.state.reports, cause=cause, released_at=turn.now, proof=proof)
        self._queue(turn, report)

    def _queue(self, turn: Turn, report: Outbox) -> None:
        state = self.state
        state.reports += 1
        state.outbox.append(report)
        # Each container is told at most twice; the task's address, end and release once each.
        assert len(state.outbox) <= 2 * len(state.containers) + 3
        if len(state.outbox) == 1:
            turn.do(Send(task=self.arn))

    def _await_cleanup(self, turn: Turn) -> None:
        share = zlib.crc32(self.arn.encode()) / 2**32  # each task its own, the same after a restart
        wait = self.settings.cleanup_seconds + share * self.settings.cleanup_jitter_seconds
        at = max((self.state.stopped_at or turn.now) + wait, turn.now)
        turn.do(StartTimer(task=self.arn, container="", timer="cleanup", at=at))

    def _fail(self, reason: str) -> None:
        self.state.reason = reason
        self.state.desired = DesiredStatus.STOPPED
