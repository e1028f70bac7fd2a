"""Telemetry and the manifest, on real containers."""

import shutil
import time

import pytest

from agent.machine.stats import Cgroups, cpu_percent

pytestmark = pytest.mark.docker

MIB = 1 << 20


def test_a_reading_says_what_docker_says(host):
    busy = ["sh", "-c", "echo ready; while :; do :; done"]
    definition = host.define(entryPoint=[], command=busy, image="berth/stubborn:latest", stopTimeout=1, cpu=256)
    task, docker_id = host.running(definition)
    cgroups, task_id = Cgroups(), task.rsplit("/", 1)[-1]
    before = cgroups.read(docker_id, task_id)
    time.sleep(1)
    after = cgroups.read(docker_id, task_id)
    docker = host.docker.stats(docker_id, stream=False)
    assert 0 < cpu_percent(before, after, cores=1) < 200, "one core, as busy as the machine lets it be"
    assert abs(after.memory_bytes - docker["memory_stats"]["usage"]) < 2 * MIB
    assert after.cpu_nanoseconds <= docker["cpu_stats"]["cpu_usage"]["total_usage"]
    assert docker["cpu_stats"]["cpu_usage"]["total_usage"] - after.cpu_nanoseconds < 10_000_000_000
    assert after.memory_limit_bytes == 7372 * MIB
    assert 0 <= after.network.rx_bytes <= docker["networks"]["eth0"]["rx_bytes"]
    host.ecs.stop_task(task=task)
    host.wait_task(task, "STOPPED")
    # The process is gone before Docker has cleared its control group away.
    host.until(lambda: cgroups.read(docker_id, task_id) is None, "its control group is gone")


def test_what_nobody_wants_any_more_is_stopped_when_the_agent_is_back(host):
    """The control plane has lost everything; the agent brings its name back and is told what it should have."""
    _, docker_id = host.running(host.define(environment={"QUIT_SECONDS": 0}))
    assert host.kill("host-1") < 0
    host.kill("controlplane")
    shutil.rmtree(host.path / "controlplane")
    host.start_control_plane()
    assert host.state(docker_id)["Running"]
    host.start_agent(ECS_CONTAINER_STOP_TIMEOUT="3s")
    host.hosts(1)
    host.events.at("die", docker_id, exitCode="0")
    assert host.events.signals(docker_id, 1) == ["15"]


def test_what_is_wanted_stays_when_the_agent_is_back(host):
    task, docker_id = host.running(host.define())
    host.kill("host-1")
    host.start_agent(ECS_CONTAINER_STOP_TIMEOUT="3s")
    host.until(lambda: host.task(task)["connectivity"] == "CONNECTED", "the agent is back")
    other, _ = host.running(host.define("other"))
    assert host.state(docker_id)["Running"]
    assert not host.events.of(docker_id, "kill")
    for arn in (task, other):
        host.ecs.stop_task(task=arn)
        host.wait_task(arn, "STOPPED")
