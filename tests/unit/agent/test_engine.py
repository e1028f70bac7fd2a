"""The engine with the scripted runtime, on virtual time: what a whole host does, crashes included."""

import asyncio

from scripted_host import RUN, STOP, Machine, host_test
from virtual_time import EPOCH, epoch

from agent.core.events import Desired
from agent.core.queueing import QueuePolicy
from agent.core.spec import ContainerSpec, TaskSpec
from agent.core.state import Release
from wire.story import Kind


@host_test
async def test_a_start_is_reported_and_a_stop_within_the_grace_exits_zero(tmp_path):
    host = Machine(tmp_path)
    backend = await host.boot()
    await host.want("a", QUIT_SECONDS="2")
    await backend.wait_for("a", "RUNNING")
    await host.want("a", STOP)
    stopped = await backend.wait_for("a", "STOPPED")
    assert stopped == 0.6 + 2
    assert host.engine.task("a").containers[0].exit_code == 0
    await host.kill()


@host_test
async def test_term_ignored_is_killed_at_the_grace(tmp_path):
    host = Machine(tmp_path, stop_timeout_seconds=30)
    backend = await host.boot()
    await host.want("a", ON_TERM="ignore")
    began = await backend.wait_for("a", "RUNNING")
    await host.want("a", STOP)
    assert await backend.wait_for("a", "STOPPED") == began + 30
    assert host.engine.task("a").containers[0].exit_code == 137
    await host.kill()


@host_test
async def test_issue_4106_on_one_host_eager(tmp_path):
    """Two old tasks, one in a long job; two new ones arrive at once and one of them waits for the job's end."""
    host = Machine(tmp_path, stop_timeout_seconds=60)
    backend = await host.boot()
    await host.want("old-1", QUIT_SECONDS="2")
    await host.want("old-2", QUIT_SECONDS="40")
    await backend.wait_for("old-2", "RUNNING")
    asked = round(epoch() - EPOCH, 3)
    await host.want("old-1", STOP)
    await host.want("old-2", STOP)
    await host.want("new-1")
    await host.want("new-2")
    assert await backend.wait_for("old-2", "release STOP_REQUESTED") == asked
    assert await backend.wait_for("new-1", "RUNNING") == asked + 2 + 0.6
    assert await backend.wait_for("new-2", "RUNNING") == asked + 40 + 0.6
    assert backend.times(Kind.HOST_HELD)["new-2"] == asked + 40, "admitted at the release itself"
    await host.kill()


@host_test
async def test_on_exit_release_follows_the_exit(tmp_path):
    host = Machine(tmp_path, release=Release.ON_EXIT)
    backend = await host.boot()
    await host.want("a", QUIT_SECONDS="9")
    await backend.wait_for("a", "RUNNING")
    await host.want("a", STOP)
    released = await backend.wait_for("a", "release EXIT_SEEN")
    assert released == 0.6 + 9
    await backend.wait_for("a", "STOPPED")
    words = [word for _, _, word in backend.reports]
    assert words == ["RUNNING", "release EXIT_SEEN", "STOPPED"]
    await host.kill()


@host_test
async def test_killed_in_the_middle_of_a_stop_it_is_finished_at_the_original_deadline_with_one_signal(tmp_path):
    host = Machine(tmp_path, stop_timeout_seconds=20)
    backend = await host.boot()
    await host.want("a", ON_TERM="ignore")
    began = await backend.wait_for("a", "RUNNING")
    await host.want("a", STOP)
    await asyncio.sleep(5)
    await host.kill()
    await asyncio.sleep(4)
    backend = await host.boot()
    assert await backend.wait_for("a", "STOPPED") == began + 20
    assert [verb for verb, _ in host.runtime.calls].count("signal") == 2, "TERM once, KILL once"
    await host.kill()


@host_test
async def test_what_waited_in_the_queue_waits_in_the_same_order_after_a_restart(tmp_path):
    host = Machine(tmp_path)
    backend = await host.boot()
    for task in ("a", "b", "c", "d"):
        await host.want(task)
    await backend.wait_for("b", "RUNNING")
    await host.kill()
    backend = await host.boot()
    await host.want("a", STOP)
    await backend.wait_for("c", "RUNNING")
    await host.want("b", STOP)
    await backend.wait_for("d", "RUNNING")
    assert [name for verb, name in host.runtime.calls if verb == "start"] == ["main"] * 4
    await host.kill()


