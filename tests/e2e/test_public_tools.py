"""Two public tools for ECS, unmodified: ecs-deploy rolls a service over, luigi runs a job to its end."""

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".build/tools/bin/python"
SECONDS_MAX = 180
JOB = """\
import luigi
from luigi.contrib.ecs import ECSTask


class Job(ECSTask):
    task_def_arn = luigi.Parameter()
    command = [{"name": "main", "command": ["sh", "-c", "exit 0"]}]
"""


@pytest.fixture(scope="module")
def python():
    """The interpreter of a virtual environment that has them."""
    lock = ROOT / ".build/tools.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as file:  # one makes it, whichever processes need it
        fcntl.flock(file, fcntl.LOCK_EX)
        made = subprocess.run([ROOT / "scripts/tools-venv"], capture_output=True, text=True, check=False)
    if made.returncode == 3:
        pytest.skip(f"the tools cannot be installed here: {made.stderr.strip().splitlines()[-1:]}")
    assert made.returncode == 0, made.stderr
    return PYTHON


def run(host, python, *arguments, **more):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = inherited | {
        "AWS_ENDPOINT_URL_ECS": host.endpoint,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
        **more,
    }
    ran = subprocess.run(
        [python, *arguments], env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def container_of(host, task):
    return host.docker.inspect_container(host.task(task)["containers"][0]["runtimeId"])


def test_ecs_deploy_rolls_a_service_over(host, python):
    host.define(family="web", cpu=128, memory=32)
    host.ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=1)
    (old,) = host.until(lambda: host.ecs.list_tasks(serviceName="web")["taskArns"], "the service has a task")
    host.wait_task(old, "RUNNING")

    deploy = ("-c", "from ecs_deploy.cli import ecs; ecs()", "deploy", "default", "web")
    said = run(host, python, *deploy, "--image", "main", "berth/stubborn:quit", "--timeout", "120", "--sleep-time", "1")
    assert "Deployment successful" in said

    (service,) = host.ecs.describe_services(services=["web"])["services"]
    assert service["taskDefinition"].endswith("/web:2")
    (new,) = [task for task in host.ecs.list_tasks(serviceName="web")["taskArns"] if task != old]
    shown = container_of(host, new)
    assert (shown["Config"]["Image"], shown["State"]["Running"]) == ("berth/stubborn:quit", True)
    assert not host.wait_task(old, "STOPPED")["containers"][0].get("reason")


def test_luigi_runs_a_job_to_its_end(host, python, tmp_path):
    (tmp_path / "job.py").write_text(JOB)
    definition = host.define(family="job", cpu=128, memory=32)
    job = ("-m", "luigi", "--module", "job", "Job", "--local-scheduler", "--task-def-arn", definition)
    said = run(host, python, *job, PYTHONPATH=str(tmp_path))
    assert "This progress looks :)" in said

    (task,) = host.ecs.list_tasks(desiredStatus="STOPPED")["taskArns"]
    shown = container_of(host, task)
    assert shown["Config"]["Cmd"] == ["sh", "-c", "exit 0"]
    assert host.task(task)["containers"][0]["exitCode"] == shown["State"]["ExitCode"] == 0
