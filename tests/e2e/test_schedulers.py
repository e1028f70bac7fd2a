"""Schedulers of one's own on real containers: the installed Python object, and the program beside."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[2]


def install(folder):
    """The example as a package, where a control plane finds it that has `folder` on its path."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", folder, ROOT / "examples/python_scheduler"], check=True, timeout=120)


def test_both_examples_run_containers(world, tmp_path):
    install(tmp_path / "installed")
    world.kill("controlplane")
    world.start_control_plane(PYTHONPATH=str(tmp_path / "installed"))
    for name, rack in (("host-1", "a"), ("host-2", "b")):
        world.start_agent(name, ECS_INSTANCE_ATTRIBUTES=json.dumps({"rack": rack}), ECS_CONTAINER_STOP_TIMEOUT="3s")
    world.hosts(2)
    small = world.define("small", cpu=128, memory=256)
    told = berth(world, "policy", "set", "default", "scheduler=same-rack")
    assert "scheduler=same-rack" in told
    answer = world.ecs.run_task(taskDefinition=small, count=3, group="together")
    tasks = [task["taskArn"] for task in answer["tasks"]]
    assert len({task["containerInstanceArn"] for task in answer["tasks"]}) == 1, "one rack is one host here"
    for task in tasks:
        docker_id = world.wait_task(task, "RUNNING")["containers"][0]["runtimeId"]
        assert world.state(docker_id)["Running"]

    berth(world, "policy", "set", "default", "scheduler=all-at-once")
    world.ecs.create_service(serviceName="moved", taskDefinition=small, desiredCount=1)
    (moved,) = world.until(lambda: world.ecs.list_tasks(serviceName="moved")["taskArns"], "a task of the service")
    assert world.state(world.wait_task(moved, "RUNNING")["containers"][0]["runtimeId"])["Running"]
    world.ecs.delete_service(service="moved", force=True)
    world.wait_task(moved, "STOPPED")

    program = [sys.executable, ROOT / "examples/external_scheduler.py", "small", "2", "--until-there"]
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1"}
    subprocess.run([*program, "--endpoint", world.endpoint], env=os.environ | keys, check=True, timeout=60)
    started = world.ecs.list_tasks(startedBy="external-scheduler")["taskArns"]
    assert len(started) == 2
    for task in started:
        docker_id = world.wait_task(task, "RUNNING")["containers"][0]["runtimeId"]
        assert world.state(docker_id)["Running"]
    for task in (*tasks, *started):
        world.ecs.stop_task(task=task)
    for task in (*tasks, *started):
        world.wait_task(task, "STOPPED")


def berth(world, *words):
    done = subprocess.run(
        [sys.executable, "-m", "berth", *words, "--endpoint", world.endpoint],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout
