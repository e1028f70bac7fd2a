"""Containers that wait for each other, both ways, on virtual time; a create and a start take 0.3 s each."""

import asyncio

import pytest
from scripted_host import Machine, host_test

from agent.core.dependson import refusal
from agent.core.spec import Condition, ContainerSpec, Dependency, TaskSpec, VolumesFrom
from wire.story import Kind


def container(name, *depends_on, essential=True, stop_timeout=0, start_timeout=0, health=False, **environment):
    return ContainerSpec(
        name=name,
        image="i",
        essential=essential,
        depends_on=tuple(Dependency(other, Condition(condition)) for other, condition in depends_on),
        stop_timeout_seconds=stop_timeout,
        start_timeout_seconds=start_timeout,
        has_health_check=health,
        environment=environment,
    )


@host_test
async def test_start_order_and_stop_order_are_each_others_reverse_and_graces_add_up(tmp_path):
    """TestShutdownOrder; observed: two such of 4 s each stop one after the other, dependants first."""
    host = Machine(tmp_path)
    backend = await host.boot()
    await host.run(
        "t",
        container("app", ("cache", "START"), ON_TERM="ignore", stop_timeout=4),
        container("cache", ("db", "START"), ON_TERM="ignore", stop_timeout=4),
        container("db", ON_TERM="ignore", stop_timeout=4),
        container("loner", QUIT_SECONDS="1"),
    )
    began = await backend.wait_for("t", "RUNNING")
    assert [name for _, name in host.calls("start") if name != "loner"] == ["db", "cache", "app"]
    await host.stop("t")
    assert await backend.wait_for("t", "STOPPED") == began + 12
    exits = dict(backend.of(Kind.CONTAINER_EXITED))
    assert exits == {"loner": began + 1, "app": began + 4, "cache": began + 8, "db": began + 12}
    signals = dict(backend.of(Kind.CONTAINER_SIGNALLED))
    assert signals["cache"] == exits["app"], "decided at the event"
    await host.kill()


@host_test
async def test_complete_and_success_wait_for_the_end_and_healthy_for_the_check(tmp_path):
    host = Machine(tmp_path)
    backend = await host.boot()
    await host.run(
        "t",
        container("complete", essential=False, RUN_SECONDS="10", EXIT_CODE="1"),
        container("success", essential=False, RUN_SECONDS="3"),
        container("healthy", health=True, HEALTHY_SECONDS="7"),
        container("after-complete", ("complete", "COMPLETE")),
        container("after-success", ("success", "SUCCESS")),
        container("after-healthy", ("healthy", "HEALTHY")),
    )
    await backend.wait_for("t", "RUNNING")
    started, exited = dict(backend.of(Kind.CONTAINER_STARTED)), dict(backend.of(Kind.CONTAINER_EXITED))
    assert started["after-complete"] == pytest.approx(exited["complete"] + 0.6)
    assert started["after-success"] == pytest.approx(exited["success"] + 0.6)
    assert started["after-healthy"] == pytest.approx(dict(backend.of(Kind.CONTAINER_HEALTH))["healthy"] + 0.6)
    words = [word for _, _, word in backend.reports]
    assert words[0] == "PENDING", "what runs already is told while others wait"
    await host.kill()


@host_test
async def test_a_container_whose_dependency_failed_is_never_started_and_says_so_in_amazons_words(tmp_path):
    host = Machine(tmp_path)
    backend = await host.boot()
    await host.run(
        "t",
        container("init", essential=False, RUN_SECONDS="1", EXIT_CODE="5"),
        container("main", ("init", "SUCCESS")),
        container("last", ("main", "START"), ("init", "SUCCESS"), essential=False),
    )
    await backend.wait_for("t", "STOPPED")
    assert host.calls("create") == [("create", "init")]
    main = host.container("t", "main")
    assert (main.exit_code, main.docker_id) == (143, "")
    assert main.reason == (
        "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency "
        "[init(i) (STOPPED->RUNNING) - Exit: 5] for target [main(i) (NONE->RUNNING)] "
        "as dependency did not exit successfully."
    )
    assert host.container("t", "last").exit_code == 143
    await host.kill()


