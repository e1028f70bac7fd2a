"""Black-box rows about the host: a task's own limits bite, and a task that cannot run here blocks nobody."""

import signal
from pathlib import Path

import pytest
from definitions import container, running

pytestmark = [pytest.mark.soak, pytest.mark.docker]

CGROUPS = Path("/sys/fs/cgroup")
BURN = ["sh", "-c", "while :; do :; done"]
UNLIMITED = {"memory": 0, "memoryReservation": 8}


@pytest.fixture
def limiting(world):
    """A host that makes a cgroup for a task with a size of its own."""
    if not (CGROUPS / "cpu" / "docker").exists():
        pytest.skip("no cgroup v1 that we may write")
    world.start_agent(ECS_ENABLE_TASK_CPU_MEM_LIMIT="true", ECS_CONTAINER_STOP_TIMEOUT="2s")
    world.hosts(1)
    return world


def counters(path):
    return {name: int(value) for name, value in (line.split() for line in path.read_text().splitlines())}


def test_a_tasks_cpu_is_throttled_over_all_its_containers(limiting):
    """`cpu` of a task. Both: a cgroup quota over all containers of the task, which burn as much as they like."""
    task, _ = running(limiting, container(command=BURN), container("too", command=BURN), cpu="256", memory="128")
    group = f"ecs/{task.rsplit('/', 1)[-1]}"
    stat, usage = CGROUPS / "cpu" / group / "cpu.stat", CGROUPS / "cpuacct" / group / "cpuacct.usage"
    before, used = counters(stat), int(usage.read_text())

    def periods():
        return counters(stat)["nr_periods"] - before["nr_periods"]

    limiting.until(lambda: periods() >= 20, "twenty periods of 100 ms with work")
    seconds = periods() * 0.1
    assert counters(stat)["nr_throttled"] - before["nr_throttled"] >= 10
    assert (int(usage.read_text()) - used) / 1e9 <= 0.25 * (seconds + 0.5)


def test_a_tasks_memory_kills_and_says_so(limiting):
    """`memory` of a task. Both: the kernel kills within the task's cgroup; the container that was hit says so."""
    limiting.ecs.register_task_definition(
        family="grows",
        containerDefinitions=[
            container(**UNLIMITED, command=["sh", "-c", "exec tail /dev/zero"]),
            container("beside", **UNLIMITED, essential=False),
        ],
        cpu="256",
        memory="64",
    )
    ended = limiting.wait_task(limiting.run_task("grows"), "STOPPED")
    shown = {c["name"]: c for c in ended["containers"]}
    assert shown["main"]["exitCode"] == 137
    assert shown["main"]["reason"] == "OutOfMemoryError: Container killed due to memory usage"
    assert limiting.state(shown["main"]["runtimeId"])["OOMKilled"]
    assert shown["beside"]["exitCode"] == 0
    assert "reason" not in shown["beside"]


def test_a_task_that_can_never_fit_is_refused_and_blocks_nobody(world):
    """Amazon's queues it for ever, with all behind it; ours refuses it with the resource's name. Placed while the host
    was larger: its agent comes back with more memory kept for itself."""
    world.start_agent()
    world.hosts(1)
    world.processes["host-1"].send_signal(signal.SIGSTOP)
    never = world.run_task(world.define("never", cpu=16, memory=15000))
    world.kill("host-1")
    world.start_agent(ECS_RESERVED_MEMORY="5000")
    stopped = world.wait_task(never, "STOPPED")
    assert stopped["stopCode"] == "TaskFailedToStart"
    assert stopped["stoppedReason"] == (
        "ResourceInitializationError: RESOURCE:MEMORY: the task needs 15000 MiB of memory, the host has 10731"
    )
    world.running(world.define("next", cpu=16, memory=64))
