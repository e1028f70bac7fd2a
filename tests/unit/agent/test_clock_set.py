"""The wall clock of the host is set while tasks run and stop: no grace is cut, none is lengthened."""

import asyncio

import pytest
import scripted_host
from scripted_host import STOP, Machine
from virtual_time import epoch, run_virtual

from agent.clock import WallClock
from agent.core.spec import ContainerSpec, RestartPolicy
from wire.story import Kind

HOUR = 3600.0
SETTINGS = pytest.mark.parametrize("seconds", [HOUR, -HOUR])


class Clock:
    """Wall time that a test can set."""

    def __init__(self):
        self.by = 0.0

    def __call__(self):
        return epoch() + self.by


def virtual_seconds():
    return asyncio.get_running_loop().time()


async def host_of(path, monkeypatch, **policy):
    """A booted host whose clock can be set, with Docker on the same clock."""
    clock = Clock()
    monkeypatch.setattr(scripted_host, "epoch", clock)
    host = Machine(path, stop_timeout_seconds=10, **policy)
    return host, await host.boot(), clock


async def stopped_after(backend, task):
    await backend.wait_for(task, "STOPPED")
    return round(virtual_seconds(), 3)


@SETTINGS
def test_during_the_grace(tmp_path, monkeypatch, seconds):
    async def story():
        host, backend, clock = await host_of(tmp_path, monkeypatch)
        await host.want("a", ON_TERM="ignore")
        await backend.wait_for("a", "RUNNING")
        began = virtual_seconds()
        await host.want("a", STOP)
        await asyncio.sleep(3)
        clock.by = seconds
        assert await stopped_after(backend, "a") == began + 10
        await host.kill()

    run_virtual(story())


@SETTINGS
def test_while_the_signal_is_being_delivered(tmp_path, monkeypatch, seconds):
    """The fact was stamped before the clock was set, and is taken in after it."""

    async def story():
        host, backend, clock = await host_of(tmp_path, monkeypatch)
        await host.want("a", ON_TERM="ignore")
        await backend.wait_for("a", "RUNNING")
        began = virtual_seconds()
        give = host.engine._effects._give

        def give_late(fact):
            clock.by = seconds
            give(fact)

        host.engine._effects._give = give_late
        await host.want("a", STOP)
        assert await stopped_after(backend, "a") == began + 10
        await host.kill()

    run_virtual(story())


@SETTINGS
def test_while_docker_refuses_the_signal(tmp_path, monkeypatch, seconds):
    """The kill comes when the grace is over, and not before."""

    async def story():
        host, backend, clock = await host_of(tmp_path, monkeypatch)
        await host.want("a", ON_TERM="ignore")
        await backend.wait_for("a", "RUNNING")
        began = virtual_seconds()
        host.runtime.faults["signal"] = 4
        await host.want("a", STOP)
        await asyncio.sleep(0.5)
        clock.by = seconds
        assert await stopped_after(backend, "a") == round(began + 1 + 1.3 + 1.7 + 2.2 + 10, 3)
        assert [name for name, _ in backend.of(Kind.CONTAINER_SIGNALLED)] == ["main"], "TERM, then the whole grace"
        await host.kill()

    run_virtual(story())


@SETTINGS
def test_set_and_then_the_agent_restarted(tmp_path, monkeypatch, seconds):
    """What is on disk has moved with the clock: the stop ends at the moment that it was given."""

    async def story():
        host, backend, clock = await host_of(tmp_path, monkeypatch)
        await host.want("a", ON_TERM="ignore")
        await backend.wait_for("a", "RUNNING")
        began = virtual_seconds()
        await host.want("a", STOP)
        await asyncio.sleep(1)
        clock.by = seconds
        await asyncio.sleep(5.5)
        await host.kill()
        await asyncio.sleep(1)
        backend = await host.boot()
        assert await stopped_after(backend, "a") == began + 10
        await host.kill()

    run_virtual(story())


@SETTINGS
def test_a_restarted_containers_end_is_not_taken_for_a_former_life(tmp_path, monkeypatch, seconds):
    async def story():
        host, backend, clock = await host_of(tmp_path, monkeypatch)
        policy = RestartPolicy(ignored_exit_codes=(3,), attempt_period_seconds=1)
        environment = {"RUN_SECONDS": "4", "EXIT_CODE": "0"}
        main = ContainerSpec(name="main", image="i", essential=True, environment=environment, restart=policy)
        await host.run("a", main)
        await backend.wait_for("a", "RUNNING")
        await asyncio.sleep(5)
        assert host.container("a").restarts == 1
        clock.by = seconds
        await host.stop("a")
        await backend.wait_for("a", "STOPPED")
        assert host.container("a").exit_code == 0
        await host.kill()

    run_virtual(story())


@SETTINGS
def test_the_queues_order_after_a_restart(tmp_path, monkeypatch, seconds):
    async def story():
        host, backend, clock = await host_of(tmp_path, monkeypatch)
        for task in ("a", "b", "c"):
            await host.want(task)
        await backend.wait_for("b", "RUNNING")
        clock.by = seconds
        await host.want("d")
        await host.kill()
        backend = await host.boot()
        await host.want("a", STOP)
        await backend.wait_for("c", "RUNNING")
        assert host.engine.task("d").known < host.engine.task("c").known
        await host.kill()

    run_virtual(story())


def test_a_clock_that_is_only_corrected_was_not_set():
    now = {"wall": 1000.0, "steady": 5.0}
    clock = WallClock(lambda: now["wall"], lambda: now["steady"])
    now.update(wall=1010.1, steady=15.0)
    assert clock.set_by() == 0
    now.update(wall=1110.1)
    assert round(clock.set_by(), 6) == 100.1
    assert clock.set_by() == 0
