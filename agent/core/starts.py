"""The way up: image, create, start; each container one step at a time, as far as its dependencies let it.

Source: amazon-ecs-agent `engine/task_manager.go` (startContainerTransitions, containerNextState).
"""

from agent.core import dependson
from agent.core.instructions import CreateContainer, LeaveImage, SeeToImage, StartContainer, StartTimer
from agent.core.ladder import Known
from agent.core.state import Busy, ContainerState
from agent.core.turn import Turn
from wire.story import Kind

START_TIMEOUT = "START_TIMEOUT"
"""The timer of a container's `startTimeout`."""


def start_containers(turn: Turn) -> None:
    """Move every container that may move one step up."""
    containers = turn.state.containers
    for container in containers:
        if container.busy or container.known >= Known.RUNNING:
            continue
        upfront = turn.settings.pull_upfront and container.known is Known.NONE
        if upfront or not dependson.waits(container, containers):
            _step_up(turn, container)


def fail_the_hopeless(turn: Turn) -> None:
    """Containers whose dependencies can never be met stop without ever having been started; so may theirs, then."""
    containers = turn.state.containers
    changed = True
    while changed:
        changed = False
        for container in containers:
            if container.known >= Known.CREATED or container.busy is Busy.CREATE:
                continue
            reason = dependson.failure(container, containers)
            if reason:
                container.reason = container.reason or reason
                container.exit_code = dependson.DEPENDENCY_EXIT_CODE
                leave_unstarted(turn, container)
                name = container.spec.name
                turn.tell(Kind.CONTAINER_EXITED, container=name, exit_code=container.exit_code, error=reason)
                changed = True


def leave_unstarted(turn: Turn, container: ContainerState) -> None:
    """It ends before it was started. A pull is cut short; a container whose creation is in flight is removed then."""
    if container.busy is Busy.PULL:
        turn.do(LeaveImage(task=turn.arn, container=container.spec.name))
    container.busy = Busy.NO
    container.known = Known.STOPPED


def await_start_timeout(turn: Turn, container: ContainerState) -> None:
    """Begin, or after a restart of the agent resume, the clock of a container's `startTimeout`."""
    seconds = container.spec.start_timeout_seconds
    if not seconds or container.start_timed_out or container.started_at is None:
        return
    at = container.started_at + seconds
    turn.do(StartTimer(task=turn.arn, container=container.spec.name, timer=START_TIMEOUT, at=at))


def start_container(turn: Turn, container: ContainerState) -> None:
    """Start it, for the first time or again."""
    container.busy = Busy.START
    turn.do(
        StartContainer(
            task=turn.arn,
            container=container.spec.name,
            docker_id=container.docker_id,
            after=container.started_at,
            of=turn.state.spec,
            spec=container.spec,
        )
    )


def _step_up(turn: Turn, container: ContainerState) -> None:
    spec = container.spec
    match container.known:
        case Known.NONE:
            container.busy = Busy.PULL
            turn.do(SeeToImage(task=turn.arn, container=spec.name, spec=spec))
        case Known.PULLED:
            container.busy = Busy.CREATE
            turn.do(CreateContainer(task=turn.arn, container=spec.name, of=turn.state.spec, spec=spec))
        case Known.CREATED:
            start_container(turn, container)
