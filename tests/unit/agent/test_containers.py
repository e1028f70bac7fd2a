"""Restarts, force, the host's limits, and what others do behind the agent's back; on virtual time."""

import asyncio

import pytest
from scripted_host import Machine, host_test

from agent.core.ladder import Known
from agent.core.spec import ContainerSpec, RestartPolicy
from agent.core.stopping import GiveUp
from agent.runtime.port import NoAnswerError, RuntimeCallError
from wire.holds import Proof
from wire.story import Kind


def container(name="main", **members):
    environment = {key: members.pop(key) for key in list(members) if key.isupper()}
    return ContainerSpec(name=name, image=members.pop("image", "i"), essential=True, environment=environment, **members)


# ---- restart policies


@host_test
async def test_a_container_with_a_restart_policy_is_started_again_and_nobody_is_told(tmp_path):
    host = Machine(tmp_path)
    backend = await host.boot()
    await host.run("t", container(restart=RestartPolicy((), 60), RUN_SECONDS="100", EXIT_CODE="1"))
    await backend.wait_for("t", "RUNNING")
    await asyncio.sleep(395)
    assert host.container("t").restarts == 3
    assert host.container("t").known is Known.RUNNING
    assert [word for _, _, word in backend.reports] == ["RUNNING"]
    assert host.calls("create") == [("create", "main")]
    await host.stop("t")
    await backend.wait_for("t", "STOPPED")
    assert len(host.calls("start")) == 4, "a stop request wins"
    await host.kill()


@pytest.mark.parametrize(
    ("policy", "why"), [(RestartPolicy((), 101), "ran for less than the period"), (RestartPolicy((1,), 60), "ignored")]
)
def test_no_restart(policy, why, tmp_path):
    @host_test
    async def story(path):
        host = Machine(path)
        backend = await host.boot()
        await host.run("t", container(restart=policy, RUN_SECONDS="100", EXIT_CODE="1"))
        await backend.wait_for("t", "STOPPED")
        assert (host.container("t").restarts, host.container("t").exit_code) == (0, 1), why
        await host.kill()

    story(tmp_path)


@host_test
async def test_a_stop_during_a_restart_waits_for_the_start_and_a_failed_restart_is_the_exit(tmp_path):
    host = Machine(tmp_path)
    backend = await host.boot()
    await host.run("t", container(restart=RestartPolicy((), 1), RUN_SECONDS="100", EXIT_CODE="9"))
    await backend.wait_for("t", "RUNNING")
    await asyncio.sleep(100.1)
    await host.stop("t")
    await backend.wait_for("t", "STOPPED")
    assert host.container("t").exit_code == 9, "its own exit code on TERM: it had been started again and was stopped"
    assert len(host.calls("start")) == 2
    await host.run("u", container(restart=RestartPolicy((), 1), RUN_SECONDS="100", EXIT_CODE="9"))
    await backend.wait_for("u", "RUNNING")
    host.runtime.faults["start"] = 1
    await backend.wait_for("u", "STOPPED")
    assert host.container("u").exit_code == 9
    assert host.container("u").reason.startswith("CannotStartContainerError")
    await host.kill()


@host_test
async def test_an_agent_killed_during_a_restart_finishes_it_and_counts_it_once(tmp_path):
    host = Machine(tmp_path)
    backend = await host.boot()
    await host.run("t", container(restart=RestartPolicy((), 60), RUN_SECONDS="100"))
    await backend.wait_for("t", "RUNNING")
    await asyncio.sleep(100.1)
    await host.kill()
    await asyncio.sleep(1)
    await host.boot()
    await asyncio.sleep(1)
    assert host.container("t").restarts == 1
    assert (await host.runtime.containers())[0].is_running
    assert host.container("t").known is Known.RUNNING
    await host.kill()


# ---- force, give up


@host_test
async def test_force_cuts_the_rest_of_every_grace_in_order(tmp_path):
    from agent.core.spec import Condition, Dependency

    host = Machine(tmp_path, stop_timeout_seconds=600)
    backend = await host.boot()
    db = container("db", ON_TERM="ignore")
    app = container("app", ON_TERM="ignore", depends_on=(Dependency("db", Condition.START),))
    await host.run("t", app, db)
    began = await backend.wait_for("t", "RUNNING")
    await host.stop("t")
    await asyncio.sleep(5)
    await host.stop("t")
    await asyncio.sleep(5)
    assert host.container("t", "app").known is Known.RUNNING, "a second stop cuts nothing"
    await host.stop("t", force=True)
    assert await backend.wait_for("t", "STOPPED") == began + 10
    assert [name for name, _ in backend.of(Kind.CONTAINER_EXITED)] == ["app", "db"]
    assert len(host.calls("signal")) == 3, "TERM and KILL for one, KILL alone for the other"
    await host.kill()


@host_test
async def test_force_without_a_stop_before_it_is_a_stop(tmp_path):
    host = Machine(tmp_path, stop_timeout_seconds=600)
    backend = await host.boot()
    await host.run("t", container(ON_TERM="ignore"))
    began = await backend.wait_for("t", "RUNNING")
    await host.stop("t", force=True)
    assert await backend.wait_for("t", "STOPPED") == began
    assert host.container("t").exit_code == 137
    await host.kill()


