"""Amazon's own agent (1.105.1), played from recordings of it, served by our control plane as it is.

The recordings under `wire/` are data; their ids are stand-ins. What DescribeTasks must show after each report and after
each acknowledged stop is written out below: the task's number, its status, its containers with their exit codes.
"""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from apiside import Ecs
from wire_player import CLUSTER, Player

from controlplane.api import limits
from controlplane.config import Config
from controlplane.server import ControlPlane, running
from wire.holds import Proof
from wire.story import Kind

STEPS = {
    "register": "",
    "run": """
        1 RUNNING web=RUNNING
        2 RUNNING main=RUNNING side=RUNNING
        2 RUNNING main=RUNNING side=STOPPED/0
        1 STOPPING web=RUNNING
        2 STOPPING main=RUNNING side=STOPPED/0
        2 STOPPED main=STOPPED/0 side=STOPPED/0
        1 STOPPED web=STOPPED/0
    """,
    "stop": """
        1 RUNNING main=RUNNING
        1 STOPPING main=RUNNING
        1 STOPPED main=STOPPED/0
        2 RUNNING main=RUNNING
        2 STOPPING main=RUNNING
        2 STOPPED main=STOPPED/0
    """,
    "kill-timeout": """
        1 RUNNING main=RUNNING
        3 RUNNING main=RUNNING
        2 RUNNING main=RUNNING
        4 RUNNING one=RUNNING two=RUNNING
        4 STOPPING one=RUNNING two=RUNNING
        2 STOPPING main=RUNNING
        1 STOPPING main=RUNNING
        3 STOPPING main=RUNNING
        1 STOPPED main=STOPPED/137
        3 STOPPED main=STOPPED/137
        4 STOPPED one=STOPPED/137 two=STOPPED/137
        2 STOPPED main=STOPPED/137
    """,
    "queued-second-task": """
        1 RUNNING main=RUNNING
        1 STOPPING main=RUNNING
        1 STOPPED main=STOPPED/137
        3 RUNNING main=RUNNING
        2 RUNNING main=RUNNING
        2 STOPPING main=RUNNING
        2 STOPPED main=STOPPED/0
        5 RUNNING main=RUNNING
        6 RUNNING main=RUNNING
        6 STOPPING main=RUNNING
        6 STOPPED main=STOPPED/137
        7 RUNNING main=RUNNING
        3 STOPPING main=RUNNING
        3 STOPPED main=STOPPED/0
        5 STOPPING main=RUNNING
        5 STOPPED main=STOPPED/0
        7 STOPPING main=RUNNING
        7 STOPPED main=STOPPED/0
    """,
    "restart": """
        2 RUNNING main=RUNNING
        3 RUNNING main=RUNNING
        1 RUNNING main=RUNNING
        2 STOPPING main=RUNNING
        3 STOPPED main=STOPPED/3
        2 STOPPED main=STOPPED/137
        4 RUNNING main=RUNNING
        5 RUNNING main=RUNNING
    """,
    "bad-image": """
        1 STOPPED main=STOPPED
        8 STOPPED main=STOPPED
        b RUNNING main=RUNNING
        b STOPPING main=RUNNING
        b STOPPED main=STOPPED/0
        c STOPPED main=STOPPED
        d STOPPED main=STOPPED
        e STOPPED main=STOPPED
        f STOPPED main=STOPPED
    """,
    "exit3": """
        1 RUNNING main=RUNNING
        1 STOPPED main=STOPPED/3
        2 RUNNING main=RUNNING side=RUNNING
        2 STOPPED main=STOPPED/3 side=STOPPED/137
        3 STOPPED main=STOPPED
        4 RUNNING main=RUNNING
        4 STOPPED main=STOPPED/137
        5 RUNNING main=RUNNING
        6 RUNNING main=RUNNING
        6 STOPPED main=STOPPED/3
    """,
    "health": """
        4 RUNNING main=RUNNING
        6 STOPPED init=STOPPED/5 main=STOPPED/143
        1 RUNNING db=RUNNING main=RUNNING
        5 RUNNING init=STOPPED/0 main=RUNNING
        3 STOPPED db=STOPPED/0 main=STOPPED/143
        1 STOPPING db=RUNNING main=RUNNING
        1 STOPPED db=STOPPED/0 main=STOPPED/0
        4 STOPPING main=RUNNING
        5 STOPPING init=STOPPED/0 main=RUNNING
        5 STOPPED init=STOPPED/0 main=STOPPED/0
        4 STOPPED main=STOPPED/0
        2 PENDING db=RUNNING main=PENDING
        2 STOPPED db=STOPPED/0 main=STOPPED
    """,
    "metrics": """
        1 RUNNING busy=RUNNING
        2 RUNNING idle=RUNNING
        1 STOPPING busy=RUNNING
        1 STOPPED busy=STOPPED/0
        2 STOPPING idle=RUNNING
        2 STOPPED idle=STOPPED/0
    """,
    "pull": """
        1 PENDING main=PENDING
        1 RUNNING main=RUNNING
        1 STOPPING main=RUNNING
        1 STOPPED main=STOPPED/0
        2 PENDING main=PENDING
        2 RUNNING main=RUNNING
        2 STOPPING main=RUNNING
        2 STOPPED main=STOPPED/0
        3 PENDING main=PENDING
        3 RUNNING main=RUNNING
        3 STOPPING main=RUNNING
        3 STOPPED main=STOPPED/0
        4 PENDING main=PENDING
        4 RUNNING main=RUNNING
        4 STOPPING main=RUNNING
        4 STOPPED main=STOPPED/0
        5 PENDING main=PENDING
        5 RUNNING main=RUNNING
        5 STOPPING main=RUNNING
        5 STOPPED main=STOPPED/0
        6 PENDING main=PENDING
        6 RUNNING main=RUNNING
        6 STOPPING main=RUNNING
        6 STOPPED main=STOPPED/0
        7 PENDING main=PENDING
        7 RUNNING main=RUNNING
        7 STOPPING main=RUNNING
        7 STOPPED main=STOPPED/0
        8 PENDING main=PENDING
        8 RUNNING main=RUNNING
        8 STOPPING main=RUNNING
        8 STOPPED main=STOPPED/0
    """,
    "manifest-reconnect-errors": """
        3 RUNNING main=RUNNING
        1 RUNNING main=RUNNING
        2 RUNNING main=RUNNING
        3 STOPPED main=STOPPED/0
        4 RUNNING main=RUNNING
        4 STOPPING main=RUNNING
        4 STOPPED main=STOPPED/0
        5 RUNNING main=RUNNING
        5 STOPPING main=RUNNING
        5 STOPPED main=STOPPED/0
        6 RUNNING main=RUNNING
        6 STOPPING main=RUNNING
        6 STOPPED main=STOPPED/0
        7 RUNNING main=RUNNING
        7 STOPPING main=RUNNING
        7 STOPPED main=STOPPED/0
        8 RUNNING main=RUNNING
        8 STOPPING main=RUNNING
        8 STOPPED main=STOPPED/0
        9 RUNNING main=RUNNING
        9 STOPPING main=RUNNING
        9 STOPPED main=STOPPED/0
        a RUNNING main=RUNNING
        a STOPPING main=RUNNING
        a STOPPED main=STOPPED/0
        b RUNNING main=RUNNING
        b STOPPING main=RUNNING
        b STOPPED main=STOPPED/0
        c RUNNING main=RUNNING
        c STOPPED main=STOPPED/6
        1 STOPPING main=RUNNING
        2 STOPPING main=RUNNING
        1 STOPPED main=STOPPED/0
        2 STOPPED main=STOPPED/0
        d RUNNING main=RUNNING
        d STOPPING main=RUNNING
        d STOPPED main=STOPPED/0
    """,
    "docker-stop-fails": """
        1 RUNNING main=RUNNING
        1 STOPPING main=RUNNING
        1 STOPPED main=STOPPED
        2 RUNNING main=RUNNING
        2 STOPPING main=RUNNING
        2 STOPPED main=STOPPED/137
    """,
    "two-agents": """
        2 RUNNING main=RUNNING
        1 RUNNING main=RUNNING
        1 STOPPING main=RUNNING
        1 STOPPED main=STOPPED/0
        2 STOPPING main=RUNNING
        2 STOPPED main=STOPPED/137
        3 RUNNING main=RUNNING
        4 RUNNING main=RUNNING
        3 STOPPING main=RUNNING
        4 STOPPING main=RUNNING
        3 STOPPED main=STOPPED/0
        4 STOPPED main=STOPPED/0
        5 RUNNING main=RUNNING
        5 STOPPING main=RUNNING
        5 STOPPED main=STOPPED/0
    """,
}
"""What each recording leads to. A task that is stopped while it waits for room has no STOPPING."""


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    async with running(Config(port=0, account="000000000000")) as plane:
        yield plane


