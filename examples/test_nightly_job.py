"""Tests of one's own, without Docker: what is seen of a job that fails, and of one that will not stop.

    .venv/bin/pytest examples/test_nightly_job.py

`berth dev` is started once, and emptied before each test. What played containers can be told: docs/testing.md.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

BERTH = Path(sys.executable).with_name("berth")
PORT = os.environ.get("PORT", "7333")
ENDPOINT = f"http://127.0.0.1:{PORT}"
PATIENCE = {"Delay": 1, "MaxAttempts": 60}


@pytest.fixture(scope="session")
def cluster():
    command = [BERTH, "dev", "--runtime", "scripted", "--hosts", "2", "--port", PORT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert any("connected" in line for line in process.stdout), "berth dev has said why it does not run"
        yield
        process.send_signal(signal.SIGINT)


@pytest.fixture
def ecs(cluster):
    subprocess.run([BERTH, "reset", "--endpoint", ENDPOINT], check=True)
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
    return boto3.client("ecs", endpoint_url=ENDPOINT, region_name="us-east-1", **keys)


def run(ecs, **script):
    """A task whose one container plays by `script`; its ARN."""
    environment = [{"name": name, "value": value} for name, value in script.items()]
    container = {"name": "main", "image": "any", "memory": 64, "stopTimeout": 2, "environment": environment}
    ecs.register_task_definition(family="nightly", containerDefinitions=[container])
    return ecs.run_task(taskDefinition="nightly")["tasks"][0]["taskArn"]


def test_a_job_that_fails_says_so(ecs):
    task = run(ecs, RUN_SECONDS="1", EXIT_CODE="3")
    ecs.get_waiter("tasks_stopped").wait(tasks=[task], WaiterConfig=PATIENCE)
    (stopped,) = ecs.describe_tasks(tasks=[task])["tasks"]
    assert (stopped["stopCode"], stopped["containers"][0]["exitCode"]) == ("EssentialContainerExited", 3)


def test_a_job_that_will_not_stop_is_killed(ecs):
    task = run(ecs, ON_TERM="ignore")
    ecs.get_waiter("tasks_running").wait(tasks=[task], WaiterConfig=PATIENCE)
    ecs.stop_task(task=task)
    assert ecs.list_tasks()["taskArns"] == [], "it is told to stop, so nobody counts on it"
    ecs.get_waiter("tasks_stopped").wait(tasks=[task], WaiterConfig=PATIENCE)
    (stopped,) = ecs.describe_tasks(tasks=[task])["tasks"]
    assert stopped["containers"][0]["exitCode"] == 137
    assert (stopped["executionStoppedAt"] - stopped["stoppingAt"]).total_seconds() > 1
