"""A host that is about to go: the notice of an interruption, and an agent that empties its host before it ends."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from definitions import PATIENT

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[2]


def berth(world, *arguments):
    """Run `berth`; (exit code, what it printed)."""
    done = subprocess.run(
        [sys.executable, "-m", "berth", *arguments, "--endpoint", world.endpoint],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def attribute(instance, name):
    return next(a["value"] for a in instance["attributes"] if a["name"] == name)


def status_of(world, instance):
    row = world.ecs.describe_container_instances(containerInstances=[instance])["containerInstances"][0]
    return row["status"]


def test_an_interrupted_host_drains_the_service_moves_and_the_host_goes_with_what_stayed(world):
    world.start_agent("host-1", ECS_ENABLE_SPOT_INSTANCE_DRAINING="true")
    (first,) = world.hosts(1)
    world.define("web", cpu=100, memory=64)
    world.ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=1)
    world.until(lambda: world.ecs.list_tasks(containerInstance=first["containerInstanceArn"])["taskArns"], "it runs")
    stays, stays_id = world.running(world.define(cpu=100, memory=64, environment={"ON_TERM": "ignore"}))
    world.start_agent("host-2")
    both = world.hosts(2)
    second = next(row for row in both if row["containerInstanceArn"] != first["containerInstanceArn"])
    listed = berth(world, "host", "list")[1]
    for row in both:
        assert row["containerInstanceArn"].rpartition("/")[2] in listed
        assert row["ec2InstanceId"] in listed
    asked = time.time()
    code, said = berth(world, "host", "interrupt", first["ec2InstanceId"], "--notice", "12s")
    assert code == 0, said
    assert "has its notice: terminate at " in said
    arn = first["containerInstanceArn"]
    with urllib.request.urlopen(f"http://{attribute(first, 'berth.introspection')}/v1/interruption") as answer:
        assert json.load(answer)["action"] == "terminate"
    world.until(lambda: status_of(world, arn) == "DRAINING", "it drains")
    world.until(lambda: world.ecs.list_tasks(containerInstance=second["containerInstanceArn"])["taskArns"], "it moves")
    assert world.state(stays_id)["Running"], "a task of no service is moved by nobody"
    stopped = world.wait_task(stays, "STOPPED")
    assert (stopped["stopCode"], stopped["stoppedReason"]) == (
        "TerminationNotice",
        f"Host EC2 (instance {first['ec2InstanceId']}) terminated.",
    )
    assert world.events.at("destroy", stays_id) - asked >= 12
    assert world.events.signals(stays_id, 1) == ["9"], "no grace: the machine has gone"
    assert world.processes.pop("host-1").wait(60) == 0
    assert status_of(world, arn) == "INACTIVE"
    code, said = berth(world, "host", "interrupt", "nobody")
    assert (code, said.count("\n")) == (2, 1)


def test_a_notice_is_nothing_but_a_notice_where_draining_is_off(host):
    (instance,) = host.hosts(1)
    assert berth(host, "host", "interrupt", instance["ec2InstanceId"])[0] == 0
    log = host.path / "host-1.log"
    host.until(lambda: "ECS_ENABLE_SPOT_INSTANCE_DRAINING is off" in log.read_text(), "the agent says so")
    assert status_of(host, instance["containerInstanceArn"]) == "ACTIVE"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_an_agent_empties_its_host_before_it_ends(world, number):
    world.start_agent("host-1", arguments=["run", "--drain"] if number is signal.SIGTERM else ["run"])
    (first,) = world.hosts(1)
    world.define("web", cpu=100, memory=64, environment={"QUIT_SECONDS": 1})
    world.ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=1)
    arn = world.until(
        lambda: world.ecs.list_tasks(containerInstance=first["containerInstanceArn"])["taskArns"], "it runs"
    )[0]
    docker_id = world.wait_task(arn, "RUNNING")["containers"][0]["runtimeId"]
    world.start_agent("host-2")
    world.hosts(2)
    assert world.kill("host-1", number) == 0
    stopped = world.task(arn)
    assert (stopped["lastStatus"], stopped["containers"][0]["exitCode"]) == ("STOPPED", 0), "told before it ended"
    world.events.at("die", docker_id, exitCode="0")
    assert status_of(world, first["containerInstanceArn"]) == "DRAINING"


def test_the_limit_of_the_wait_leaves_the_rest_running(world):
    world.start_agent("host-1", arguments=["run", "--drain", "--drain-limit", "1s"])
    world.hosts(1)
    _, docker_id = world.running(world.define(cpu=100, memory=64))
    assert world.kill("host-1", signal.SIGTERM) == 0
    assert world.state(docker_id)["Running"], "a task of no service is moved by nobody"
    assert "1 tasks are left" in (world.path / "host-1.log").read_text()


def test_a_udp_port_is_held_on_the_hosts_ledger(world, free_port_2):
    """One UDP port, two tasks: the second waits for the first one's exit, though the placement ledger let it in."""
    world.start_agent("host-1", ECS_CONTAINER_STOP_TIMEOUT="3s", ECS_RESERVED_PORTS_UDP="[5353]")
    (instance,) = world.hosts(1)
    reserved = {r["name"]: r.get("stringSetValue") for r in instance["registeredResources"]}
    assert reserved["PORTS_UDP"] == ["5353"]
    ports = [{"containerPort": 9999, "hostPort": free_port_2, "protocol": "udp"}]
    definition = world.define(cpu=100, memory=64, portMappings=ports, command=PATIENT, stopTimeout=120)
    first, first_id = world.running(definition)
    refused = world.ecs.run_task(taskDefinition=definition)
    assert [failure["reason"] for failure in refused["failures"]] == ["RESOURCE:PORTS"]
    world.ecs.stop_task(task=first)
    world.until(lambda: world.ecs.run_task(taskDefinition=definition)["tasks"], "the placement ledger lets it in")
    second = next(arn for arn in world.ecs.list_tasks()["taskArns"] if arn != first)
    assert world.state(first_id)["Running"]
    world.finish(first_id)
    second_id = world.wait_task(second, "RUNNING")["containers"][0]["runtimeId"]
    assert world.events.at("start", second_id) > world.events.at("die", first_id)