@host_test
async def test_start_timeout_runs_from_the_dependencys_start_and_survives_a_restart_of_the_agent(tmp_path):
    host = Machine(tmp_path)
    backend = await host.boot()
    await host.run("t", container("dep", start_timeout=8, health=True), container("main", ("dep", "HEALTHY")))
    await asyncio.sleep(4)
    began = dict(backend.of(Kind.CONTAINER_STARTED))["dep"]
    await host.kill()
    backend = await host.boot()
    assert await backend.wait_for("t", "STOPPED") == pytest.approx(began + 8)
    main = host.container("t", "main")
    assert main.exit_code == 143
    assert main.reason.endswith("for target [main(i) (NONE->RUNNING)] has timed out.")
    await host.kill()


@host_test
async def test_without_a_start_timeout_who_waits_for_health_waits_and_a_stop_ends_that_at_once(tmp_path):
    host = Machine(tmp_path)
    backend = await host.boot()
    await host.run("t", container("dep", health=True), container("main", ("dep", "HEALTHY")))
    await asyncio.sleep(3600)
    assert host.calls("create") == [("create", "dep")]
    await host.stop("t")
    assert await backend.wait_for("t", "STOPPED") == 3600
    await host.kill()


@host_test
async def test_a_dependency_that_stops_without_having_been_healthy_is_lost_at_once(tmp_path):
    """Amazon's agent would wait for ever."""
    host = Machine(tmp_path)
    backend = await host.boot()
    await host.run(
        "t", container("dep", essential=False, health=True, RUN_SECONDS="2"), container("main", ("dep", "HEALTHY"))
    )
    assert await backend.wait_for("t", "STOPPED") == pytest.approx(2.6)
    assert host.container("t", "main").reason.endswith("as dependency has stopped.")
    await host.kill()


@host_test
async def test_links_and_volumes_from_are_dependencies(tmp_path):
    host = Machine(tmp_path)
    backend = await host.boot()
    app = ContainerSpec(
        name="app", image="i", essential=True, links=("db:database",), volumes_from=(VolumesFrom("files"),)
    )
    await host.run("t", app, container("db"), container("files"))
    await backend.wait_for("t", "RUNNING")
    order = host.calls("create", "start")
    assert order.index(("create", "app")) > order.index(("start", "db"))
    assert order.index(("create", "app")) > order.index(("create", "files"))
    await host.stop("t")
    await backend.wait_for("t", "STOPPED")
    assert next(name for _, name in host.calls("signal")) == "app"
    await host.kill()


@host_test
async def test_a_health_that_turns_bad_stops_nothing(tmp_path):
    from agent.core.health import HealthStatus

    host = Machine(tmp_path)
    backend = await host.boot()
    await host.run("t", container("main", health=True, HEALTHY_SECONDS="1"))
    await backend.wait_for("t", "RUNNING")
    [before] = host.engine.health()
    assert before.health.status is HealthStatus.UNKNOWN
    await asyncio.sleep(2)
    host.runtime.set_health(host.container("t").docker_id, HealthStatus.UNHEALTHY)
    await asyncio.sleep(600)
    [health] = host.engine.health()
    assert (health.task, health.family, health.version, health.container) == ("t", "f", "1", "main")
    assert health.health.status is HealthStatus.UNHEALTHY
    assert health.health.since is not None
    assert [word for _, _, word in backend.reports] == ["RUNNING"]
    assert [what for what, _ in backend.of(Kind.CONTAINER_HEALTH, "status")] == ["HEALTHY", "UNHEALTHY"]
    await host.kill()


@pytest.mark.parametrize(
    "containers",
    [
        (container("a", ("b", "START")), container("b", ("a", "HEALTHY"))),
        (container("a", ("a", "START")),),
        (container("a", ("nobody", "START")),),
        (ContainerSpec(name="a", image="i", links=("b:c:d",)), container("b")),
        (ContainerSpec(name="a", image="i", volumes_from=(VolumesFrom("nobody"),)),),
    ],
)
def test_what_can_never_be_resolved_is_refused_at_once_in_amazons_words(containers, tmp_path):
    spec = TaskSpec(arn="t", containers=containers)
    assert refusal(spec) == "TaskDependencyError: Task dependencies cannot be resolved, taskArn: t"

    @host_test
    async def told(path):
        host = Machine(path)
        backend = await host.boot()
        await host.run("t", *containers)
        assert await backend.wait_for("t", "STOPPED") == 0
        assert backend.full[-1][1].reason == refusal(spec)
        assert host.runtime.calls == []
        await host.kill()

    told(tmp_path)
