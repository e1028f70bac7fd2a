"""The way down: what is on its way up is left, what runs is stopped, dependants before what they depend on.

A stop ends with the exit, or (`ECS_STOP_GIVE_UP=declare`) with a declaration that has its own proof.
Source: amazon-ecs-agent `engine/task_manager.go`, `dependencygraph/graph.go` (verifyShutdownOrder).
"""

from agent.core import dependson, stopping
from agent.core.acting import for_stop
from agent.core.instructions import NoteStopping, WithdrawRoom
from agent.core.ladder import Known
from agent.core.starts import leave_unstarted
from agent.core.state import Busy, ContainerState, RoomState
from agent.core.stopping import Act, Fact, Stage
from agent.core.turn import Turn
from wire.story import Kind


def stop_containers(turn: Turn) -> None:
    """Containers without relation stop in parallel. One whose start is in flight is stopped when it has started."""
    state = turn.state
    if state.room is RoomState.QUEUED:
        state.room = RoomState.NONE
        turn.do(WithdrawRoom(task=turn.arn))
    for container in state.containers:
        if container.known < Known.RUNNING and container.busy is not Busy.START:
            leave_unstarted(turn, container)
    for container in state.containers:
        is_up = container.known is Known.RUNNING and not container.busy and container.stop is None
        if is_up and not dependson.is_waited_for(container, state.containers):
            begin(turn, container)
            turn.do(NoteStopping(task=turn.arn))


def begin(turn: Turn, container: ContainerState) -> None:
    """Stop one container. A forced stop knows no grace."""
    grace = stopping.grace_seconds(container.spec.stop_timeout_seconds, turn.settings.stop_timeout_seconds)
    container.stop, act = stopping.begin(grace, turn.now)
    if turn.state.force:
        step(turn, container, Fact.DEADLINE)
    else:
        turn.do(for_stop(turn.arn, container, act))


def cut_graces(turn: Turn) -> None:
    """Kill now what has been signalled; what has not begun to stop will get no grace."""
    turn.state.force = True
    for container in turn.state.containers:
        if container.known is Known.RUNNING:
            step(turn, container, Fact.DEADLINE)


def step(turn: Turn, container: ContainerState, fact: Fact, at: float | None = None) -> None:
    """Move a container's stop on by a fact; one that comes too late changes nothing."""
    if container.stop is None:
        return
    before = container.stop.stage
    act = stopping.step(container.stop, fact, turn.now if at is None else at, turn.settings.give_up)
    name = container.spec.name
    if before is not container.stop.stage is Stage.KILLING:  # Docker answers a SIGKILL only after the exit
        turn.tell(Kind.CONTAINER_KILLED, turn.state.cause, container=name, forced=turn.state.force or None)
    if fact is Fact.SIGNAL_SENT and act is Act.WAIT_DEADLINE:
        turn.tell(
            Kind.CONTAINER_SIGNALLED,
            turn.state.cause,
            container=name,
            signal=container.stop_signal,
            grace_seconds=container.stop.grace_seconds,
            deadline=container.stop.deadline,
        )
    if act is not None:
        turn.do(for_stop(turn.arn, container, act))
