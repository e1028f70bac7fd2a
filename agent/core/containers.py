"""What a fact about one container changes in it. One function a fact, two tables: before its end, and after.

Source: amazon-ecs-agent `engine/task_manager.go` (handleContainerChange, handleEventError).
"""

from collections.abc import Callable
from typing import Any

from agent.core import restart
from agent.core.events import (
    Absent,
    ContainerEvent,
    Created,
    Exited,
    HealthChanged,
    KillSent,
    Pulled,
    RuntimeFault,
    SignalSent,
    Started,
    TimerFired,
)
from agent.core.health import Health
from agent.core.instructions import RemoveContainer
from agent.core.ladder import RESTART, Known
from agent.core.starts import START_TIMEOUT, await_start_timeout, start_container
from agent.core.state import Busy, ContainerState
from agent.core.stopping import Fact
from agent.core.stops import begin, step
from agent.core.turn import Turn
from wire.status import DesiredStatus
from wire.story import Kind

Handler = Callable[[Turn, ContainerState, Any], None]


def take(turn: Turn, event: ContainerEvent) -> None:
    """Take in a fact about a container of the task. One that comes too late changes nothing."""
    container = turn.container(event.container)
    if container is None:
        return
    if container.known is not Known.STOPPED:
        _HANDLERS[type(event)](turn, container, event)
    elif type(event) in _AFTER_THE_END:
        _AFTER_THE_END[type(event)](turn, container, event)
    elif container.is_revived and type(event) in _OF_A_STOP:
        _OF_A_STOP[type(event)](turn, container, event)


def _on_pulled(turn: Turn, container: ContainerState, event: Pulled) -> None:
    container.busy = Busy.NO
    container.image_digest = event.digest or container.image_digest
    container.pull_started_at, container.pull_stopped_at = event.pull_started_at, event.pull_stopped_at
    container.known = max(container.known, Known.PULLED)
    if event.error:
        name = container.spec.name
        turn.tell(Kind.RUNTIME_FAULT, event.cause, container=name, call="pull", error=event.error)


def _on_created(turn: Turn, container: ContainerState, event: Created) -> None:
    container.busy = Busy.NO
    container.docker_id = event.docker_id
    container.stop_signal = event.stop_signal
    container.known = max(container.known, Known.CREATED)
    turn.tell(Kind.CONTAINER_CREATED, event.cause, container=event.container, docker_id=event.docker_id)


def _on_started(turn: Turn, container: ContainerState, event: Started) -> None:
    container.busy, container.last_exit = Busy.NO, None
    container.docker_id = event.docker_id
    container.ports = event.ports or container.ports
    container.stop_signal = event.stop_signal or container.stop_signal
    turn.state.address = event.address or turn.state.address
    container.started_at = event.at
    if container.known < Known.RUNNING:
        container.known = Known.RUNNING
        container.ever_started = True
        turn.tell(Kind.CONTAINER_STARTED, event.cause, container=event.container, docker_id=event.docker_id)
        await_start_timeout(turn, container)
    if container.early_exit is not None:
        _on_exited(turn, container, container.early_exit)


def _on_absent(turn: Turn, container: ContainerState, event: Absent) -> None:
    if container.known < Known.CREATED:
        return  # never created: the next step creates it
    gone = Exited(
        task=turn.arn,
        cause=event.cause,
        container=event.container,
        exit_code=None,
        finished_at=None,
        error="ContainerVanishedError: No container matching saved ID found",
    )
    _on_exited(turn, container, gone)


def _on_exited(turn: Turn, container: ContainerState, event: Exited) -> None:
    is_of_a_former_life = (
        container.restarted_at is not None
        and event.finished_at is not None
        and event.finished_at <= container.restarted_at
    )
    if is_of_a_former_life and (container.busy is Busy.START or container.last_exit is None):
        return
    if container.busy is Busy.START:
        container.early_exit = event
        return
    container.early_exit = None
    if _is_started_again(turn, container, event):
        return
    _end(turn, container, event)


def _is_started_again(turn: Turn, container: ContainerState, event: Exited) -> bool:
    """By its restart policy; a stop request wins. A restart that was decided before a crash is not decided anew."""
    if turn.state.desired is DesiredStatus.STOPPED or container.stop is not None:
        return False
    if container.last_exit is None:
        policy, began_at = container.spec.restart, container.restarted_at or container.started_at
        if not restart.is_due(policy, exit_code=event.exit_code, began_at=began_at, now=turn.now):
            return False
        container.restarts += 1
        container.restarted_at = turn.now
    assert container.known is RESTART[1]
    container.last_exit = event
    container.health = Health()
    start_container(turn, container)
    turn.tell(
        Kind.CONTAINER_RESTARTED,
        event.cause,
        container=event.container,
        exit_code=event.exit_code,
        restarts=container.restarts,
    )
    return True


