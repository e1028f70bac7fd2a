"""The AWS CLI, as it is: one session from the cluster to the end, on real containers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.docker

AWS = Path(sys.executable).with_name("aws")
SECONDS_MAX = 120


@pytest.fixture
def aws(host, tmp_path):
    """`aws ecs ...` as a function: members of its JSON answer, or None where it says nothing."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = inherited | {
        "AWS_ENDPOINT_URL_ECS": host.endpoint,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_PAGER": "",
    }

    def aws(*arguments):
        ran = subprocess.run(
            [AWS, "ecs", *arguments, *(() if arguments[0] == "wait" else ("--output", "json"))],
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout) if ran.stdout else None

    return aws


def test_a_whole_session(host, aws):
    def web():
        return host.ecs.describe_services(services=["web"])["services"][0]

    assert aws("create-cluster")["cluster"]["clusterName"] == "default"
    containers = '[{"name":"main","image":"berth/stubborn:latest","memory":32,"essential":true}]'
    registered = aws("register-task-definition", "--family", "cli", "--container-definitions", containers)
    assert registered["taskDefinition"]["revision"] == 1

    task = aws("run-task", "--task-definition", "cli", "--started-by", "me")["tasks"][0]["taskArn"]
    host.wait_task(task, "RUNNING")  # the CLI's own waiters look every 6 or 15 s
    aws("wait", "tasks-running", "--tasks", task)
    (shown,) = aws("describe-tasks", "--tasks", task)["tasks"]
    assert host.state(shown["containers"][0]["runtimeId"])["Running"]

    made = aws("create-service", "--service-name", "web", "--task-definition", "cli:1", "--desired-count", "1")
    assert made["service"]["status"] == "ACTIVE"
    updated = aws("update-service", "--service", "web", "--desired-count", "2")
    assert updated["service"]["desiredCount"] == 2
    host.until(lambda: web()["runningCount"] == 2, "two run")
    aws("wait", "services-stable", "--services", "web")
    replicas = aws("list-tasks", "--service-name", "web")["taskArns"]
    assert len(replicas) == 2
    for row in aws("describe-tasks", "--tasks", *replicas)["tasks"]:
        assert host.state(row["containers"][0]["runtimeId"])["Running"]

    assert aws("stop-task", "--task", task, "--reason", "enough")["task"]["desiredStatus"] == "STOPPED"
    host.wait_task(task, "STOPPED")
    aws("wait", "tasks-stopped", "--tasks", task)
    (stopped,) = aws("describe-tasks", "--tasks", task)["tasks"]
    assert (stopped["stoppedReason"], stopped["stopCode"]) == ("enough", "UserInitiated")
    host.events.at("die", stopped["containers"][0]["runtimeId"])
    exited = host.state(stopped["containers"][0]["runtimeId"])
    assert (exited["Running"], exited["ExitCode"]) == (False, stopped["containers"][0]["exitCode"])

    assert aws("delete-service", "--service", "web", "--force")["service"]["status"] == "DRAINING"
    assert aws("list-services")["serviceArns"] == []
    host.until(lambda: web()["status"] == "INACTIVE", "INACTIVE")
    aws("wait", "services-inactive", "--services", "web")
    aws("deregister-task-definition", "--task-definition", "cli:1")
    assert aws("list-task-definitions", "--family-prefix", "cli")["taskDefinitionArns"] == []
