"""Real traffic through a real HAProxy while tasks come and go: who is answered, and by which order of a stop not.

The application is busybox's httpd: on TERM it takes no new connection, finishes what it has, and ends.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import urllib.request
from datetime import datetime
from pathlib import Path

import psutil
import pytest
from docker_events import CLOCKS_SECONDS
from haproxy_here import PROGRAM, needs_haproxy
from ports import free_port
from traffic import Tally, steady

pytestmark = [pytest.mark.docker, needs_haproxy]

APP = """
mkdir -p /www/cgi-bin; echo ok > /www/index.html
printf '#!/bin/sh\\nsleep 0.3\\nprintf "Content-Type: text/plain\\r\\n\\r\\ndone\\n"' > /www/cgi-bin/work
chmod +x /www/cgi-bin/work
httpd -f -vv -p 8080 -h /www & pid=$!
trap 'kill $pid; sleep 0.5; exit 0' TERM
wait $pid
"""
TASKS = 6
PER_SECOND = 60
DELAY_SECONDS = 1


class Balanced:
    """A world with a service of six tasks behind a target group, all healthy."""

    def __init__(self, world, **settings):
        self.world = world
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        for name in ("host-1", "host-2"):
            world.start_agent(name, ECS_CONTAINER_STOP_TIMEOUT="60s")
        world.hosts(2)
        settings = {"deregistrationDelaySeconds": DELAY_SECONDS, **settings}
        check = {
            "healthCheckPath": "/index.html",
            "healthCheckIntervalSeconds": 1,
            "healthCheckTimeoutSeconds": 20,
            "healthyThresholdCount": 1,
        }
        self.group = self.ask("POST", name="web", listen=[self.port], **check, **settings)["targetGroupArn"]
        balancer = {"targetGroupArn": self.group, "containerName": "main", "containerPort": 8080}
        world.ecs.create_service(
            serviceName="web", taskDefinition=self.define(), desiredCount=TASKS, loadBalancers=[balancer]
        )
        self.wait_settled()

    def ask(self, method, group="", /, **members):
        url = f"{self.world.endpoint}/_berth/target-groups/{group}".rstrip("/")
        data = json.dumps(members).encode() if members else None
        with urllib.request.urlopen(urllib.request.Request(url, data=data, method=method), timeout=10) as answer:
            return json.load(answer)

    def define(self):
        return self.world.define(
            "web", cpu=64, memory=32, command=["sh", "-c", APP], portMappings=[{"containerPort": 8080, "hostPort": 0}]
        )

    @property
    def service(self):
        (service,) = self.world.ecs.describe_services(services=["web"])["services"]
        return service

    def wait_settled(self):
        def settled():
            service = self.service
            is_done = [d["rolloutState"] for d in service["deployments"]] == ["COMPLETED"]
            return is_done and service["runningCount"] == TASKS and not self.stopping()

        self.world.until(settled, "the service is whole, and nothing is stopping", 180)

    def stopping(self):
        arns = self.world.ecs.list_tasks(desiredStatus="STOPPED")["taskArns"]
        tasks = self.world.ecs.describe_tasks(tasks=arns)["tasks"] if arns else []
        return [task for task in tasks if task["lastStatus"] != "STOPPED"]

    def roll(self):
        self.world.ecs.update_service(service="web", taskDefinition=self.define())
        self.wait_settled()

    def drain(self):
        """One of two hosts goes DRAINING; its tasks go elsewhere."""
        (instance, *_) = self.world.ecs.list_container_instances()["containerInstanceArns"]
        self.world.ecs.update_container_instances_state(containerInstances=[instance], status="DRAINING")
        self.world.until(
            lambda: not self.world.ecs.list_tasks(containerInstance=instance)["taskArns"], "the host is empty"
        )
        self.wait_settled()

    def stop_half(self):
        """StopTask: the signal comes first."""
        for arn in self.world.ecs.list_tasks()["taskArns"][: TASKS // 2]:
            self.world.ecs.stop_task(task=arn)
        self.wait_settled()

    def under_load(self, act, *, path="", per_second=PER_SECOND) -> Tally:
        """Do something under a steady load, and for a second before and after."""

        async def run():
            async with steady(self.url + path, per_second=per_second) as tally:
                await asyncio.sleep(1)
                await asyncio.to_thread(act)
                await asyncio.sleep(1)
            return tally

        return asyncio.run(run())

    def containers(self):
        """Docker ids of the service's tasks."""
        tasks = self.world.ecs.describe_tasks(tasks=self.world.ecs.list_tasks()["taskArns"])["tasks"]
        return [task["containers"][0]["runtimeId"] for task in tasks]

    def last_request(self, docker_id):
        """When the application got its last request (checks ask for another path): epoch seconds, Docker's."""
        lines = self.world.docker.logs(docker_id, timestamps=True).decode().splitlines()
        *_, last = (line for line in lines if line.endswith(" url:/"))
        return datetime.fromisoformat(last[:26] + "Z").timestamp()


