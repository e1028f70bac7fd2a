"""kill -9 of the control plane at its writes about groups and machines, on real agents and real containers.

The control plane runs as it is; a few lines around it count its writes. Where it died it is started again, once, and
the scenario goes on: two hosts come, a task works on one of them, the group shrinks to nothing, the task ends in peace.
"""

import contextlib
import json
import sys
import time
import urllib.request
from collections import Counter
from urllib.error import URLError

import psutil
import pytest
from botocore.exceptions import BotoCoreError, ClientError

pytestmark = [pytest.mark.docker, pytest.mark.soak]

POINTS_MAX = 60
SAMPLE_SECONDS = 0.25
CONTROL_PLANE = """
import os, sys
from controlplane.store.sqlite import SqliteStore
when, left, offer = sys.argv.pop(1), [int(sys.argv.pop(1))], SqliteStore.offer
class Last:
    def done(self):
        return False
    def set_result(self, _):
        os.kill(os.getpid(), 9)
    set_exception = set_result
def deadly(self, plan, done):
    if any(table in ("groups", "machines") for table, _ in plan.changed):
        left[0] -= 1
        if left[0] == 0 and when == "before":
            os.kill(os.getpid(), 9)
        if left[0] == 0:
            done = Last()
    offer(self, plan, done)
SqliteStore.offer = deadly
from controlplane.__main__ import main
sys.exit(main())
"""
AWAY = (URLError, ConnectionError, BotoCoreError, ClientError)
"""What whoever asks gets from a control plane that has died: it asks again."""


class Life:
    """A group of two from its creation to its end, with one death of the control plane in it."""

    def __init__(self, world, number):
        self.world, self.name = world, f"asg-{number}"
        self.when = "after" if number % 2 else "before"
        self.doubled = []
        self._sampled_at = 0.0
        world.kill("controlplane")
        world.program["controlplane"] = [sys.executable, "-c", CONTROL_PLANE, self.when, str(number)]
        self.died = False
        world.start_control_plane()

    def until(self, step, what, seconds=90):
        def look():
            self._revive()
            self._sample()
            with contextlib.suppress(*AWAY):
                return step()

        return self.world.until(look, f"{self.name} ({self.when}): {what}", seconds)

    def _revive(self):
        process = self.world.processes["controlplane"]
        if process.poll() is not None:
            assert (process.returncode, self.died) == (-9, False)
            self.died = True
            del self.world.program["controlplane"]
            self.world.start_control_plane()

    def _sample(self):
        """How many processes each machine is, now and then."""
        if time.monotonic() - self._sampled_at < SAMPLE_SECONDS:
            return
        self._sampled_at = time.monotonic()
        self.doubled += [id_ for id_, count in Counter(machines_of(self.world)).items() if count > 1]

    def ask(self, operation, **members):
        headers = {"X-Amz-Target": f"AmazonEC2ContainerServiceV20141113.{operation}"}
        body = json.dumps(members).encode()
        request = urllib.request.Request(self.world.endpoint, data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def group(self):
        found = self.ask("DescribeAutoScalingGroups")["AutoScalingGroups"]
        return next((group for group in found if group["AutoScalingGroupName"] == self.name), None)

    # the steps of a person, each again until it is done

    def make(self):
        made = self.group()
        if made is None:
            self.ask("CreateAutoScalingGroup", AutoScalingGroupName=self.name, MaxSize=2, BootSeconds=0)
            return False
        provider = {"autoScalingGroupArn": made["AutoScalingGroupARN"], "managedScaling": {"status": "DISABLED"}}
        self.world.ecs.create_capacity_provider(name=f"cp-{self.name}", autoScalingGroupProvider=provider)
        return True

    def size(self, count):
        self.ask("SetDesiredCapacity", AutoScalingGroupName=self.name, DesiredCapacity=count)
        rows = self.group()["Instances"]
        return len(rows) == len(self.world.connected()) == count and all(
            row["LifecycleState"] == "InService" for row in rows
        )

    def delete(self):
        if self.group() is None:
            return True
        with contextlib.suppress(ClientError):
            self.world.ecs.delete_capacity_provider(capacityProvider=f"cp-{self.name}")
        self.ask("DeleteAutoScalingGroup", AutoScalingGroupName=self.name, ForceDelete=True)
        return False

    def run(self, definition):
        token = {"startedBy": self.name}
        tasks = self.world.ecs.list_tasks(**token)["taskArns"]
        tasks = tasks or [
            task["taskArn"] for task in self.world.ecs.run_task(taskDefinition=definition, **token)["tasks"]
        ]
        row = self.world.task(tasks[0]) if tasks else None
        return row if row is not None and row["lastStatus"] == "RUNNING" else None

    def live(self, definition):
        self.until(self.make, "the group is made")
        self.until(lambda: self.size(2), "two hosts are in service")
        machines = {row["InstanceId"] for row in self.group()["Instances"]}
        row = self.until(lambda: self.run(definition), "a task runs")
        self.world.ready(row["containers"][0]["runtimeId"])
        self.until(lambda: self.size(0) or len(self.world.connected()) == 1, "the empty host goes, the other one waits")
        self.until(lambda: self.world.ecs.stop_task(task=row["taskArn"]), "the task is told to stop")
        self.until(lambda: self.world.task(row["taskArn"])["lastStatus"] == "STOPPED", "it has stopped")
        self.until(self.delete, "the group is gone")
        return machines, self.world.task(row["taskArn"])


def machines_of(world):
    """Machines (ids) of the agents that run, one for each process."""
    found = []
    for process in psutil.Process(world.processes["runner"].pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[-1:] == ["agent"]:
                found.append(process.environ().get("BERTH_INSTANCE_ID", "?"))
    return found


def test_killed_at_every_write_about_the_fleet(world, tmp_path):
    """Never two processes for one machine, none lost, none left behind, and the task ends by itself."""
    disks = tmp_path / "disks"
    disks.mkdir()
    (disks / "run").write_text(world.run)
    command = ("group", "run", "--dir", str(disks), "--endpoint", world.endpoint)
    world._spawn("runner", "berth", {}, command)
    definition = world.define("work", cpu=256, memory=256, environment={"ON_TERM": "quit", "QUIT_SECONDS": "1"})
    seen = set()
    for number in range(1, POINTS_MAX):
        life = Life(world, number)
        machines, task = life.live(definition)
        assert life.doubled == []
        assert len(machines) == 2, "none is bought besides"
        assert not machines & seen
        seen |= machines
        assert task["containers"][0]["exitCode"] == 0, "not killed under its host"
        assert world.events.starts_of(task["taskArn"]) == 1
        world.until(lambda: machines_of(world) == [], "no agent is left")
        assert list((disks / "machines").iterdir()) == []
        assert world.docker.containers(all=True, filters={"label": f"berth.run={world.run}"}) == []
        if not life.died:
            assert number > 10
            return
    raise AssertionError(f"more than {POINTS_MAX} writes")
