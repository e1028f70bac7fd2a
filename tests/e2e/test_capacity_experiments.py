"""Experiments on real containers with compressed times: each with what it must show.

E1 and E2: aws/amazon-ecs-agent#4106 with one and four long jobs; E12: what happens under a drainer; E13: a Spot
notice; E18: a service that drains starves another (containers-roadmap#325).
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from berth_program import CHECKOUT, berth, containers, wait_ready
from test_capacity import SIZE, World, world

from wire.story import Kind

pytestmark = pytest.mark.docker

JOB_SECONDS = 60
DRAIN_SECONDS = 30
BIG = {"cpu": 1024, "memory": 7372}
GROUP = "asg,min=2,max=6,boot=120s,provider=cp"


async def service(it: World, name: str, desired: int, quits_in: int, **members: Any) -> None:
    """A service of tasks that work on for `quits_in` seconds after TERM; a second call deploys a new revision."""
    environment = {"ON_TERM": "quit", "QUIT_SECONDS": str(quits_in)}
    shown = [{"name": key, "value": value} for key, value in environment.items()]
    container = {"name": name, "image": "berth/stubborn:latest", **BIG, "stopTimeout": 120, "environment": shown}
    await it.client.call("RegisterTaskDefinition", family=name, containerDefinitions=[container])
    known = (await it.client.call("DescribeServices", services=[name]))["services"]
    if known:
        await it.client.call("UpdateService", service=name, taskDefinition=name)
        return
    members = {"deploymentConfiguration": {"minimumHealthyPercent": 0, "maximumPercent": 200}} | members
    await it.client.call("CreateService", serviceName=name, taskDefinition=name, desiredCount=desired, **members)


def started(it: World, revision: str) -> list[float]:
    """When tasks of `family:revision` came to run, in order."""
    return [
        line.at
        for line in it.lines
        if line.kind == Kind.TASK_STATUS
        and line.data["last"] == "RUNNING"
        and line.data["task_definition"].endswith(f"/{revision}")
    ]


def stopping(it: World, revision: str) -> list[str]:
    """Tasks (ARN) of `family:revision` that are to stop."""
    return [
        line.subject
        for line in it.lines
        if line.kind == Kind.TASK_DESIRED
        and line.data["desired"] == "STOPPED"
        and line.data["task_definition"].endswith(f"/{revision}")
    ]


async def ready(it: World, hosts: int = 2) -> None:
    await it.until(lambda: sum(line.kind == Kind.AGENT_STARTED for line in it.lines) >= hosts, 60, "the hosts join")


def demo(tmp_path: Path, job_seconds: int, *options: str) -> list[dict[str, Any]]:
    """The runs of a demo with a provider, as its record has them; nothing is left of it."""
    written = tmp_path / "record.json"
    arguments = ("demo", "stop", "--capacity-provider", "--long-job", f"{job_seconds}s", "--plain", *options)
    files = ("--json", str(written), "--report", str(tmp_path / "r.html"))
    with berth(*arguments, *files, tmp=tmp_path / "t") as played:
        assert played.end(600) == 0, played.output
        assert played.left_behind() == []
    return list(json.loads(written.read_text())["runs"])


@pytest.mark.soak
def test_e1_one_long_job_of_four_under_each_policy(tmp_path: Path) -> None:
    """Eager: 3 new, the 4th at the job's end, nothing bought. On exit, lease, deadline: a third host is bought."""
    runs = demo(tmp_path, JOB_SECONDS)
    assert [(run["release"], run["policy"]) for run in runs] == [
        ("eager", "ecs-2026"),
        ("on-exit", "ecs-2026"),
        ("eager", "lease"),
        ("eager", "deadline"),
    ]
    eager, *others = runs
    new = eager["new_tasks_running_seconds"]
    assert new[2] < JOB_SECONDS / 2 < JOB_SECONDS <= new[3]
    assert eager["price"]["instances_bought"] == 0
    assert {look["percent"] for look in eager["price"]["looks"]} == {100}
    assert any("PENDING, so it has its place" in why for look in eager["price"]["looks"] for why in look["ignored"])
    for run in others:
        assert run["last_new_task_running_seconds"] < JOB_SECONDS, run["policy"]
        assert run["price"]["instances_bought"] >= 1
        assert run["price"]["instance_minutes"] > 0
        assert run["price"]["blocked_task_minutes"] < eager["price"]["blocked_task_minutes"]
        assert (run["old_job"]["outcome"], run["old_job"]["exit_code"]) == ("done", 0)


@pytest.mark.soak
def test_e1_with_the_agent_of_before_1_74(tmp_path: Path) -> None:
    """Serial: one drainer keeps its whole host shut. 2 new at once, both others at the job's end, nothing bought."""
    (run,) = demo(tmp_path, DRAIN_SECONDS, "--policy", "ecs-2015", "--release", "eager")
    new = run["new_tasks_running_seconds"]
    assert new[1] < DRAIN_SECONDS / 2 < DRAIN_SECONDS <= new[2]
    assert run["price"]["instances_bought"] == 0