def test_a_rolling_update_and_a_drain_answer_every_request(world):
    balanced = Balanced(world)
    old = balanced.containers()
    rolled = balanced.under_load(balanced.roll)
    assert rolled.failures == []
    assert rolled.sent > PER_SECOND * 5
    assert set(old).isdisjoint(balanced.containers())
    idle = [world.events.at("kill", docker_id, signal="15") - balanced.last_request(docker_id) for docker_id in old]
    assert min(idle) >= DELAY_SECONDS - CLOCKS_SECONDS, f"nothing was sent for so long before each signal: {idle}"

    drained = balanced.under_load(balanced.drain)
    assert drained.failures == []
    assert world.events.times("die", exitCode="137") == {}

    killed = _proxy_at(balanced.port)
    os.kill(killed, signal.SIGKILL)
    world.until(lambda: _proxy_at(balanced.port) not in (killed, None), "there is a new proxy")
    world.until(lambda: _answers(balanced.url), "it answers")


@pytest.mark.soak
def test_the_order_of_a_stop_decides_who_is_not_answered(world):
    """E16 of the experiments: deregister-then-signal against signal-first, over the deregistration delay."""
    balanced = Balanced(world)
    failed = {}
    for delay_seconds in (0, 1, 3):
        balanced.ask("PUT", "web", deregistrationDelaySeconds=delay_seconds)
        tally = balanced.under_load(balanced.roll, path="cgi-bin/work", per_second=50)
        failed[f"deregister first, delay {delay_seconds} s"] = (tally.failed, tally.sent)
    balanced.ask("PUT", "web", deregistrationDelaySeconds=5, propagationSeconds=3)
    for name, act in (("deregister first", balanced.roll), ("signal first", balanced.stop_half)):
        tally = balanced.under_load(act, path="cgi-bin/work", per_second=50)
        failed[f"{name}, delay 5 s, the proxy learns 3 s late"] = (tally.failed, tally.sent)
    sys.stdout.write("\n".join(f"{name}: {count} of {sent} failed" for name, (count, sent) in failed.items()))
    assert [count > 0 for count, _ in failed.values()] == [True, False, False, False, True]


@pytest.mark.soak
def test_traffic_moves_from_blue_to_green_and_nobody_notices(world):
    balanced = Balanced(world)
    green = balanced.ask("POST", name="green", deregistrationDelaySeconds=DELAY_SECONDS, healthCheckIntervalSeconds=1)
    (listener,) = balanced.ask("GET", "web")["listeners"]
    advanced = {
        "alternateTargetGroupArn": green["targetGroupArn"],
        "productionListenerRule": listener["ruleArn"],
        "roleArn": "arn:aws:iam::123456789012:role/ecs",
    }
    balancer = {"targetGroupArn": balanced.group, "containerName": "main", "containerPort": 8080}
    world.ecs.update_service(
        service="web",
        taskDefinition=balanced.define(),
        loadBalancers=[{**balancer, "advancedConfiguration": advanced}],
        deploymentConfiguration={
            "strategy": "CANARY",
            "bakeTimeInMinutes": 0,
            "canaryConfiguration": {"canaryPercent": 20, "canaryBakeTimeInMinutes": 0},
        },
    )
    balanced.wait_settled()
    for _ in range(2):
        assert balanced.under_load(balanced.roll).failures == []


def _proxy_at(port):
    """Process id of the HAProxy that serves a port: of those that have it in their configuration, the latest."""
    found = {}
    for process in psutil.process_iter(["name", "pid"]):
        if process.info["name"] == Path(PROGRAM).name:
            found |= {int(config.stem): process.pid for config in _configurations(process) if _names(config, port)}
    return found[max(found)] if found else None


def _configurations(process):
    with contextlib.suppress(psutil.Error):  # another test's, on its way out
        return [Path(word) for word in process.cmdline() if word.endswith(".cfg")]
    return []


def _names(config, port):
    with contextlib.suppress(OSError):
        return f":{port}\n" in config.read_text()
    return False


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False
