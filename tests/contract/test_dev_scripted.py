"""A whole story by boto3 on `berth dev --runtime scripted`: no engine, no Docker library, real programs and agents."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from dev_program import ROOT, Dev, definition, run, scripted, task_of, until, wait

CLOCKS_SECONDS = 0.5
"""`stoppingAt` is the control plane's time of the agent's word, a little after the signal."""
TIMES = ("createdAt", "startedAt", "stoppingAt", "executionStoppedAt", "stoppedAt")


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with scripted(tmp_path_factory.mktemp("dev"), "--healthy-after", "0s", "--start-delay", "20ms") as dev:
        yield dev
    assert any("Nothing was run, nothing is left behind." in line for line in dev.said)
    assert dev.process.returncode == 0


@pytest.fixture(scope="module")
def ecs(dev: Dev) -> Any:
    return dev.client("ecs")


def test_it_says_what_it_is(dev: Dev) -> None:
    said = "".join(dev.said)
    assert "scripted: nothing is run, containers are played by START_SECONDS=0.02, or as their task says" in said
    assert "Docker" not in said


def test_status_is_truthful_between_the_stop_and_the_exit(ecs: Any) -> None:
    definition(ecs, "worker", grace_seconds=60, ON_TERM="work", JOB_SECONDS="4", EXIT_CODE="7")
    arn = run(ecs, "worker")
    wait(ecs, "tasks_running", tasks=[arn])
    answered = ecs.stop_task(task=arn, reason="I said so")["task"]
    assert (answered["lastStatus"], answered["desiredStatus"]) == ("RUNNING", "STOPPED")
    assert (answered["stopCode"], answered["stoppedReason"]) == ("UserInitiated", "I said so")

    stopping = until(lambda: (seen := task_of(ecs, arn))["lastStatus"] == "STOPPING" and seen)
    assert stopping["desiredStatus"] == "STOPPED"
    assert (stopping["stopCode"], stopping["stoppedReason"]) == ("UserInitiated", "I said so")
    (container,) = stopping["containers"]
    assert container["lastStatus"] == "RUNNING", "it works on"
    assert "exitCode" not in container
    assert "stoppingAt" in stopping
    assert "stoppedAt" not in stopping
    assert "executionStoppedAt" not in stopping
    assert arn not in ecs.list_tasks()["taskArns"]
    assert arn in ecs.list_tasks(desiredStatus="STOPPED")["taskArns"]

    wait(ecs, "tasks_stopped", tasks=[arn])
    stopped = task_of(ecs, arn)
    (container,) = stopped["containers"]
    assert (container["lastStatus"], container["exitCode"]) == ("STOPPED", 7)
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "I said so")
    times = [stopped[name] for name in TIMES]
    assert times == sorted(times)
    assert (stopped["executionStoppedAt"] - stopped["stoppingAt"]).total_seconds() >= 4 - CLOCKS_SECONDS
    assert stopped["version"] > stopping["version"] > answered["version"]


def test_who_ignores_term_is_killed_after_its_grace(ecs: Any) -> None:
    definition(ecs, "stubborn", ON_TERM="ignore")
    arn = run(ecs, "stubborn")
    wait(ecs, "tasks_running", tasks=[arn])
    ecs.stop_task(task=arn)
    wait(ecs, "tasks_stopped", tasks=[arn])
    stopped = task_of(ecs, arn)
    assert stopped["containers"][0]["exitCode"] == 137
    assert (stopped["executionStoppedAt"] - stopped["stoppingAt"]).total_seconds() >= 2 - CLOCKS_SECONDS


def test_exits_are_played_and_can_be_overridden(ecs: Any) -> None:
    definition(ecs, "batch", RUN_SECONDS="0.2", EXIT_CODE="3")
    other = [{"name": "main", "environment": [{"name": "EXIT_CODE", "value": "0"}]}]
    arns = [run(ecs, "batch"), run(ecs, "batch", overrides={"containerOverrides": other})]
    wait(ecs, "tasks_stopped", tasks=arns)
    ended = [task_of(ecs, arn) for arn in arns]
    assert [task["containers"][0]["exitCode"] for task in ended] == [3, 0]
    assert {task["stopCode"] for task in ended} == {"EssentialContainerExited"}


def test_what_it_says_stands_in_the_log_store(dev: Dev, ecs: Any) -> None:
    """The words of `berth/stubborn`, and lines of its own; where awslogs is asked for, in the stream that it names."""
    options = {"awslogs-group": "/jobs", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "job"}
    log = {"logDriver": "awslogs", "options": options}
    script = {"SAY": "reads 3 rows\nwrites 3 rows", "QUIT_SECONDS": "0.2", "EXIT_CODE": "4"}
    variables = [{"name": name, "value": value} for name, value in script.items()]
    main = {"name": "main", "image": "any", "memory": 64, "environment": variables, "logConfiguration": log}
    ecs.register_task_definition(family="talks", containerDefinitions=[main])
    arn = run(ecs, "talks")
    wait(ecs, "tasks_running", tasks=[arn])
    ecs.stop_task(task=arn)
    wait(ecs, "tasks_stopped", tasks=[arn])
    logs, stream = dev.client("logs"), f"job/main/{arn.rsplit('/', 1)[-1]}"
    expected = ["reads 3 rows", "writes 3 rows", "ready", "TERM: quits in 0.2 s", "quit, exits 4"]
    until(lambda: said(logs, stream) == expected)
    events = logs.get_log_events(logGroupName="/jobs", logStreamName=stream)["events"]
    assert events[-1]["timestamp"] - events[0]["timestamp"] >= 200


def said(logs: Any, stream: str) -> list[str]:
    try:
        events = logs.get_log_events(logGroupName="/jobs", logStreamName=stream, startFromHead=True)["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [event["message"] for event in events]


def test_a_command_is_refused_with_a_sentence_that_says_why(dev: Dev, ecs: Any) -> None:
    definition(ecs, "entered")
    arn = run(ecs, "entered", enableExecuteCommand=True)
    wait(ecs, "tasks_running", tasks=[arn])
    command = [sys.executable, "-m", "berth", "exec", "--endpoint", dev.endpoint, arn, "ls"]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode not in {0, None}
    assert "TargetNotConnectedException" in refused.stderr
    assert "its containers are played" in refused.stderr
    assert "Traceback" not in refused.stderr
    ecs.stop_task(task=arn)
    wait(ecs, "tasks_stopped", tasks=[arn])


def test_a_service_rolls_out(ecs: Any) -> None:
    definition(ecs, "web")
    ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=2)
    wait(ecs, "services_stable", services=["web"])
    old = set(ecs.list_tasks(serviceName="web")["taskArns"])
    definition(ecs, "web", QUIT_SECONDS="0.5")
    ecs.update_service(service="web", taskDefinition="web")
    wait(ecs, "services_stable", services=["web"])
    new = set(ecs.list_tasks(serviceName="web")["taskArns"])
    assert len(new) == 2
    assert not old & new
    ecs.delete_service(service="web", force=True)
    wait(ecs, "services_inactive", services=["web"])


def test_options_of_scripts_are_refused_with_docker() -> None:
    command = [sys.executable, "-m", "berth", "dev", "--ignore-term", "20s"]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "are for --runtime scripted" in refused.stderr


def test_reset_empties_everything_and_the_hosts_stay_usable(dev: Dev, ecs: Any) -> None:
    definition(ecs, "held", ON_TERM="ignore")
    ecs.create_cluster(clusterName="other")
    ecs.create_service(serviceName="held", taskDefinition="held", desiredCount=2)
    wait(ecs, "services_stable", services=["held"])
    old = [*ecs.list_tasks()["taskArns"], run(ecs, "held")]
    logs = dev.client("logs")
    logs.create_log_group(logGroupName="group")
    hosts = set(ecs.list_container_instances()["containerInstanceArns"])

    command = [sys.executable, "-m", "berth", "reset", "--endpoint", dev.endpoint]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "Empty: 3 tasks stopped, 2 hosts are back.\n"

    rows = ecs.describe_container_instances(containerInstances=list(hosts))["containerInstances"]
    assert {row["containerInstanceArn"] for row in rows} == hosts
    assert all(row["agentConnected"] and row["status"] == "ACTIVE" for row in rows)
    assert all(row["remainingResources"] == row["registeredResources"] for row in rows)
    assert ecs.list_clusters()["clusterArns"] == ["arn:aws:ecs:us-east-1:123456789012:cluster/default"]
    assert ecs.list_services()["serviceArns"] == []
    assert ecs.list_task_definitions()["taskDefinitionArns"] == []
    assert [ecs.list_tasks(desiredStatus=status)["taskArns"] for status in ("RUNNING", "STOPPED")] == [[], []]
    assert logs.describe_log_groups()["logGroups"] == []

    late = {"task": old[0], "status": "RUNNING", "containers": [{"containerName": "main", "status": "RUNNING"}]}
    ecs.submit_task_state_change(**late)
    described = ecs.describe_tasks(tasks=old)
    assert (described["tasks"], {row["reason"] for row in described["failures"]}) == ([], {"MISSING"})

    definition(ecs, "after", RUN_SECONDS="0.1")
    assert ecs.list_task_definitions()["taskDefinitionArns"][0].endswith("after:1")
    arns = [run(ecs, "after") for _ in range(4)]
    wait(ecs, "tasks_stopped", tasks=arns)


def test_reset_is_refused_to_web_pages(dev: Dev) -> None:
    page = urllib.request.Request(f"{dev.endpoint}/_berth/reset", data=b"", headers={"Origin": "http://evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(page)
    assert refused.value.code == 403
    refused.value.close()


def test_the_first_test_of_ones_own_is_true(free_port: int) -> None:
    """The example that README and docs/testing.md send people to."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "examples/test_nightly_job.py"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "PORT": str(free_port)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert "2 passed" in ran.stdout
