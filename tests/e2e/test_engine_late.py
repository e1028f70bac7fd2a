"""The Docker Engine comes after the agent, as at boot."""

import time

import pytest

pytestmark = pytest.mark.docker
SOCKET = "/var/run/docker.sock"


def test_an_agent_waits_for_the_engine_and_joins(world, tmp_path):
    late = tmp_path / "docker.sock"
    log = tmp_path / "host-1.log"
    world.start_agent("host-1", DOCKER_HOST=f"unix://{late}")
    world.until(lambda: "The agent waits for it" in log.read_text(), "the agent says so")
    time.sleep(1)
    assert world.ecs.list_container_instances()["containerInstanceArns"] == []
    late.symlink_to(SOCKET)
    world.hosts(1)
    world.define("quick", environment={"RUN_SECONDS": 0.2})
    (task,) = world.ecs.run_task(taskDefinition="quick")["tasks"]
    world.wait_task(task["taskArn"], "STOPPED")
    assert log.read_text().count("No Docker Engine answers") == 1
    assert "The Docker Engine answers, after" in log.read_text()