@host_test
async def test_exits_while_the_agent_was_dead_are_told_and_nothing_is_started_twice(tmp_path):
    host = Machine(tmp_path)
    backend = await host.boot()
    await host.want("a", RUN_SECONDS="3", EXIT_CODE="4")
    await backend.wait_for("a", "RUNNING")
    await host.kill()
    await asyncio.sleep(10)
    backend = await host.boot()
    await backend.wait_for("a", "STOPPED")
    assert host.engine.task("a").containers[0].exit_code == 4
    assert [verb for verb, _ in host.runtime.calls].count("create") == 1
    await host.kill()


@host_test
async def test_reports_that_nobody_took_are_sent_after_a_restart(tmp_path):
    host = Machine(tmp_path)
    backend = await host.boot()
    backend.is_away = True
    await host.want("a")
    await asyncio.sleep(5)
    await host.kill()
    backend = await host.boot()
    await backend.wait_for("a", "RUNNING")
    await host.kill()


@host_test
async def test_an_exit_that_docker_never_told_is_found_by_listing(tmp_path):
    host = Machine(tmp_path)
    backend = await host.boot()
    await host.want("a", RUN_SECONDS="5")
    await backend.wait_for("a", "RUNNING")
    host.runtime.is_deaf = True
    assert await backend.wait_for("a", "STOPPED") <= 61
    await host.kill()


@host_test
async def test_what_is_created_is_started_before_more_is_created(tmp_path):
    host = Machine(tmp_path)
    backend = await host.boot()
    for n in range(4):
        spec = TaskSpec(arn=f"t{n}", containers=(ContainerSpec(name=f"c{n}", image="i", essential=True),))
        await host.engine.submit(Desired(task=f"t{n}", cause="m", desired=RUN, spec=spec))
    await backend.wait_for("t3", "RUNNING")
    verbs = [verb for verb, _ in host.runtime.calls if verb in ("create", "start")]
    assert verbs == ["create", "start", "create", "start", "create", "start", "create", "start"]
    await host.kill()


@host_test
async def test_a_signal_that_fails_twice_is_sent_again_and_the_grace_runs_from_its_delivery(tmp_path):
    host = Machine(tmp_path, stop_timeout_seconds=10)
    backend = await host.boot()
    await host.want("a", ON_TERM="ignore")
    began = await backend.wait_for("a", "RUNNING")
    host.runtime.faults["signal"] = 2
    await host.want("a", STOP)
    stopped = await backend.wait_for("a", "STOPPED")
    assert stopped == began + 1.0 + 1.3 + 10
    await host.kill()


@host_test
async def test_a_stopped_tasks_container_is_removed_and_the_task_forgotten_after_the_clean_up_wait(tmp_path):
    host = Machine(tmp_path, cleanup_seconds=100)
    backend = await host.boot()
    await host.want("a", RUN_SECONDS="1")
    await backend.wait_for("a", "STOPPED")
    assert len(await host.runtime.containers()) == 1
    await asyncio.sleep(101)
    assert await host.runtime.containers() == []
    assert host.engine.task("a") is None
    assert host.journal.tasks() == []
    await host.kill()


@host_test
async def test_greedy_with_a_limit_fails_the_task_that_waited_too_long(tmp_path):
    host = Machine(tmp_path, queue=QueuePolicy.GREEDY, queue_limit_seconds=300)
    backend = await host.boot()
    for task in ("a", "b", "c"):
        await host.want(task)
    assert await backend.wait_for("c", "STOPPED") == 300
    await host.kill()


@host_test
async def test_the_limit_of_the_wait_runs_on_over_a_restart(tmp_path):
    host = Machine(tmp_path, queue=QueuePolicy.GREEDY, queue_limit_seconds=300)
    backend = await host.boot()
    for task in ("a", "b", "c"):
        await host.want(task)
    await backend.wait_for("b", "RUNNING")
    await asyncio.sleep(100)
    await host.kill()
    backend = await host.boot()
    async with asyncio.timeout(1000):
        assert await backend.wait_for("c", "STOPPED") == 300
    await host.kill()