def _end(turn: Turn, container: ContainerState, event: Exited) -> None:
    container.busy, container.early_exit, container.last_exit = Busy.NO, None, None
    container.known = Known.STOPPED
    container.ever_started = True
    container.exit_code = event.exit_code
    container.finished_at = event.finished_at
    container.reason = container.reason or event.error
    if container.spec.essential and turn.state.execution_stopped_at is None:
        turn.state.execution_stopped_at = event.finished_at or turn.now
    turn.tell(
        Kind.CONTAINER_EXITED,
        container=event.container,
        exit_code=event.exit_code,
        finished_at=event.finished_at,
        error=event.error or None,
    )


def _on_health(turn: Turn, container: ContainerState, event: HealthChanged) -> None:
    if not container.spec.has_health_check:
        return
    if event.health.status is not container.health.status:
        name = container.spec.name
        turn.tell(Kind.CONTAINER_HEALTH, event.cause, container=name, status=event.health.status)
    container.health = event.health


def _on_signal_sent(turn: Turn, container: ContainerState, event: SignalSent) -> None:
    step(turn, container, Fact.SIGNAL_SENT, event.at)


def _on_kill_sent(turn: Turn, container: ContainerState, _event: KillSent) -> None:
    step(turn, container, Fact.KILL_SENT)


def _on_timer(turn: Turn, container: ContainerState, event: TimerFired) -> None:
    if event.timer == START_TIMEOUT:
        container.start_timed_out = True
    else:
        step(turn, container, Fact(event.timer))


def _on_fault(turn: Turn, container: ContainerState, event: RuntimeFault) -> None:
    name = container.spec.name
    turn.tell(Kind.RUNTIME_FAULT, event.cause, container=name, call=event.call, error=event.error)
    if event.call in list(Busy):
        _fail_on_the_way_up(turn, container, event)
        return
    step(turn, container, Fact.SILENCE if event.is_away else Fact.FAULT)
    if container.gave_up:
        container.reason = f"CannotStopContainerError: {event.error.removeprefix('CannotStopContainerError: ')}"
        container.known = Known.STOPPED
        turn.tell(Kind.STOP_UNPROVEN, event.cause, container=name, error=event.error)


def _fail_on_the_way_up(turn: Turn, container: ContainerState, event: RuntimeFault) -> None:
    container.busy, container.early_exit = Busy.NO, None
    container.reason = container.reason or event.error
    if container.last_exit is not None:  # a restart that failed: the exit stands
        _end(turn, container, container.last_exit)
    else:
        container.known = Known.STOPPED


def _on_stray(turn: Turn, container: ContainerState, event: Created) -> None:
    """It was created after its task had been told to stop: nobody needs it."""
    if not container.docker_id:
        turn.do(RemoveContainer(task=turn.arn, container=event.container, docker_id=event.docker_id))


def _on_revived(turn: Turn, container: ContainerState, event: Started) -> None:
    """Somebody has started it again behind our back. Once, it is stopped again; its report stands."""
    is_news = not container.gave_up and (container.finished_at is None or event.at > container.finished_at)
    if not is_news or container.is_revived or turn.state.was_restopped:
        return
    turn.state.was_restopped = True
    container.is_revived = True
    turn.tell(Kind.CONTAINER_REVIVED, event.cause, container=event.container)
    begin(turn, container)


def _on_exited_again(_turn: Turn, container: ContainerState, _event: ContainerEvent) -> None:
    container.is_revived, container.stop = False, None


def _on_fault_again(turn: Turn, container: ContainerState, event: RuntimeFault) -> None:
    step(turn, container, Fact.SILENCE if event.is_away else Fact.FAULT)


_HANDLERS: dict[type[ContainerEvent], Handler] = {
    Pulled: _on_pulled,
    Created: _on_created,
    Started: _on_started,
    HealthChanged: _on_health,
    Exited: _on_exited,
    Absent: _on_absent,
    SignalSent: _on_signal_sent,
    KillSent: _on_kill_sent,
    RuntimeFault: _on_fault,
    TimerFired: _on_timer,
}
_AFTER_THE_END: dict[type[ContainerEvent], Handler] = {Created: _on_stray, Started: _on_revived}
_OF_A_STOP: dict[type[ContainerEvent], Handler] = {
    Exited: _on_exited_again,
    Absent: _on_exited_again,
    SignalSent: _on_signal_sent,
    KillSent: _on_kill_sent,
    RuntimeFault: _on_fault_again,
    TimerFired: _on_timer,
}
