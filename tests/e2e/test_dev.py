"""`berth dev`, the real one, on the real engine: what it prints, checks, keeps, and leaves behind."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from berth_program import CHECKOUT, Berth, berth, containers, gone
from ports import free_port

from berth.client import EcsClient

pytestmark = pytest.mark.docker

CLEANED_WITHIN_SECONDS = 60


@pytest.fixture
def port() -> str:
    return str(free_port())


async def run_task(client: EcsClient, count: int = 1) -> list[str]:
    await client.call(
        "RegisterTaskDefinition",
        family="job",
        containerDefinitions=[
            {
                "name": "job",
                "image": "berth/stubborn:latest",
                "cpu": 256,
                "memory": 64,
                "essential": True,
                "environment": [{"name": "ON_TERM", "value": "ignore"}],
            }
        ],
    )
    answer = await client.call("RunTask", taskDefinition="job", count=count)
    assert answer["failures"] == []
    return [task["taskArn"] for task in answer["tasks"]]


async def wait_status(client: EcsClient, tasks: list[str], status: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    seen: list[str] = []
    while time.monotonic() < end:
        seen = [task["lastStatus"] for task in (await client.call("DescribeTasks", tasks=tasks))["tasks"]]
        if seen == [status] * len(tasks):
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"{seen} and not {status} within {seconds} s")


def no_containers_within(seconds: float, run: str) -> bool:
    """The removal that goes on when nobody waits for it: there is nothing to wait on but Docker itself."""
    end = time.monotonic() + seconds
    while containers(run) and time.monotonic() < end:
        time.sleep(0.1)
    return containers(run) == []


def test_it_prints_what_a_user_needs_and_connects_the_hosts(port: str, tmp_path: Path) -> None:
    with berth("dev", "--port", port, "--zones", "z-a,z-b", "--release", "on-exit", tmp=tmp_path / "t") as dev:
        dev.wait_for("✓ connected       host-1 host-2")
        assert "✓ control plane" in dev.output
        assert f"http://127.0.0.1:{port}" in dev.output
        assert "r5.large each: 2048 CPU, 15731 MiB; z-a, z-b" in dev.output
        assert "release=on-exit  queue=fifo  stop timeout=30s" in dev.output
        for words in ("AWS_ENDPOINT_URL_ECS", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            assert f"export {words}=" in dev.output or f" {words}=" in dev.output
        assert "aws ecs list-container-instances" in dev.output


async def test_the_hosts_are_what_was_asked_for(port: str, tmp_path: Path) -> None:
    arguments = ("--hosts", "3", "--instance-type", "m5.xlarge", "--zones", "z-a,z-b", "--reserved-memory", "500")
    with berth("dev", "--port", port, *arguments, tmp=tmp_path / "t") as dev:
        dev.wait_for("✓ connected       host-1 host-2 host-3")
        async with EcsClient(f"http://127.0.0.1:{port}") as client:
            arns = (await client.call("ListContainerInstances"))["containerInstanceArns"]
            described = await client.call("DescribeContainerInstances", containerInstances=arns)
        instances = described["containerInstances"]
        sizes = {
            tuple(r["integerValue"] for r in instance["registeredResources"] if r["name"] in ("CPU", "MEMORY"))
            for instance in instances
        }
        assert sizes == {(4096, 15731 - 500)}
        zones = [
            attribute["value"]
            for instance in instances
            for attribute in instance["attributes"]
            if attribute["name"] == "ecs.availability-zone"
        ]
        assert sorted(zones) == ["z-a", "z-a", "z-b"]


async def test_ctrl_c_leaves_nothing_behind(port: str, tmp_path: Path) -> None:
    with berth("dev", "--port", port, tmp=tmp_path / "t") as dev:
        dev.wait_for("✓ connected")
        async with EcsClient(f"http://127.0.0.1:{port}") as client:
            await wait_status(client, await run_task(client, 3), "RUNNING")
        run, family = dev.run(), dev.family()
        assert len(containers(run)) == 3
        assert len(family) == 3
        dev.interrupt()
        assert dev.end(CLEANED_WITHIN_SECONDS) == 0
        assert "All containers are removed, nothing is left behind." in dev.output
        assert containers(run) == []
        assert gone(family)
        assert dev.left_behind() == []


async def test_a_second_ctrl_c_forces(port: str, tmp_path: Path) -> None:
    with berth("dev", "--port", port, tmp=tmp_path / "t") as dev:
        dev.wait_for("✓ connected")
        async with EcsClient(f"http://127.0.0.1:{port}") as client:
            await wait_status(client, await run_task(client, 2), "RUNNING")
        run, family = dev.run(), dev.family()
        dev.interrupt()
        dev.wait_for("Ctrl-C again")
        dev.interrupt()
        dev.end(CLEANED_WITHIN_SECONDS)
        assert gone(family)
        assert dev.left_behind() == []
        assert no_containers_within(CLEANED_WITHIN_SECONDS, run)


async def test_kept_data_goes_on(port: str, tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    options = ("--hosts", "1", "--keep", str(keep))
    endpoint = f"http://127.0.0.1:{port}"
    with berth("dev", "--port", port, *options, tmp=tmp_path / "t") as dev:
        dev.wait_for("✓ connected")
        run = dev.run()
        async with EcsClient(endpoint) as client:
            first = (await client.call("ListContainerInstances"))["containerInstanceArns"]
            tasks = await run_task(client)
            await wait_status(client, tasks, "RUNNING")
        dev.interrupt()
        assert dev.end(CLEANED_WITHIN_SECONDS) == 0
        assert f"the data stays in {keep}" in dev.output
        assert containers(run) == [], "with --keep the containers go, too"
    with berth("dev", "--port", port, *options, tmp=tmp_path / "t") as dev:
        dev.wait_for("✓ connected")
        async with EcsClient(endpoint) as client:
            assert (await client.call("ListContainerInstances"))["containerInstanceArns"] == first
            await wait_status(client, tasks, "STOPPED")
        with berth("dev", "--port", str(free_port()), *options, tmp=tmp_path / "other") as second:
            sentence = refused(second)
    assert sentence == f"{keep} is in use by another berth dev: stop that, or keep the data elsewhere."


def test_an_agent_that_dies_is_told_and_the_rest_goes_on(port: str, tmp_path: Path) -> None:
    with berth("dev", "--port", port, tmp=tmp_path / "t") as dev:
        dev.wait_for("✓ connected")
        dev.agents()[0].kill()
        dev.wait_for("was killed by SIGKILL; the end of")
        assert dev.process.poll() is None
        assert len(dev.family()) == 2, "nothing is restarted"


def test_without_its_control_plane_it_ends_and_cleans_up(port: str, tmp_path: Path) -> None:
    with berth("dev", "--port", port, tmp=tmp_path / "t") as dev:
        dev.wait_for("✓ connected")
        family = dev.family()
        next(process for process in family if process.cmdline()[-1:] == ["controlplane"]).kill()
        assert dev.end(CLEANED_WITHIN_SECONDS) == 1
        assert "control plane was killed by SIGKILL" in dev.output
        assert gone(family)
        assert dev.left_behind() == []


def test_killed_itself_it_leaves_no_process(port: str, tmp_path: Path) -> None:
    with berth("dev", "--port", port, tmp=tmp_path / "t") as dev:
        dev.wait_for("✓ connected")
        family = dev.family()
        dev.process.kill()
        assert gone(family)


def refused(program: Berth) -> str:
    """The one sentence of a start that was refused; nothing was started and nothing is left."""
    assert program.end(60) == 2
    assert len(program.lines) == 1
    assert program.left_behind() == []
    return program.lines[0]


def test_a_busy_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        with berth("dev", "--port", port, tmp=tmp_path / "t") as dev:
            sentence = refused(dev)
    assert sentence.startswith(f"Port {port} is taken by {psutil.Process().name()}")
    assert "--port" in sentence


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--instance-type", "r5.big"), "the nearest are r5.large"),
        (("--policy", "mine"), "there are ecs-2026, ecs-2015, on-exit, deadline, lease."),
        (("--stop-timeout", "soon"), "write it like 5s, 2m or 1h30m"),
    ],
)
def test_wrong_options_are_named(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    with berth("dev", *arguments, tmp=tmp_path / "t") as dev:
        assert words in refused(dev)


def test_no_engine_is_said_so(port: str, tmp_path: Path) -> None:
    with berth("dev", "--port", port, tmp=tmp_path / "t", DOCKER_HOST="unix:///nowhere/docker.sock") as dev:
        assert "Docker" in refused(dev)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give the socket to somebody else")
def test_a_socket_that_may_not_be_opened_is_said_so(tmp_path: Path) -> None:
    """Root without its capabilities, and a socket that belongs to another user."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        os.chown(path, 12345, 12345)
        path.chmod(0o600)
        powerless = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
        command = [*powerless, sys.executable, "-m", "berth", "dev"]
        environment = {**os.environ, "DOCKER_HOST": f"unix://{path}"}
        done = subprocess.run(
            command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 2
    assert done.stderr == "The Docker socket may not be opened by this user: join the group `docker`, or run as root.\n"
    assert done.stdout == ""