@pytest.fixture
async def player(plane: ControlPlane, ecs: Ecs, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Player]:
    """What our own agents cannot run yet is no matter here: Amazon's can."""
    monkeypatch.setattr(limits, "TASK_DEFINITION", {})
    monkeypatch.setattr(limits, "CONTAINER", {})
    async with aiohttp.ClientSession() as session:
        player = Player(plane, ecs, session)
        yield player
        await player.close()


def ends(player: Player) -> set[str]:
    """The proofs with which placement holds ended."""
    return {line.data["proof"] for line in player.story(Kind.PLACEMENT_ENDED)}


@pytest.mark.parametrize("name", STEPS)
async def test_step_by_step(player: Player, name: str) -> None:
    await player.play(name)
    assert player.steps == [step.strip() for step in STEPS[name].strip().splitlines()]
    assert not player.waiting


async def test_register_is_one_instance_over_a_restart(player: Player, ecs: Ecs) -> None:
    await player.play("register")
    [arn] = (await ecs.list_container_instances(cluster=CLUSTER))["containerInstanceArns"]
    described = await ecs.describe_container_instances(cluster=CLUSTER, containerInstances=[arn], include=["TAGS"])
    [instance] = described["containerInstances"]
    attributes = {attribute["name"]: attribute.get("value") for attribute in instance["attributes"]}
    assert attributes["rack"] == "r1", "custom attributes are sent the first time only"
    assert attributes["ecs.capability.external"] is None
    assert instance["tags"] == [{"key": "team", "value": "t1"}]
    assert instance["versionInfo"] == {"agentVersion": "1.105.1", "dockerVersion": "DockerVersion: 20.10.24+dfsg1"}
    assert instance["registeredResources"] == instance["remainingResources"]


