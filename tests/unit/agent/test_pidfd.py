"""The kernel's word about an exit, on real processes that are nobody's child here."""

import asyncio
import os
import subprocess

import pytest

from agent.runtime import pidfd
from agent.runtime.pidfd import ProcessWatch

pytestmark = pytest.mark.skipif(not pidfd._IS_SUPPORTED, reason="needs Linux 6.15")


def stranger(script):
    """A process whose parent is another shell, as a container's is its shim. Returns its pid."""
    outer = f"sh -c '{script}' & echo $!; wait"
    process = subprocess.Popen(["sh", "-c", outer], stdout=subprocess.PIPE, start_new_session=True)
    return process, int(process.stdout.readline())


@pytest.fixture
def any_process(monkeypatch):
    """These processes are in no container, and their parent may take its time to reap them."""
    monkeypatch.setattr(pidfd, "_belongs", lambda *_: True)
    monkeypatch.setattr(pidfd, "REAP_TRIES", 100_000)


async def end_of(script, kill=None):
    watch, told = ProcessWatch(), asyncio.get_running_loop().create_future()
    process, pid = stranger(script)
    assert watch.watch("d", pid, told.set_result)
    if kill:
        os.kill(pid, kill)
    status = await asyncio.wait_for(told, 60)
    process.communicate()
    assert watch._open == {}
    return status


@pytest.mark.usefixtures("any_process")
async def test_exit_codes_and_signals():
    ends = [end_of("sleep 1; exit 0"), end_of("sleep 1; exit 7")]
    ends += [end_of("exec sleep 60", kill=15), end_of("exec sleep 60", kill=9)]
    assert await asyncio.gather(*ends) == [0, 7, 143, 137]


async def test_a_process_outside_the_container_is_not_believed():
    watch = ProcessWatch()
    assert not watch.watch("0" * 64, os.getpid(), lambda _: None)
    assert watch._open == {}


@pytest.mark.usefixtures("any_process")
async def test_a_pid_that_is_gone_is_not_watched():
    process, pid = stranger("exit 0")
    process.communicate()
    assert not ProcessWatch().watch("d", pid, lambda _: None)


@pytest.mark.usefixtures("any_process")
async def test_forgotten_is_not_told():
    watch = ProcessWatch()
    process, pid = stranger("exec sleep 60")
    assert watch.watch("d", pid, lambda _: pytest.fail("told"))
    watch.forget("d")
    os.kill(pid, 9)
    process.communicate()
    await asyncio.sleep(0)
    assert watch._open == {}
