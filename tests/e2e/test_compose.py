"""The compose file from outside: a task runs and stops through it, and #4106 shows there too."""

import contextlib
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import docker
import pytest
from botocore.config import Config
from definitions import WORKER
from docker.models.containers import Container
from docker_events import CLOCKS_SECONDS, DockerEvents
from ports import free_port

pytestmark = [pytest.mark.docker, pytest.mark.compose]

FILE = Path(__file__).parents[2] / "compose" / "compose.yaml"
LABEL = "berth.test.compose"
TASK_ARN = "com.amazonaws.ecs.task-arn"
CLUSTER = "default"


class Stack:
    """One project of the compose file, on a port of its own, with all that its tasks leave."""

    def __init__(self, engine: docker.DockerClient, **settings: str) -> None:
        self.name = f"berth-test-{uuid.uuid4().hex[:8]}"
        self.engine = engine
        self.port = free_port()
        self.events = DockerEvents(f"{LABEL}={self.name}")
        self.environment = {**os.environ, "PORT": str(self.port), **settings}
        self.ecs: Any = boto3.client(
            "ecs",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id="berth",
            aws_secret_access_key="only-for-demos",
            config=Config(retries={"max_attempts": 0}, connect_timeout=2, read_timeout=60),
        )

    def compose(self, *arguments: str) -> str:
        command = [*compose_command(), "--project-name", self.name, "--file", str(FILE), *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def up(self) -> None:
        self.compose("up", "--detach", "--no-build")
        wait_until(self._hosts_are_there)

    def _hosts_are_there(self) -> bool:
        try:
            there = self.ecs.list_container_instances(cluster=CLUSTER, filter="agentConnected == true")
            return len(there["containerInstanceArns"]) == 2
        except Exception:  # noqa: BLE001  # it is not up yet, whichever way that shows
            return False

    def down(self) -> None:
        self.ecs.close()
        self.events.close()
        self.compose("down", "--volumes", "--timeout", "10")
        for container in self.containers():
            container.remove(force=True)

    def containers(self) -> list[Container]:
        """Every container of a task of this stack, stopped ones too."""
        found: list[Container] = self.engine.containers.list(
            all=True, ignore_removed=True, filters={"label": f"{LABEL}={self.name}"}
        )
        return found

    def container(self, task_arn: str) -> Container:
        return next(one for one in self.containers() if one.labels[TASK_ARN] == task_arn)

    def register(self, family: str, command: list[str], **environment: str) -> str:
        """A new revision of one stubborn container that takes half of an r5.large."""
        stubborn = {
            "name": "stubborn",
            "image": "berth/stubborn",
            "command": command,
            "cpu": 1024,
            "memoryReservation": 7372,
            "stopTimeout": 100,
            "environment": [{"name": name, "value": value} for name, value in environment.items()],
            "dockerLabels": {LABEL: self.name},
        }
        answer = self.ecs.register_task_definition(family=family, containerDefinitions=[stubborn])
        arn: str = answer["taskDefinition"]["taskDefinitionArn"]
        return arn

    def tasks(self, definition: str) -> list[dict[str, Any]]:
        """The tasks of a revision that are to run, as the control plane tells them."""
        arns = self.ecs.list_tasks(cluster=CLUSTER)["taskArns"]
        told = self.ecs.describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"] if arns else []
        return [task for task in told if task["taskDefinitionArn"] == definition]

    def happened(self, event: str, since: float) -> dict[str, float]:
        """When Docker saw this event, by the task of the container."""
        return {task: at for task, at in self.events.times(event).items() if at >= since}


def compose_command() -> list[str]:
    """Compose v2 where it is, else the one that Debian 12 has."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    pytest.skip("neither docker compose nor docker-compose is installed")


def wait_until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition.__name__}"
        time.sleep(0.2)


def short(task: dict[str, Any]) -> str:
    task_id: str = task["taskArn"].rpartition("/")[2]
    return task_id


def last(tasks: list[dict[str, Any]]) -> list[str]:
    return sorted(task["lastStatus"] for task in tasks)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with contextlib.closing(docker.from_env()) as engine:
        stack = Stack(engine, RELEASE="eager")
        try:
            stack.up()
            yield stack
        finally:
            print(stack.compose("logs", "--no-color", "--tail", "50"))  # noqa: T201  # pytest shows it on a failure
            stack.down()


def test_a_task_runs_and_stops(stack: Stack) -> None:
    definition = stack.register("once", ["stubborn"], QUIT_SECONDS="1")
    [task] = stack.ecs.run_task(cluster=CLUSTER, taskDefinition=definition)["tasks"]

    def told() -> dict[str, Any]:
        [one] = stack.ecs.describe_tasks(cluster=CLUSTER, tasks=[task["taskArn"]])["tasks"]
        return dict(one)

    wait_until(lambda: told()["lastStatus"] == "RUNNING")
    container = stack.container(task["taskArn"])
    assert container.status == "running"

    stack.ecs.stop_task(cluster=CLUSTER, task=task["taskArn"], reason="the test is over")
    wait_until(lambda: told()["lastStatus"] == "STOPPED")
    container.reload()
    assert container.attrs["State"]["Status"] == "exited"
    assert container.attrs["State"]["ExitCode"] == 0
    [seen] = told()["containers"]
    assert seen["exitCode"] == 0


def test_the_long_job_that_would_not_stop(stack: Stack) -> None:
    first = stack.register("worker", WORKER)
    stack.ecs.create_service(
        cluster=CLUSTER,
        serviceName="worker",
        taskDefinition=first,
        desiredCount=4,
        deploymentConfiguration={"minimumHealthyPercent": 0, "maximumPercent": 200},
    )
    wait_until(lambda: last(stack.tasks(first)) == ["RUNNING"] * 4)
    busy = stack.tasks(first)[0]
    busy_container = stack.container(busy["taskArn"])
    wait_until(lambda: all(b"ready" in one.logs() for one in stack.containers()))
    busy_container.kill("SIGUSR1")
    wait_until(lambda: b"a job arrives" in busy_container.logs())

    deployed = time.time()
    second = stack.register("worker", WORKER)
    stack.ecs.update_service(cluster=CLUSTER, service="worker", taskDefinition=second)

    # The capacity that the console shows is not there: the fourth task waits where the job still runs.
    wait_until(lambda: last(stack.tasks(second)) == ["PENDING", *["RUNNING"] * 3])
    [waiting] = [task for task in stack.tasks(second) if task["lastStatus"] == "PENDING"]
    assert waiting["containerInstanceArn"] == busy["containerInstanceArn"]
    busy_container.reload()
    assert busy_container.status == "running"

    busy_container.kill("SIGUSR2")
    wait_until(lambda: last(stack.tasks(second)) == ["RUNNING"] * 4)
    died, started = stack.happened("die", deployed), stack.happened("start", deployed)
    job_ended = died.pop(short(busy))
    waited_until = started.pop(short(waiting))
    assert len(died) == len(started) == 3
    assert max(*died.values(), *started.values()) < job_ended
    assert -CLOCKS_SECONDS <= waited_until - job_ended < 20
    busy_container.reload()
    assert busy_container.attrs["State"]["ExitCode"] == 0
