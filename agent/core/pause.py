"""Containers of the agent's own that hold a namespace for a task: made first, stopped last, never reported.

They stand in the task's state before its own containers. Every one of these waits until they run; they stop when every
one of these has stopped. One that ends by itself ends the task. Source: amazon-ecs-agent `api/task/task.go`
(addNetworkResourceProvisioningDependency, addNamespaceSharingProvisioningDependency).
"""

from agent.core.ladder import Known
from agent.core.spec import ContainerSpec, Internal, TaskSpec
from agent.core.state import ContainerState, TaskState
from wire.status import DesiredStatus

STOP_SECONDS = 2
"""Grace of a pause container; it quits on TERM at once."""
NETWORK = "~internal~ecs~pause"
NAMESPACE = "~internal~ecs~pause~namespace"


def pauses_of(task: TaskSpec) -> tuple[ContainerSpec, ...]:
    """The pause containers that `task` needs; which image they are made of is the runtime's matter."""
    names = []
    if task.network_mode == "awsvpc":
        names.append((NETWORK, Internal.NETWORK))
    if "task" in (task.pid_mode, task.ipc_mode):
        names.append((NAMESPACE, Internal.NAMESPACE))
    return tuple(
        ContainerSpec(name=name, image="", essential=True, stop_timeout_seconds=STOP_SECONDS, internal=internal)
        for name, internal in names
    )


def waits_to_start(container: ContainerState, task: TaskState) -> bool:
    """A container of the task proper waits for the pause containers to run."""
    return not container.spec.internal and any(c.spec.internal and c.known < Known.RUNNING for c in task.containers)


def waits_to_stop(container: ContainerState, task: TaskState) -> bool:
    """A pause container waits for the task proper to have stopped."""
    return bool(container.spec.internal) and any(
        not c.spec.internal and c.known < Known.STOPPED for c in task.containers
    )


def failure(task: TaskState) -> str:
    """Why a task that was to run cannot: its pause container has ended. Empty where that is not so."""
    if task.desired is DesiredStatus.STOPPED:
        return ""
    for container in task.containers:
        if container.spec.internal and container.known is Known.STOPPED:
            return container.reason or "TaskEngineError: The container that holds the task's namespaces has ended"
    return ""