@pytest.mark.soak
@pytest.mark.parametrize("release", ["eager", "on-exit"])
async def test_e2_four_long_jobs_and_e18_a_second_service(tmp_path: Path, release: str) -> None:
    """E2: all four drain. Eagerly nobody new starts before they end; on exit hosts are bought. E18: so for another."""
    async with world(tmp_path, GROUP, scale=60, options=("--release", release)) as it:
        await ready(it)
        await service(it, "web", 4, DRAIN_SECONDS)
        await service(it, "other", 0, 1)
        await it.until(lambda: it.running() == 4, 60, "4 tasks run")
        deployed = time.time()
        await service(it, "web", 4, DRAIN_SECONDS)
        await it.until(lambda: len(started(it, "web:2")) == 4, 3 * DRAIN_SECONDS, "4 new tasks run")
        renewed = [at - deployed for at in started(it, "web:2")]

        scaled = time.time()
        await it.client.call("UpdateService", service="web", desiredCount=0)
        await it.until(lambda: len(stopping(it, "web:2")) == 4, 10, "the service drains")
        await it.client.call("UpdateService", service="other", desiredCount=4)
        await it.until(lambda: len(started(it, "other:1")) == 4, 3 * DRAIN_SECONDS, "the other service runs")
        others = [at - scaled for at in started(it, "other:1")]
        if release == "eager":
            assert min(*renewed, *others) >= DRAIN_SECONDS - 1
            assert it.acts() == [], "nobody waits where the scaler looks"
        else:
            assert max(*renewed, *others) < DRAIN_SECONDS
            assert it.acts()[0] == ("scale-out", 4)


@pytest.mark.parametrize(("empty_when", "quit_seconds"), [("stopped", 5), ("stop-requested", 110)])
async def test_e12_an_instance_under_a_task_that_is_still_stopping(
    tmp_path: Path, empty_when: str, quit_seconds: int
) -> None:
    """By default the host waits for the stopping task; by the other reading it goes, and the kill is counted."""
    async with world(tmp_path, "asg,max=1,desired=1,boot=1s,provider=cp", scale=60) as it:
        await it.client.call("PutClusterPolicy", switches={"empty-when": empty_when})
        await ready(it, 1)
        run = it.dev.run()
        shown = [{"name": "ON_TERM", "value": "quit"}, {"name": "QUIT_SECONDS", "value": str(quit_seconds)}]
        container = {"name": "job", "image": "berth/stubborn:latest", **SIZE, "stopTimeout": 115, "environment": shown}
        await it.client.call("RegisterTaskDefinition", family="job", containerDefinitions=[container])
        (task,) = (await it.client.call("RunTask", taskDefinition="job"))["tasks"]
        await it.until(lambda: it.running() == 1, 60, "the task runs")
        await asyncio.to_thread(wait_ready, run)
        await it.client.call("StopTask", task=task["taskArn"])
        await it.client.call("SetDesiredCapacity", AutoScalingGroupName="asg", DesiredCapacity=0)
        await it.until(lambda: "Terminated" in it.states().values(), 60, "the host leaves")
        (ended,) = (await it.client.call("DescribeTasks", tasks=[task["taskArn"]]))["tasks"]
        killed = [id_ for line in it.taken() for id_ in line.data["killed_under_drainer"]]
        if empty_when == "stopped":
            assert (ended["containers"][0].get("exitCode"), killed) == (0, [])
        else:
            assert "exitCode" not in ended["containers"][0]
            assert killed == [task["taskArn"].rpartition("/")[2]]
        assert containers(run) == []


@pytest.mark.soak
async def test_e13_a_spot_notice_moves_what_can_be_moved(tmp_path: Path) -> None:
    """The host drains at the notice and is gone at its end; the service is whole again, on a host that was bought."""
    async with world(tmp_path, "asg,min=2,max=4,boot=60s,provider=cp", scale=20) as it:
        await ready(it)
        full = {"minimumHealthyPercent": 100, "maximumPercent": 200}
        await service(it, "web", 4, 3, deploymentConfiguration=full)
        await it.until(lambda: it.running() == 4, 60, "4 tasks run")
        machine = next(id_ for id_, state in it.states().items() if state == "InService")
        command = [sys.executable, "-m", "berth", "host", "interrupt", machine, "--notice", "45s"]
        interrupt = await asyncio.create_subprocess_exec(*command, "--endpoint", it.client.endpoint, cwd=CHECKOUT)
        assert await interrupt.wait() == 0
        await it.until(lambda: it.states()[machine] == "Terminated", 90, "the interrupted host is gone")
        await it.until(lambda: it.running() == 4, 60, "4 tasks run again")
        assert ("scale-out", 3) in it.acts()
        rows = await it.instances()
        assert machine not in {row["ec2InstanceId"] for row in rows}
        ended = [line for line in it.lines if line.kind == Kind.TASK_STATUS and line.data["last"] == "STOPPED"]
        saved = [line for line in ended if list(line.data["exit_codes"].values()) == [0]]
        assert len(saved) == len(ended) == 2, "all of the work was saved: 45 s of notice against a boot of 3 s"
