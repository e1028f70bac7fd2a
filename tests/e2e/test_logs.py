"""`awslogs` on real containers: shipped, read by `aws logs` and `berth logs`, whole after crashes."""

import subprocess
import sys
from pathlib import Path

import boto3
import pytest

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[2]
GROUP = "/ecs/quay"
COUNTING = "trap 'echo bye; exit 0' TERM; i=0; while :; do i=$((i + 1)); echo line $i; sleep 0.05 & wait $!; done"


def container(name="main", *, prefix="app", **more):
    options = {"awslogs-group": GROUP, "awslogs-region": "us-east-1"}
    options |= {"awslogs-stream-prefix": prefix} if prefix else {}
    return {
        "name": name,
        "image": "berth/stubborn:latest",
        "memory": 32,
        "essential": True,
        "command": ["sh", "-c", COUNTING],
        "logConfiguration": {"logDriver": "awslogs", "options": options},
        **more,
    }


@pytest.fixture
def logs(host):
    client = boto3.client(
        "logs",
        endpoint_url=host.endpoint,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    yield client
    client.close()


def run(host, *containers):
    host.ecs.register_task_definition(family="quay", containerDefinitions=list(containers))
    task = host.run_task("quay")
    host.wait_task(task, "RUNNING")
    return task


def words(logs, stream):
    """Every message of a stream; none while it is not there."""
    try:
        pages = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [event["message"] for event in pages["events"]]


def berth_logs(host, *arguments):
    command = [sys.executable, "-m", "berth", "logs", "--endpoint", host.endpoint, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_the_lines_are_in_the_stream_that_aws_would_name(host, logs):
    task = run(host, container(), container("side", prefix="", command=["sh", "-c", "echo moored; exec stubborn"]))
    shown = {c["name"]: c for c in host.task(task)["containers"]}
    stream = f"app/main/{task.rsplit('/', 1)[-1]}"
    host.until(lambda: len(words(logs, stream)) >= 3, "lines arrive while it runs")
    host.until(lambda: words(logs, shown["side"]["runtimeId"])[:1] == ["moored"], "a stream without prefix")
    host.ecs.stop_task(task=task)
    host.wait_task(task, "STOPPED")
    host.until(lambda: words(logs, stream)[-1] == "bye", "the last line arrives")
    told = words(logs, stream)
    assert told == [f"line {n}" for n in range(1, len(told))] + ["bye"]
    docker_says = host.docker.logs(shown["main"]["runtimeId"]).decode().splitlines()
    assert told == docker_says
    found = logs.filter_log_events(logGroupName=GROUP, filterPattern="bye")
    assert [(e["logStreamName"], e["message"]) for e in found["events"]] == [(stream, "bye")]
    [group] = logs.describe_log_groups()["logGroups"]
    assert group["logGroupName"] == GROUP
    assert host.docker.inspect_container(shown["main"]["runtimeId"])["HostConfig"]["LogConfig"]["Type"] == "json-file"


def test_a_terminals_lines(host, logs):
    task = run(host, container(pseudoTerminal=True, command=["sh", "-c", "echo one; echo two; exec stubborn"]))
    stream = f"app/main/{task.rsplit('/', 1)[-1]}"
    host.until(lambda: words(logs, stream)[:2] == ["one", "two"], "the lines arrive")


def test_no_line_is_lost_or_doubled_when_agent_and_control_plane_are_killed(host, logs):
    task = run(host, container())
    stream = f"app/main/{task.rsplit('/', 1)[-1]}"
    host.until(lambda: len(words(logs, stream)) >= 5, "lines arrive")
    host.kill("host-1")
    host.start_agent(ECS_CONTAINER_STOP_TIMEOUT="3s")
    host.hosts(1)
    count = len(words(logs, stream))
    host.until(lambda: len(words(logs, stream)) >= count + 5, "lines arrive again")
    host.kill("controlplane")
    host.start_control_plane()
    host.hosts(1)
    count = len(words(logs, stream))
    host.until(lambda: len(words(logs, stream)) >= count + 5, "and again")
    host.ecs.stop_task(task=task)
    host.wait_task(task, "STOPPED")
    host.until(lambda: words(logs, stream)[-1] == "bye", "the last line arrives")
    told = words(logs, stream)
    assert told == [f"line {n}" for n in range(1, len(told))] + ["bye"]


def test_berth_logs(host):
    two = "echo one; echo two; sleep 2"
    host.ecs.register_task_definition(family="quay", containerDefinitions=[container(command=["sh", "-c", two])])
    task = host.run_task("quay")
    host.until(lambda: host.task(task)["lastStatus"] in ("RUNNING", "STOPPED"), "it runs, or did")
    followed = berth_logs(host, task, "--follow")
    assert (followed.returncode, followed.stdout, followed.stderr) == (0, "one\ntwo\n", "")
    assert berth_logs(host, task.rsplit("/", 1)[-1]).stdout == "one\ntwo\n"

    host.ecs.register_task_definition(
        family="pair",
        containerDefinitions=[container(), container("plain", logConfiguration={"logDriver": "json-file"})],
    )
    host.ecs.create_service(serviceName="pair", taskDefinition="pair", desiredCount=1)
    host.until(lambda: "line 1" in berth_logs(host, "pair").stdout, "a service's lines")
    assert "logs by json-file, not awslogs" in berth_logs(host, "pair").stderr
    host.ecs.update_service(service="pair", desiredCount=0)

    nobody = berth_logs(host, "nobody")
    assert (nobody.returncode, nobody.stdout) == (2, "")
    assert nobody.stderr == "There is no task and no service 'nobody' in the cluster 'default'.\n"
