"""Which container of a task must wait for which: `dependsOn`, and what `links` and `volumesFrom` mean by it.

Starting waits for a condition of the other container; stopping goes in reverse: a container stops when all that depend
on it have. It looks at states and answers; it moves nothing.

Source: amazon-ecs-agent `engine/dependencygraph/graph.go`. Two differences: a condition that can never come true fails
at once where Amazon's agent would wait for ever (the other container has stopped without what is waited for), and
all is decided when a fact comes in, where Amazon's looks every 5 s.
"""

from collections.abc import Sequence
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter

from agent.core.health import HealthStatus
from agent.core.ladder import Known
from agent.core.spec import Condition, ContainerSpec, Dependency, TaskSpec
from agent.core.state import ContainerState

DEPENDENCY_EXIT_CODE = 143
"""Reported for a container that was never started because of another. Source: `task_manager.go`, observed."""
TIMED = frozenset({Condition.COMPLETE, Condition.SUCCESS, Condition.HEALTHY})
"""Conditions that the other container's `startTimeout` bounds."""


class Outlook(StrEnum):
    """How a condition stands."""

    MET = "MET"
    OPEN = "OPEN"
    LOST = "LOST"
    """It can never come true."""


def dependencies(container: ContainerSpec) -> tuple[Dependency, ...]:
    """All that a container depends on: a link needs the other started, `volumesFrom` needs it created."""
    return (
        *container.depends_on,
        *(Dependency(link.partition(":")[0], Condition.START) for link in container.links),
        *(Dependency(source.container, Condition.CREATE) for source in container.volumes_from),
    )


def refusal(task: TaskSpec) -> str:
    """Why the task's dependencies can never be resolved, in Amazon's words; empty where they can."""
    names = {container.name for container in task.containers}
    needs = {c.name: {dependency.container for dependency in dependencies(c)} for c in task.containers}
    crooked_link = any(link.count(":") > 1 for container in task.containers for link in container.links)
    is_missing = any(not others <= names for others in needs.values())
    if crooked_link or is_missing or _is_circular(needs):
        return f"TaskDependencyError: Task dependencies cannot be resolved, taskArn: {task.arn}"
    return ""


def waits(container: ContainerState, others: Sequence[ContainerState]) -> bool:
    """Whether something that `container` depends on is not as it must be yet."""
    return any(
        _outlook(other, dependency.condition) is not Outlook.MET for other, dependency in _pairs(container, others)
    )


def failure(container: ContainerState, others: Sequence[ContainerState]) -> str:
    """Why `container` can never be started, in Amazon's words; empty while it can."""
    for other, dependency in _pairs(container, others):
        outlook = _outlook(other, dependency.condition)
        if outlook is Outlook.LOST:
            return (
                "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency "
                f"[{_described(other)}] for target [{_described(container)}] as dependency did not exit successfully."
                if dependency.condition in (Condition.SUCCESS, Condition.COMPLETE)
                else "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency "
                f"[{_described(other)}] for target [{_described(container)}] as dependency has stopped."
            )
        if outlook is Outlook.OPEN and other.start_timed_out and dependency.condition in TIMED:
            return (
                "CannotStartContainerError: dependency graph: container ordering dependency "
                f"[{_described(other)}] for target [{_described(container)}] has timed out."
            )
    return ""


def is_waited_for(container: ContainerState, others: Sequence[ContainerState]) -> bool:
    """Whether `container` may not stop yet, because one that depends on it has not stopped."""
    name = container.spec.name
    return any(
        other.known is not Known.STOPPED and any(d.container == name for d in dependencies(other.spec))
        for other in others
        if other is not container
    )


def _outlook(other: ContainerState, condition: Condition) -> Outlook:
    has_stopped = other.known is Known.STOPPED
    match condition:
        case Condition.CREATE:
            is_met, is_lost = other.known >= Known.CREATED, False
        case Condition.START:
            is_met, is_lost = other.known >= Known.RUNNING, False
        case Condition.COMPLETE:
            is_met = has_stopped and other.ever_started and other.exit_code is not None
            is_lost = has_stopped
        case Condition.SUCCESS:
            is_met = has_stopped and other.ever_started and other.exit_code == 0
            is_lost = has_stopped
        case Condition.HEALTHY:
            is_met = other.health.status is HealthStatus.HEALTHY
            is_lost = has_stopped
    return Outlook.MET if is_met else Outlook.LOST if is_lost else Outlook.OPEN


def _pairs(container: ContainerState, others: Sequence[ContainerState]) -> list[tuple[ContainerState, Dependency]]:
    by_name = {other.spec.name: other for other in others}
    return [(by_name[dependency.container], dependency) for dependency in dependencies(container.spec)]


def _is_circular(needs: dict[str, set[str]]) -> bool:
    try:
        TopologicalSorter(needs).prepare()
    except CycleError:
        return True
    return False


def _described(container: ContainerState) -> str:
    """As Amazon's agent prints a container. Source: `api/container/container.go` (String), observed."""
    text = f"{container.spec.name}({container.spec.image}) ({container.known.name}->RUNNING)"
    return text if container.exit_code is None else f"{text} - Exit: {container.exit_code}"