async def test_stop_frees_the_room_at_the_request_and_says_who_stopped(player: Player) -> None:
    await player.play("stop")
    task = await player.task("0001")
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "Task stopped by user")
    assert task["createdAt"] <= task["startedAt"] <= task["stoppingAt"] <= task["stoppedAt"]
    await player.read_story()
    assert ends(player) == {Proof.STOP_REQUESTED}


async def test_queued_room_that_is_promised_is_queued_for_on_the_host(player: Player) -> None:
    """Placed into the room of a stopping task: the agent keeps them waiting, silently, until it is really free."""
    await player.play("queued-second-task")
    assert player.left_out == ["0004 never placed", "0004 reported STOPPED"]


async def test_restart_and_two_agents_nobody_is_told_of_anothers_task(player: Player) -> None:
    await player.play("restart")
    assert player.left_out == ["0001 told STOPPED on another instance", "0001 reported STOPPED"]
    assert (await player.task("0003"))["stoppedReason"] == "Essential container in task exited"
    await player.read_story()
    assert ends(player) == {Proof.STOP_REQUESTED, Proof.EXIT_SEEN}


async def test_bad_image_never_started_and_says_why(player: Player) -> None:
    await player.play("bad-image")
    task = await player.task("0001")
    why = "CannotPullImageManifestError: Error response from daemon: manifest unknown"
    assert (task["stopCode"], task["stoppedReason"]) == ("TaskFailedToStart", why)
    assert task["containers"][0]["reason"] == why
    assert "exitCode" not in task["containers"][0]
    await player.read_story()
    assert ends(player) == {Proof.NEVER_STARTED, Proof.STOP_REQUESTED}


