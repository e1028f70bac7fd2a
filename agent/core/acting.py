"""From what a stop needs next to what the shell is asked to do."""

from agent.core.instructions import ContainerInstruction, SendKill, SendSignal, StartTimer
from agent.core.state import ContainerState
from agent.core.stopping import Act, Fact


def for_stop(task: str, container: ContainerState, act: Act) -> ContainerInstruction:
    """The instruction for `act` on a container of `task` (ARN) that is being stopped."""
    stop = container.stop
    assert stop is not None
    name, docker_id = container.spec.name, container.docker_id
    match act:
        case Act.SIGNAL:
            return SendSignal(task=task, container=name, docker_id=docker_id, signal=container.stop_signal)
        case Act.KILL:
            return SendKill(task=task, container=name, docker_id=docker_id)
        case Act.WAIT_DEADLINE:
            return StartTimer(task=task, container=name, timer=Fact.DEADLINE, at=stop.deadline)
        case Act.WAIT_RETRY:
            return StartTimer(task=task, container=name, timer=Fact.RETRY, at=stop.look_again_at)
