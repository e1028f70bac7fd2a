"""What takes minutes: `make soak`."""

import json
import subprocess
import sys

import psutil
import pytest

pytestmark = [pytest.mark.docker, pytest.mark.soak]

STARTS = 1000
AT_ONCE = 10


def test_a_thousand_starts_and_stops_leak_nothing(world):
    """No file descriptor, thread, container or megabyte more than after the first hundred."""
    world.start_agent(ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION="1s")
    world.hosts(1)
    definition = world.define(cpu=10, memory=16, environment={"RUN_SECONDS": "0.1"})
    process = psutil.Process(world.processes["host-1"].pid)
    label = {"label": f"berth.run={world.run}"}

    def batch():
        answer = world.ecs.run_task(taskDefinition=definition, count=AT_ONCE)
        assert answer["failures"] == []
        arns = [task["taskArn"] for task in answer["tasks"]]

        def stopped():
            told = world.ecs.describe_tasks(tasks=arns)["tasks"]
            return told if all(task["lastStatus"] == "STOPPED" for task in told) else None

        for task in world.until(stopped, "a batch has stopped"):
            assert [container["exitCode"] for container in task["containers"]] == [0]
            assert world.events.starts_of(task["taskArn"]) == 1

    def cleaned():
        return not world.docker.containers(all=True, filters=label)

    def footprint():
        world.until(cleaned, "stopped containers are removed")
        return process.num_fds(), process.num_threads(), process.memory_info().rss / (1 << 20)

    for _ in range(100 // AT_ONCE):
        batch()
    descriptors, threads, mebibytes = footprint()
    for _ in range((STARTS - 100) // AT_ONCE):
        batch()
    after = footprint()
    assert after[0] <= descriptors + 2  # a connection more or less is no leak
    assert after[1] <= threads
    assert after[2] < mebibytes + 3, "the allocator's own ups and downs stay below this"


def test_the_demo_with_its_default_job(tmp_path):
    """Forty seconds of work after TERM, as `make demo` shows it."""
    record = tmp_path / "record.json"
    command = [sys.executable, "-m", "berth", "demo", "stop", "--json", str(record)]
    command += ["--report", str(tmp_path / "report.html")]
    subprocess.run(command, check=True, timeout=300, stdout=subprocess.DEVNULL)
    eager, on_exit = json.loads(record.read_text())["runs"]
    assert eager["last_new_task_running_seconds"] > 40
    assert eager["phantom_memory_mib_peak"] == 29488
    assert on_exit["last_new_task_running_seconds"] < 15
    assert on_exit["phantom_memory_mib_peak"] == 0
    assert eager["old_job"]["exit_code"] == on_exit["old_job"]["exit_code"] == 0
