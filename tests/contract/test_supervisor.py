"""The supervisor with stand-in programs: what it starts and with what, what it tells, what it leaves behind."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from ports import free_port

from berth import checks, devserver
from berth.checks import check_port
from berth.devserver import DevServer, Programs, Settings, StartFailed
from berth.errors import UserError

STAND_IN = str(Path(__file__).parent / "stand_in.py")
PROGRAMS = Programs((sys.executable, STAND_IN, "controlplane"), (sys.executable, STAND_IN, "agent"))


@pytest.fixture(autouse=True)
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STAND_IN_SWEPT", str(tmp_path / "swept"))
    return tmp_path / "swept"


@asynccontextmanager
async def server(**members: object) -> AsyncIterator[DevServer]:
    served = DevServer(Settings(port=free_port(), **members), PROGRAMS)  # type: ignore[arg-type]
    try:
        served.open()
        yield served
    finally:
        await served.close()


def text_of(path: Path) -> str:
    return path.read_text()


def given_to(served: DevServer, host: str) -> dict[str, str]:
    given: dict[str, str] = json.loads((served.folder / host / "environment.json").read_text())
    return given


async def test_it_starts_hosts_and_leaves_nothing_behind(swept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECS_CLUSTER", "the user's own")
    async with server(hosts=2, zones=("z-a", "z-b"), release="on-exit", stop_timeout_seconds=5) as served:
        await served.start()
        await served.add_hosts()
        hosts = await served.wait_connected()
        assert sorted(hosts.values()) == ["host-1", "host-2"]
        given = [given_to(served, host) for host in ("host-1", "host-2")]
        assert [each["BERTH_AVAILABILITY_ZONE"] for each in given] == ["z-a", "z-b"]
        assert given[0] == {
            "AWS_ACCESS_KEY_ID": "berth",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_SECRET_ACCESS_KEY": "berth",
            "BERTH_AVAILABILITY_ZONE": "z-a",
            "BERTH_INSTANCE_TYPE": "r5.large",
            "BERTH_RUN": served.run,
            "ECS_BACKEND_HOST": served.endpoint,
            "ECS_CLUSTER": "default",
            "ECS_CONTAINER_STOP_TIMEOUT": "5s",
            "ECS_DATADIR": str(served.folder / "host-1"),
            "ECS_IMAGE_PULL_BEHAVIOR": "prefer-cached",
            "ECS_INSTANCE_ATTRIBUTES": '{"berth.host": "host-1"}',
            "ECS_RESERVED_MEMORY": "0",
            "ECS_RESOURCE_RELEASE": "on-exit",
            "ECS_TASK_QUEUE": "fifo",
        }
        children = psutil.Process().children()
        assert len(children) == 3
        assert await served.add_host() == "host-3"
        assert len(await served.wait_connected()) == 3
        assert await served.close() == ""
    assert text_of(swept) == served.run
    assert not served.folder.exists()
    assert psutil.Process().children() == []


async def test_the_preset_has_its_agent_half_and_release_wins_over_it() -> None:
    async with server(hosts=1, preset="ecs-2015", release="on-exit") as served:
        await served.start()
        await served.add_hosts()
        await served.wait_connected()
        given = given_to(served, "host-1")
        assert (given["ECS_TASK_QUEUE"], given["ECS_RESOURCE_RELEASE"]) == ("serial", "on-exit")
    assert Settings(port=1, preset="on-exit").agent_release == "on-exit"
    assert Settings(port=1).agent_release == "eager"


async def test_a_control_plane_that_fails_is_told_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_FAILS", "controlplane")
    async with server() as served:
        with pytest.raises(StartFailed, match=r"control plane ended with code 1.*\n    the disk is full"):
            await served.start()
    assert not served.folder.exists()


async def test_an_agent_that_fails_is_told_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_FAILS", "agent")
    async with server(hosts=1) as served:
        await served.start()
        await served.add_hosts()
        with pytest.raises(StartFailed, match=r"host-1 ended with code 1.*\n    no such instance type"):
            await served.wait_connected()


async def test_a_host_that_is_killed_is_told_at_once() -> None:
    async with server(hosts=1) as served:
        await served.start()
        await served.add_hosts()
        await served.wait_connected()
        agent = next(child for child in psutil.Process().children() if child.cmdline()[-1] == "agent")
        agent.kill()
        death = await asyncio.wait_for(served.deaths.get(), 60)
        assert (death.name, death.is_controlplane) == ("host-1", False)
        assert "host-1 was killed by SIGKILL" in death.obituary
        assert "registered" in death.obituary


async def test_a_host_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_FAILS", "stubborn")
    monkeypatch.setattr(devserver, "END_SECONDS", 0.3)
    async with server(hosts=1) as served:
        await served.start()
        await served.add_hosts()
        await served.wait_connected()
        await served.close()
        assert psutil.Process().children() == []


async def test_kept_data_stays_and_has_one_user_at_a_time(tmp_path: Path) -> None:
    keep = tmp_path / "data"
    async with server(hosts=1, keep=keep) as served:
        await served.start()
        await served.add_hosts()
        await served.wait_connected()
        first_run = served.run
        with pytest.raises(UserError, match="is in use by another berth dev"):
            DevServer(Settings(port=free_port(), keep=keep), PROGRAMS).open()
    assert (keep / "host-1").is_dir()
    async with server(keep=keep) as again:
        await again.start()
        assert again.run == first_run, "its containers are swept under the same name"


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from berth.children import Child

PROGRAM = "import sys, time; sys.stderr.write('up'); sys.stderr.flush(); time.sleep(60)"

async def main(log, waits):
    child = await Child.start("x", [sys.executable, "-c", PROGRAM], settings={}, log=log)
    while waits and not log.read_text():
        await asyncio.sleep(0.01)
    print(child.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2] == "up"))
"""


@pytest.mark.parametrize("moment", ["up", "starting"])
async def test_children_do_not_outlive_a_killed_supervisor(moment: str, tmp_path: Path) -> None:
    """Neither one that runs, nor one that is not yet tied."""
    code = Path(devserver.__file__).parent.parent
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUPERVISOR, str(tmp_path / "log"), moment, stdout=asyncio.subprocess.PIPE, cwd=code
    )
    assert supervisor.stdout is not None
    child = psutil.Process(int(await supervisor.stdout.readline()))
    supervisor.kill()
    await supervisor.wait()
    gone, _ = await asyncio.to_thread(psutil.wait_procs, [child], timeout=60)
    assert gone


def test_a_busy_port_is_named_with_the_program_that_has_it() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError) as refusal:
            check_port("127.0.0.1", port)
    assert str(port) in refusal.value.message
    assert f"(process {os.getpid()})" in refusal.value.message
    check_port("127.0.0.1", checks.free_port("127.0.0.1"))


async def test_force_ends_children_without_waiting(swept: Path) -> None:
    async with server(hosts=1) as served:
        await served.start()
        await served.add_hosts()
        await served.wait_connected()
        children = psutil.Process().children()
        served.force()
        gone, alive = await asyncio.to_thread(psutil.wait_procs, children, timeout=60)
        assert (len(gone), alive) == (2, [])
        assert not served.folder.exists()
        assert served._last_sweep is not None
        assert await asyncio.to_thread(served._last_sweep.wait, 60) == 0
        assert text_of(swept) == served.run
