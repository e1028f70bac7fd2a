"""The Docker Engine goes away under the agent: restarted, killed, hung; while tasks run, and while they stop."""

import json
import os
import shutil
import signal
import sys
import time
import urllib.request

import pytest
from conftest import World
from private_engine import PrivateEngine

from agent.runtime.inspected import epoch_seconds

pytestmark = [
    pytest.mark.soak,
    pytest.mark.docker,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, ("dockerd", "unshare"))),
        reason="starts a Docker Engine of its own",
    ),
]

GRACE_SECONDS = 6
IMPATIENT = """
import sys
import agent.runtime.docker
agent.runtime.docker.QUICK_SECONDS = 1
from agent.__main__ import main
sys.exit(main())
"""
"""The agent, but that it waits for an answer of Docker's one second and not thirty."""


class Away(World):
    """A world whose containers are on a private engine."""

    def __init__(self, path, port, engine):
        super().__init__(path, port)
        self.docker.close()
        self.docker, self.engine = engine.client, engine

    def start_agent(self, name="host-1", arguments=(), **environment):
        environment = {"DOCKER_HOST": self.engine.address, **environment}
        super().start_agent(name, arguments, ECS_CONTAINER_STOP_TIMEOUT=f"{GRACE_SECONDS}s", **environment)
        self.hosts(1)

    def start(self, **environment):
        variables = [{"name": name, "value": str(value)} for name, value in environment.items()]
        body = {"name": "main", "image": "berth/stubborn:latest", "cpu": 256, "memory": 256, "essential": True}
        self.ecs.register_task_definition(
            family="away", networkMode="none", containerDefinitions=[{**body, "environment": variables}]
        )
        return self.running("away")

    def story(self, task, kind):
        """Data of the story's lines of a kind about a task."""
        with urllib.request.urlopen(f"{self.endpoint}/_berth/story?limit=1000", timeout=10) as answer:
            lines = json.load(answer)["lines"]
        return [line.get("data", {}) for _, line in lines if (line["subject"], line["kind"]) == (task, kind)]

    def close(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            process.wait(10)
        self.processes.clear()
        for row in self.docker.containers(all=True, filters={"label": f"berth.run={self.run}"}):
            self.docker.remove_container(row["Id"], force=True)
        super().close()


@pytest.fixture
def away(tmp_path, free_port):
    """Call it with live-restore or not, and the agent's own settings; a host on an engine of its own."""
    built = []

    def build(*, live_restore, program=None, **environment):
        engine = PrivateEngine(live_restore=live_restore)
        built.append(engine)
        world = Away(tmp_path, free_port, engine)
        built.append(world)
        world.start_control_plane()
        if program is not None:
            world.program["host-1"] = [sys.executable, "-c", program]
        world.start_agent(**environment)
        return world, engine

    yield build
    for one in built[:1]:
        one.wake()  # hung or dead, it is needed to tidy up
    for one in reversed(built):
        one.close()


def died_at(engine, docker_id):
    return epoch_seconds(engine.state(docker_id)["FinishedAt"])


def ends(number):
    return pytest.param(number, id=number.name)


SOAK = pytest.mark.soak
DEATHS = [ends(signal.SIGKILL), pytest.param(signal.SIGTERM, id="SIGTERM", marks=SOAK)]


@pytest.mark.parametrize("number", DEATHS)
def test_restarted_with_live_restore(away, number):
    """Three tasks: one runs on, one ends meanwhile, one is in the middle of its stop."""
    world, engine = away(live_restore=True)
    runs, runs_id = world.start()
    ended, ended_id = world.start(RUN_SECONDS=4, EXIT_CODE=7)
    stops, stops_id = world.start(ON_TERM="ignore")
    world.ecs.stop_task(task=stops)
    asked = time.time()
    world.wait_task(stops, "STOPPING")
    engine.end(number)
    time.sleep(4)
    assert world.task(runs)["lastStatus"] == "RUNNING"
    assert world.task(stops)["lastStatus"] != "STOPPED", "nothing is told that nobody has seen"
    assert world.story(stops, "host.ended") == []
    engine.start()
    assert world.wait_task(ended, "STOPPED")["containers"][0]["exitCode"] == 7
    assert world.wait_task(stops, "STOPPED")["containers"][0]["exitCode"] == 137
    assert GRACE_SECONDS - 0.1 <= died_at(engine, stops_id) - asked < GRACE_SECONDS + 6, "the deadline is kept"
    assert engine.state(runs_id)["Running"]
    assert world.task(runs)["lastStatus"] == "RUNNING"
    world.ecs.stop_task(task=runs)
    assert world.wait_task(runs, "STOPPED")["containers"][0]["exitCode"] == 0
    assert engine.state(ended_id)["ExitCode"] == 7


@pytest.mark.parametrize("number", [ends(signal.SIGTERM), pytest.param(signal.SIGKILL, id="SIGKILL", marks=SOAK)])
def test_restarted_without_live_restore(away, number):
    """Docker ends what runs, at its own end or at its next start; that is what is told."""
    world, engine = away(live_restore=False)
    runs, runs_id = world.start()
    stops, stops_id = world.start(ON_TERM="ignore")
    world.ecs.stop_task(task=stops)
    world.wait_task(stops, "STOPPING")
    engine.end(number)
    time.sleep(1)
    engine.start()
    for task, docker_id in ((runs, runs_id), (stops, stops_id)):
        told = world.wait_task(task, "STOPPED")["containers"][0]["exitCode"]
        assert told == engine.state(docker_id)["ExitCode"]
        assert not engine.state(docker_id)["Running"]


@pytest.mark.parametrize("seconds", [5, pytest.param(40, marks=SOAK)])
def test_hung(away, seconds):
    """A stop asked for while Docker hangs begins when it answers; no room is free before that."""
    world, engine = away(live_restore=True)
    task, docker_id = world.start(QUIT_SECONDS=1)
    ignores, ignores_id = world.start(ON_TERM="ignore")
    world.ecs.stop_task(task=ignores)
    asked = time.time()
    world.wait_task(ignores, "STOPPING")
    time.sleep(1)  # delivered
    engine.freeze()
    world.ecs.stop_task(task=task)
    time.sleep(seconds)
    assert world.task(task)["lastStatus"] != "STOPPED"
    assert world.task(ignores)["lastStatus"] != "STOPPED"
    assert world.story(task, "host.ended") == world.story(ignores, "host.ended") == [], "no room is free"
    engine.thaw()
    thawed = time.time()
    assert world.wait_task(task, "STOPPED")["containers"][0]["exitCode"] == 0
    assert world.wait_task(ignores, "STOPPED")["containers"][0]["exitCode"] == 137
    assert died_at(engine, ignores_id) - asked >= GRACE_SECONDS - 0.1
    assert time.time() - thawed < 30
    assert died_at(engine, docker_id) >= thawed


def never_answered(away, give_up):
    world, engine = away(live_restore=True, program=IMPATIENT, ECS_STOP_GIVE_UP=give_up)
    task, docker_id = world.start()
    engine.freeze()
    world.ecs.stop_task(task=task)
    return world, engine, task, docker_id


@pytest.mark.soak
def test_a_stop_that_docker_never_answers_holds_its_room(away):
    world, engine, task, docker_id = never_answered(away, "hold")
    world.until(lambda: len(world.story(task, "runtime.fault")) > 5, "the sixth try has failed")
    assert world.task(task)["lastStatus"] != "STOPPED"
    assert world.story(task, "host.ended") == []
    engine.thaw()
    assert world.wait_task(task, "STOPPED")["containers"][0]["exitCode"] == engine.state(docker_id)["ExitCode"]
    assert [line["proof"] for line in world.until(lambda: world.story(task, "host.ended"), "room")] == ["EXIT_SEEN"]
    assert world.story(task, "stop.unproven") == []


@pytest.mark.soak
def test_a_stop_that_docker_never_answers_is_declared_by_its_own_name(away):
    world, engine, task, docker_id = never_answered(away, "declare")
    told = world.wait_task(task, "STOPPED")["containers"][0]
    assert told["reason"].startswith("CannotStopContainerError")
    assert "exitCode" not in told
    assert world.until(lambda: world.story(task, "stop.unproven"), "it has its own name")
    assert [line["proof"] for line in world.until(lambda: world.story(task, "host.ended"), "room")] == ["GAVE_UP"]
    engine.thaw()
    world.until(lambda: not engine.state(docker_id)["Running"], "what was asked for comes true in the end")