async def test_exit3_by_itself_and_out_of_memory_and_no_such_file(player: Player) -> None:
    await player.play("exit3")
    killed, unstartable = await player.task("0004"), await player.task("0003")
    assert killed["containers"][0]["reason"] == "OutOfMemoryError: Container killed due to memory usage"
    assert (await player.task("0001"))["stopCode"] == killed["stopCode"] == "EssentialContainerExited"
    assert unstartable["stopCode"] == "TaskFailedToStart"
    assert unstartable["stoppedReason"].startswith("CannotStartContainerError: ")


async def test_health_is_that_of_essential_containers_with_a_check(player: Player) -> None:
    await player.play("health")
    unhealthy, beside = await player.task("0004"), await player.task("0001")
    assert (unhealthy["healthStatus"], unhealthy["containers"][0]["healthStatus"]) == ("UNHEALTHY", "UNHEALTHY")
    assert beside["healthStatus"] == "UNKNOWN", "its only check is that of a container that is not essential"
    assert [one["healthStatus"] for one in beside["containers"]] == ["HEALTHY", "UNKNOWN"]
    for number, reason in (("0003", "has timed out."), ("0006", "as dependency did not exit successfully.")):
        task = await player.task(number)
        assert task["stopCode"] == "TaskFailedToStart"
        assert task["stoppedReason"].endswith(reason)


async def test_metrics_are_kept_and_only_of_ones_own_tasks(player: Player, plane: ControlPlane) -> None:
    await player.play("metrics")
    assert (await player.task("0002"))["healthStatus"] == "HEALTHY"
    url = f"{plane.url}/_berth/telemetry"
    async with aiohttp.ClientSession() as session:
        async with session.get(url, params={"task": player.ours("0001")}) as answer:
            [busy] = (await answer.json())["containerMetrics"]
        async with session.get(url, params={"task": "nobody"}) as answer:
            assert answer.status == 404
    assert busy["containerName"] == "busy"
    assert (busy["cpuStatsSet"]["sampleCount"], round(busy["cpuStatsSet"]["max"], 3)) == (20, 12.942)
    assert busy["networkStatsSet"]["rxBytes"]["sum"] == 18920
    [instance] = (await player.ecs.list_container_instances(cluster=CLUSTER))["containerInstanceArns"]
    described = await player.ecs.describe_container_instances(
        cluster=CLUSTER, containerInstances=[instance], include=["CONTAINER_INSTANCE_HEALTH"]
    )
    [health] = [shape["healthStatus"] for shape in described["containerInstances"]]
    checks = {check["type"]: check["status"] for check in health["details"]}
    assert checks["CONTAINER_RUNTIME"] == "OK"
    assert health["overallStatus"] == ("OK" if checks["AGENT_CONNECTIVITY"] == "OK" else "IMPAIRED")


async def test_pull_shows_the_digest_before_it_runs_and_the_times(player: Player) -> None:
    await player.play("pull")
    task = await player.task("0001")
    assert task["containers"][0]["imageDigest"].startswith("sha256:cb9901ee")
    assert task["pullStartedAt"] < task["pullStoppedAt"]
    assert "pullStartedAt" not in await player.task("0002"), "this one pulled nothing"


async def test_docker_stop_fails_is_an_unproven_stop(player: Player) -> None:
    await player.play("docker-stop-fails")
    [container] = (await player.task("0001"))["containers"]
    assert container["reason"].startswith("CannotStopContainerError")
    assert "exitCode" not in container
    await player.read_story()
    [line] = player.story(Kind.STOP_UNPROVEN)
    assert (line.subject, line.data["container"]) == (player.ours("0001"), "main")
