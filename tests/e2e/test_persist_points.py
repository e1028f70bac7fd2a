"""kill -9 at every write of the agent to its disk, right before it and right after it, on real containers.

The agent runs as it is; a few lines around it count its writes. Where it died it is started again, once, and the
scenario goes on: one task that ends a second after TERM, one that ignores TERM and is killed after two.
"""

import sys
import time

import pytest
from docker_events import CLOCKS_SECONDS

STOP_TIMEOUT_SECONDS = 2
POINTS_MAX = 80
AGENT = """
import os, sys
from agent.journal import Journal
when, left = sys.argv.pop(1), [int(sys.argv.pop(1))]
def deadly(write):
    def call(self, *arguments):
        if not any(arguments):
            return write(self, *arguments)
        left[0] -= 1
        if left[0] == 0 and when == "before":
            os.kill(os.getpid(), 9)
        write(self, *arguments)
        if left[0] == 0:
            os.kill(os.getpid(), 9)
    return call
for name in ("save", "note", "note_image", "drop_image"):
    setattr(Journal, name, deadly(getattr(Journal, name)))
from agent.__main__ import main
sys.exit(main())
"""


class Walk:
    """One life of two tasks, with one death of the agent in it."""

    def __init__(self, world, when, number):
        self.world, self.name = world, f"{when}-{number}"
        world.program[self.name] = [sys.executable, "-c", AGENT, when, str(number)]
        self.died = False
        self.start()

    def start(self):
        self.world._spawn(
            self.name,
            "agent",
            {
                "ECS_BACKEND_HOST": self.world.endpoint,
                "ECS_DATADIR": str(self.world.path / self.name),
                "ECS_IMAGE_PULL_BEHAVIOR": "prefer-cached",
                "BERTH_INSTANCE_TYPE": "r5.large",
                "BERTH_RUN": self.world.run,
            },
        )

    def revive(self):
        """If it has died, start the agent as it is, from the same disk."""
        process = self.world.processes[self.name]
        if not self.died and process.poll() is not None:
            assert process.returncode == -9, self.name
            self.died = True
            del self.world.program[self.name]
            self.start()

    def until(self, look, what):
        def alive():
            self.revive()
            return look()

        return self.world.until(alive, f"{self.name}: {what}")

    def run(self, **environment):
        """A task on this host; tried until there is an agent to take it."""
        variables = [{"name": name, "value": value} for name, value in environment.items()]

        def ask():
            if not self.world.connected():
                return None
            overrides = {"containerOverrides": [{"name": "main", "environment": variables}]}
            tasks = self.world.ecs.run_task(taskDefinition="walk", overrides=overrides)["tasks"]
            return tasks and tasks[0]["taskArn"]

        return self.until(ask, "a task is taken")

    def status(self, tasks, status):
        rows = self.world.ecs.describe_tasks(tasks=tasks)["tasks"]
        return rows if all(row["lastStatus"] == status for row in rows) else None

    def live(self):
        """Start both, stop both; returns their last descriptions."""
        tasks = [self.run(QUIT_SECONDS="1"), self.run(ON_TERM="ignore")]
        for row in self.until(lambda: self.status(tasks, "RUNNING"), "both run"):
            self.world.ready(row["containers"][0]["runtimeId"])
        for task in tasks:
            self.world.ecs.stop_task(task=task)
        rows = self.until(lambda: self.status(tasks, "STOPPED"), "both have stopped")
        return sorted(rows, key=lambda row: tasks.index(row["taskArn"]))

    def close(self):
        self.revive()
        self.world.kill(self.name, 15)
        self.world.until(lambda: not self.world.connected(), "the host is gone")


def check(world, row, exit_code):
    """What Docker saw of one task."""
    task, docker_id = row["taskArn"], row["containers"][0]["runtimeId"]
    died = world.events.at("die", docker_id, exitCode=str(exit_code))
    world.events.signals(docker_id, 2 if exit_code else 1)
    assert row["containers"][0]["exitCode"] == exit_code
    assert world.events.starts_of(task) == 1
    assert len(world.events.of(docker_id, "die")) == 1
    label = f"com.amazonaws.ecs.task-arn={task}"

    def listed():
        rows = world.docker.containers(all=True, filters={"label": label})
        assert [row["Id"] for row in rows] == [docker_id], "none lost, none doubled"
        return rows[0]["State"] == "exited"

    world.until(listed, "Docker lists it as exited")  # a little later than it says so
    sent = [(attributes["signal"], at) for _, attributes, at in world.events.of(docker_id, "kill")]
    terms = [at for number, at in sent if number == "15"]
    # TERM goes again only where its delivery was not on disk when the agent died.
    assert len(terms) in (1, 2)
    if exit_code:
        assert died - terms[-1] >= STOP_TIMEOUT_SECONDS - CLOCKS_SECONDS, "not killed early"
    else:
        assert [number for number, _ in sent if number == "9"] == [], "not killed"


def walk(world, when, first, step):
    """Every `step`-th point, until the agent has no further one; returns at how many it died."""
    world.define("walk", cpu=256, memory=256, stopTimeout=STOP_TIMEOUT_SECONDS)
    for deaths, number in enumerate(range(first, POINTS_MAX, step)):
        life = Walk(world, when, number)
        quits, ignores = life.live()
        check(world, quits, 0)
        check(world, ignores, 137)
        time.sleep(0.2)  # the last acceptance is a write too
        life.close()
        if not life.died:
            return deaths
    raise AssertionError(f"more than {POINTS_MAX} writes")


@pytest.mark.docker
@pytest.mark.parametrize(("when", "first"), [("before", 6), ("after", 8)])
def test_killed_at_some_persist_points(world, when, first):
    assert walk(world, when, first, 6) >= 2


@pytest.mark.soak
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_persist_point(world, when):
    assert walk(world, when, 1, 1) >= 15
