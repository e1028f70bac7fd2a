"""`POST /_berth/reset` on real containers: it answers when they have gone."""

import json
import urllib.request

import pytest

pytestmark = pytest.mark.docker


def test_it_answers_when_the_containers_have_gone_and_the_host_is_back(world):
    world.kill("controlplane")
    world.start_control_plane(BERTH_ALLOW_RESET="1")
    world.start_agent()
    world.hosts(1)
    ended = world.run_task(world.define(environment={"RUN_SECONDS": "0.1"}))
    world.wait_task(ended, "STOPPED")
    _, stubborn = world.running(world.define(environment={"ON_TERM": "ignore"}))
    mine = {"label": f"berth.run={world.run}"}
    assert len(world.docker.containers(all=True, filters=mine)) == 2

    request = urllib.request.Request(f"{world.endpoint}/_berth/reset", data=b"")
    with urllib.request.urlopen(request, timeout=60) as answer:
        said = json.load(answer)

    assert world.docker.containers(all=True, filters=mine) == []
    assert world.events.at("die", stubborn, exitCode="137")
    assert said["stoppedTasks"] == 1
    (host,) = world.connected()
    assert [host["containerInstanceArn"]] == said["containerInstanceArns"]
    assert host["remainingResources"] == host["registeredResources"]
    assert world.ecs.list_task_definitions()["taskDefinitionArns"] == []
    world.running(world.define())