@host_test
async def test_a_declared_stop_says_so_and_the_container_is_removed_by_force_in_the_end(tmp_path):
    host = Machine(tmp_path, give_up=GiveUp.DECLARE, stop_timeout_seconds=1, cleanup_seconds=100)
    backend = await host.boot()
    await host.run("t", container(ON_TERM="ignore"))
    await backend.wait_for("t", "RUNNING")
    host.runtime.faults["signal"] = 50
    await host.stop("t")
    await backend.wait_for("t", "STOPPED")
    [told] = backend.full[-1][1].containers
    assert told.reason == "CannotStopContainerError: as the script says"
    assert told.exit_code is None
    assert [proof for proof, _ in backend.of(Kind.HOST_ENDED, "proof")] == [Proof.GAVE_UP]
    assert len(backend.of(Kind.STOP_UNPROVEN)) == 1
    await asyncio.sleep(101)
    assert await host.runtime.containers() == []
    await host.kill()


# ---- the host


@host_test
async def test_a_task_that_can_never_fit_is_refused_at_once_and_blocks_nobody(tmp_path):
    host = Machine(tmp_path)
    backend = await host.boot()
    await host.run("fills", container(cpu=2048))
    await host.run("never", container(cpu=4096))
    await host.run("next", container(cpu=2048))
    assert await backend.wait_for("never", "STOPPED") == 0
    [report] = [report for task, report in backend.full if task == "never"]
    assert report.reason == (
        "ResourceInitializationError: RESOURCE:CPU: the task needs 4096 CPU units, the host has 2048"
    )
    await backend.wait_for("fills", "RUNNING")
    await host.stop("fills")
    await backend.wait_for("next", "RUNNING")
    await host.kill()


# ---- behind the agent's back


@host_test
async def test_an_exited_essential_container_that_somebody_starts_again_is_stopped_again_once(tmp_path):
    host = Machine(tmp_path, stop_timeout_seconds=3)
    backend = await host.boot()
    await host.run("t", container(ON_TERM="ignore", RUN_SECONDS="50", EXIT_CODE="1"))
    ended = await backend.wait_for("t", "STOPPED")
    docker_id = host.container("t").docker_id
    await asyncio.sleep(1)
    host.runtime.start_by_hand(docker_id)
    await asyncio.sleep(4)
    assert [about for about, _ in backend.of(Kind.CONTAINER_REVIVED)] == ["main"]
    [row] = await host.runtime.containers()
    assert not row.is_running
    host.runtime.start_by_hand(docker_id)
    await asyncio.sleep(40)
    assert (await host.runtime.containers())[0].is_running, "later ones are left alone"
    assert [(at, word) for at, _, word in backend.reports][-1] == (ended, "STOPPED")
    await host.kill()


@pytest.mark.parametrize(
    ("deed", "code", "reason"),
    [
        ("kill", 137, ""),
        ("oom", 137, "OutOfMemoryError: Container killed due to memory usage"),
        ("remove", 137, ""),
        ("remove while deaf", None, "ContainerVanishedError: No container matching saved ID found"),
    ],
)
def test_a_container_that_others_end(deed, code, reason, tmp_path):
    @host_test
    async def story(path):
        host = Machine(path)
        backend = await host.boot()
        await host.run("t", container())
        await backend.wait_for("t", "RUNNING")
        docker_id = host.container("t").docker_id
        host.runtime.is_deaf = "deaf" in deed
        if deed == "kill":
            host.runtime.kill_by_hand(docker_id)
        elif deed == "oom":
            host.runtime.kill_by_hand(docker_id, error=reason)
        else:
            host.runtime.remove_by_hand(docker_id)
        await backend.wait_for("t", "STOPPED")
        [told] = backend.full[-1][1].containers
        assert (told.exit_code, told.reason or "") == (code, reason)
        await host.kill()

    story(tmp_path)


@host_test
async def test_a_paused_container_is_stopped(tmp_path):
    host = Machine(tmp_path)
    backend = await host.boot()
    await host.run("t", container(QUIT_SECONDS="2"))
    began = await backend.wait_for("t", "RUNNING")
    host.runtime.pause_by_hand(host.container("t").docker_id)
    await host.stop("t")
    assert await backend.wait_for("t", "STOPPED") == began + 2
    await host.kill()


@host_test
async def test_a_start_whose_answer_was_lost_but_that_worked_is_a_start(tmp_path):
    host = Machine(tmp_path)
    backend = await host.boot()
    real = host.runtime.start

    async def start(docker_id):
        await real(docker_id)
        raise RuntimeCallError("DockerTimeoutError", "Could not transition to started; timed out after waiting 240s")

    host.runtime.start = start
    await host.run("t", container())
    await backend.wait_for("t", "RUNNING")
    await host.stop("t")
    await backend.wait_for("t", "STOPPED")
    assert not (await host.runtime.containers())[0].is_running
    await host.kill()


@host_test
async def test_a_start_whose_answer_was_lost_and_that_is_over_is_told_with_its_exit(tmp_path):
    host = Machine(tmp_path)
    backend = await host.boot()
    real = host.runtime.start

    async def start(docker_id):
        await real(docker_id)
        await asyncio.sleep(5)
        raise NoAnswerError("DockerTimeoutError", "Could not transition to started; timed out after waiting 5s")

    host.runtime.start = start
    await host.run("t", container(RUN_SECONDS="2", EXIT_CODE="3"))
    await backend.wait_for("t", "STOPPED")
    told = backend.full[-1][1].containers[0]
    assert (told.exit_code, told.reason) == (3, None)
    await host.kill()
