"""A world to test in: the real control plane and real agents as processes, on the real Docker Engine.

Evidence comes from Docker's own events and inspect, never from our word alone. Everything carries the run's label and
is gone afterwards; a test that leaves a container or a process behind fails.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import boto3
import botocore.config
import docker
import haproxy_here
import ports
import pytest
import witness
from docker_events import DockerEvents

from agent.local.listen import INTROSPECTION_PORT, METADATA_PORT
from agent.runtime.connection import sweep

ROOT = Path(__file__).parents[2]
STUBBORN = "berth/stubborn:latest"
R5_LARGE = "r5.large"
HERE = socket.gethostname()
END_SECONDS = 30
BEFORE_STOPPED = ("PROVISIONING", "PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING")


def pytest_sessionstart():
    """What a test process of this machine left, killed before it could clean up, goes when the next one begins."""
    client = docker.APIClient(version="auto", timeout=30)
    with contextlib.closing(client):
        runs = {row["Labels"]["berth.run"] for row in client.containers(all=True, filters={"label": "berth.run"})}
    for run in runs:
        made_by = re.fullmatch(rf"test-{re.escape(HERE)}-(\d+)-[0-9a-f]+", run)
        if made_by and not Path(f"/proc/{made_by[1]}").exists():
            sweep(run)


class World:
    """One control plane and its hosts."""

    keys = ("any", "any")

    def __init__(self, path, port):
        ports.hold(INTROSPECTION_PORT, METADATA_PORT)
        self.path = path
        self.port = port
        self.run = f"test-{HERE}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self.endpoint = f"http://127.0.0.1:{port}"
        self.processes = {}
        self.program = {}
        """Command lines that stand in for `python -m`, by the name of the process."""
        self.docker = docker.APIClient(version="auto", timeout=120)
        self.events = DockerEvents(f"berth.run={self.run}")
        witness.call("Docker's events", self.events.told)
        self.ecs = boto3.client(
            "ecs",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.keys[0],
            aws_secret_access_key=self.keys[1],
            config=botocore.config.Config(retries={"max_attempts": 10, "mode": "standard"}),
        )

    # processes

    def start_control_plane(self, **environment):
        environment = {
            "BERTH_PORT": str(self.port),
            "BERTH_DATA_DIR": str(self.path / "controlplane"),
            "BERTH_HEALTHY_AFTER_SECONDS": "0",
            "BERTH_CHECK_ANSWERS": "1",
            "BERTH_HAPROXY": haproxy_here.PROGRAM,
            **environment,
        }
        self._spawn("controlplane", "controlplane", environment)
        self.until(self._answers, "the control plane answers")

    def _answers(self):
        with contextlib.suppress(OSError):  # boto3 would wait longer and longer between its tries
            socket.create_connection(("127.0.0.1", self.port)).close()
            return bool(self.ecs.list_clusters())
        return False

    def start_agent(self, name="host-1", arguments=(), **environment):
        environment = {
            "ECS_BACKEND_HOST": self.endpoint,
            "ECS_DATADIR": str(self.path / name),
            "ECS_IMAGE_PULL_BEHAVIOR": "prefer-cached",
            "BERTH_INSTANCE_TYPE": R5_LARGE,
            "BERTH_RUN": self.run,
            **environment,
        }
        self._spawn(name, "agent", environment, arguments)

    def _spawn(self, name, module, environment, arguments=()):
        log = (self.path / f"{name}.log").open("ab")
        witness.call_file(self.path / f"{name}.log")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("ECS_", "BERTH_", "AWS_"))}
        self.processes[name] = subprocess.Popen(
            self._command(name, module, arguments),
            cwd=ROOT,
            env={**inherited, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        log.close()

    def _command(self, name, module, arguments):
        return [*self.program.get(name, [sys.executable, "-m", module]), *arguments]

    def kill(self, name, number=signal.SIGKILL):
        process = self.processes.pop(name)
        process.send_signal(number)
        return process.wait(60)

    # the cluster

    def connected(self):
        try:
            arns = self.ecs.list_container_instances()["containerInstanceArns"]
        except self.ecs.exceptions.ClusterNotFoundException:  # the first agent makes it, and has not come yet
            return []
        if not arns:
            return []
        rows = self.ecs.describe_container_instances(containerInstances=arns)["containerInstances"]
        return [row for row in rows if row["agentConnected"]]

    def hosts(self, count):
        """Wait until so many hosts are connected."""
        self.until(lambda: len(self.connected()) == count, f"{count} hosts are connected")
        return self.connected()

    def define(self, family="job", **container):
        environment = [{"name": k, "value": str(v)} for k, v in container.pop("environment", {}).items()]
        body = {"name": "main", "image": STUBBORN, "cpu": 1024, "memory": 7372, "essential": True, **container}
        registered = self.ecs.register_task_definition(
            family=family, containerDefinitions=[{**body, "environment": environment}]
        )
        return registered["taskDefinition"]["taskDefinitionArn"]

    def run_task(self, definition, **more):
        answer = self.ecs.run_task(taskDefinition=definition, **more)
        assert answer["failures"] == []
        return answer["tasks"][0]["taskArn"]

    def task(self, arn):
        return self.ecs.describe_tasks(tasks=[arn])["tasks"][0]

    def wait_task(self, arn, status, seconds=60):
        """Its description as soon as it has this status; fails where it has ended instead."""

        def look():
            task = self.task(arn)
            assert task["lastStatus"] in (status, *BEFORE_STOPPED), f"not {status}, but {task}"
            return task if task["lastStatus"] == status else None

        return self.until(look, f"{arn} is {status}", seconds)

    def running(self, definition, **more):
        """Run a task; returns (task ARN, Docker id) once its program has said that it is ready."""
        arn = self.run_task(definition, **more)
        docker_id = self.wait_task(arn, "RUNNING")["containers"][0]["runtimeId"]
        self.ready(docker_id)
        return arn, docker_id

    def ready(self, docker_id):
        """The image sets its traps in its first milliseconds; its own word says when."""
        self.until(lambda: b"ready" in self.docker.logs(docker_id), f"{docker_id} is ready")

    def finish(self, docker_id):
        """The work of a `PATIENT` container is done."""
        self.docker.kill(docker_id, "SIGUSR1")

    def state(self, docker_id):
        return self.docker.inspect_container(docker_id)["State"]

    def room(self, instance):
        """(CPU, memory) that the placement ledger shows free."""
        row = self.ecs.describe_container_instances(containerInstances=[instance])["containerInstances"][0]
        rest = {resource["name"]: resource.get("integerValue") for resource in row["remainingResources"]}
        return rest["CPU"], rest["MEMORY"]

    def until(self, look, what, seconds=60):
        """Ask again and again; the answer as soon as it is true."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            found = look()
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError(f"not within {seconds} s: {what}")

    def close(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        late = [name for name, process in self.processes.items() if not _ends(process)]
        sweep(self.run)
        self.events.close()
        left = self.docker.containers(all=True, filters={"label": f"berth.run={self.run}"})
        self.docker.close()
        self.ecs.close()
        assert not late, f"not within {END_SECONDS} s of SIGTERM: the end of {late}"
        assert left == []


def _ends(process):
    """Whether it ends in time; it has ended in any case."""
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True


@pytest.fixture
def world(tmp_path, free_port):
    """A control plane, no host yet."""
    with contextlib.closing(World(tmp_path, free_port)) as built:
        built.start_control_plane()
        yield built


@pytest.fixture
def host(world):
    """A control plane and one r5.large whose default stop timeout is three seconds."""
    world.start_agent(ECS_CONTAINER_STOP_TIMEOUT="3s")
    world.hosts(1)
    return world
