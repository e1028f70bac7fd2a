"""Health of tasks, and what the reports of Amazon's agent say between the lines."""

import itertools

import msgspec
import pytest

from controlplane.core import health, lifecycle
from controlplane.core.lifecycle import ContainerReport, TaskReport
from controlplane.core.model import Cluster, Container, Instance, Release, Task
from controlplane.core.plan import Plan
from controlplane.core.state import State
from controlplane.core.view import Draft
from wire.holds import Hold, Proof
from wire.resources import Amounts
from wire.status import ContainerStatus, HealthStatus, TaskStatus

HEALTHY, UNHEALTHY, UNKNOWN = HealthStatus.HEALTHY, HealthStatus.UNHEALTHY, HealthStatus.UNKNOWN


def task_of(*containers: Container, status: TaskStatus = TaskStatus.RUNNING) -> Task:
    return Task(
        arn="t",
        cluster="c",
        task_definition="td",
        containers=containers,
        amounts=Amounts(),
        group="g",
        last_status=status,
        instance="i",
        hold=None if status is TaskStatus.STOPPED else Hold("t", Amounts(), 1.0, "placed"),
        started_at=1.0 if status is TaskStatus.RUNNING else None,
    )


def container(name: str, outcome: HealthStatus | None = None, **rest: object) -> Container:
    return msgspec.structs.replace(Container(name=name, arn=name, image="i", health_status=outcome), **rest)


def draft_of(task: Task, release: Release = Release.NONE) -> Draft:
    state = State()
    instance = Instance(arn="i", cluster="c", registered=Amounts(2048, 4096), release=release)
    state.apply(Plan(cause="", puts=(Cluster(name="c", arn="c"), instance)), 1)
    state.apply(Plan(cause="", puts=(task,)), 2)
    return Draft(state, now=10.0, cause="x")


@pytest.mark.parametrize("outcomes", list(itertools.product((None, HEALTHY, UNHEALTHY, UNKNOWN), repeat=2)))
def test_the_worst_essential_check_is_the_tasks(outcomes: tuple[HealthStatus | None, ...]) -> None:
    task = task_of(*(container(f"c{n}", outcome) for n, outcome in enumerate(outcomes)), container("side", UNHEALTHY))
    with_side_beside = msgspec.structs.replace(
        task, containers=(*task.containers[:-1], container("side", UNHEALTHY, essential=False))
    )
    assert health.of_task(task) is UNHEALTHY
    worst = next((one for one in (UNHEALTHY, UNKNOWN, HEALTHY) if one in outcomes), UNKNOWN)
    assert health.of_task(with_side_beside) is worst


def test_an_outcome_is_news_once() -> None:
    task = task_of(container("a", UNKNOWN), container("b"))
    draft = draft_of(task)
    seen = health.observe(draft, task, {"a": UNHEALTHY, "b": UNHEALTHY, "stranger": HEALTHY})
    assert [one.health_status for one in seen.containers] == [UNHEALTHY, None]
    assert seen.version == task.version + 1
    [line] = draft.plan().story
    assert (line.kind, line.data["health"], line.data["containers"]) == ("task.health", "UNHEALTHY", {"a": "UNHEALTHY"})
    assert health.observe(draft, seen, {"a": UNHEALTHY}) is seen


def test_a_stopped_task_keeps_its_last_outcome() -> None:
    task = task_of(container("a", HEALTHY), status=TaskStatus.STOPPED)
    assert health.observe(draft_of(task), task, {"a": UNHEALTHY}) is task


def stopped(*rows: ContainerReport, proof: Proof = Proof.EXIT_SEEN) -> TaskReport:
    return TaskReport(status=TaskStatus.STOPPED, containers=rows, proof=proof)


RAN = {"last_status": ContainerStatus.RUNNING, "runtime_id": "d"}


@pytest.mark.parametrize(
    ("row", "proven"),
    [
        (ContainerReport(name="a", status=ContainerStatus.STOPPED), False),
        (ContainerReport(name="a", status=ContainerStatus.STOPPED, exit_code=0), True),
        (ContainerReport(name="a", status=ContainerStatus.STOPPED, reason="ContainerVanishedError: gone"), True),
    ],
)
def test_a_stop_reported_by_an_agent_that_lost_its_books_is_unproven(row: ContainerReport, *, proven: bool) -> None:
    """Its container runs on: nothing says how it ended."""
    task = task_of(container("a", **RAN))
    draft = draft_of(task)
    lifecycle.observe(draft, task, stopped(row))
    lines = draft.plan().story
    assert [line.data["proof"] for line in lines if line.kind == "placement.ended"] == [
        Proof.EXIT_SEEN if proven else Proof.GAVE_UP
    ]
    assert [line.data["container"] for line in lines if line.kind == "stop.unproven"] == ([] if proven else ["a"])


def test_agents_that_report_releases_tell_of_unproven_stops_themselves() -> None:
    task = task_of(container("a", **RAN))
    draft = draft_of(task, Release.EAGER)
    lifecycle.observe(draft, task, stopped(ContainerReport(name="a", runtime_id="d"), proof=Proof.GAVE_UP))
    assert not [line for line in draft.plan().story if line.kind == "stop.unproven"]


def test_a_container_that_is_listed_twice_counts_with_both_rows() -> None:
    task = task_of(container("a"), status=TaskStatus.PENDING)
    binding = {"containerPort": 80, "hostPort": 32768}
    rows = (
        ContainerReport(name="a", status=ContainerStatus.RUNNING, runtime_id="d", network_bindings=(binding,)),
        ContainerReport(name="a", status=ContainerStatus.STOPPED, runtime_id="d", exit_code=3),
    )
    [seen] = lifecycle.observe(draft_of(task), task, stopped(*rows)).containers
    assert (seen.last_status, seen.exit_code, seen.network_bindings) == (ContainerStatus.STOPPED, 3, (binding,))


@pytest.mark.parametrize(("essential", "code"), [(True, "EssentialContainerExited"), (False, "TaskFailedToStart")])
def test_a_task_that_ended_while_it_started(code: str, *, essential: bool) -> None:
    task = task_of(container("init", essential=essential), container("main"), status=TaskStatus.PENDING)
    why = "CannotStartContainerError: dependency graph: ..."
    rows = (ContainerReport(name="init", exit_code=5), ContainerReport(name="main", exit_code=143, reason=why))
    ended = lifecycle.observe(draft_of(task), task, stopped(*rows))
    assert ended.stop_code == code
    assert ended.stopped_reason == ("Essential container in task exited" if essential else why)
