"""kill -9 at the worst moments: nothing lost, nothing run twice, every stop finished on time."""

import time

import pytest

pytestmark = pytest.mark.docker


def test_agent_killed_while_running_containers_run_on_and_are_taken_up_again(host):
    task, docker_id = host.running(host.define())
    before = host.connected()[0]["containerInstanceArn"]
    host.kill("host-1")
    host.until(lambda: not host.connected(), "the control plane notices")
    assert host.state(docker_id)["Running"]
    host.start_agent(ECS_CONTAINER_STOP_TIMEOUT="3s")
    assert host.hosts(1)[0]["containerInstanceArn"] == before, "the same instance again"
    host.ecs.stop_task(task=task)
    assert host.wait_task(task, "STOPPED")["containers"][0]["exitCode"] == 0
    assert host.events.starts_of(task) == 1


def test_agent_killed_in_the_middle_of_a_stop_finishes_it_at_the_original_deadline(world):
    world.start_agent(ECS_CONTAINER_STOP_TIMEOUT="10s")
    world.hosts(1)
    task, docker_id = world.running(world.define(environment={"ON_TERM": "ignore"}))
    asked = time.time()
    world.ecs.stop_task(task=task)
    world.events.at("kill", docker_id, signal="15")
    world.wait_task(task, "STOPPING")
    world.kill("host-1")
    assert world.state(docker_id)["Running"]
    time.sleep(max(0, asked + 5 - time.time()))
    started = time.time()
    world.start_agent(ECS_CONTAINER_STOP_TIMEOUT="10s")
    died = world.events.at("die", docker_id, exitCode="137")
    assert died - asked >= 10
    assert died - started < 10, "no new grace"
    assert world.events.signals(docker_id, 2) == ["15", "9"], "no second TERM"
    assert world.wait_task(task, "STOPPED")["containers"][0]["exitCode"] == 137


def test_what_ended_while_the_agent_was_dead_is_told_with_its_exit_code(host):
    task, docker_id = host.running(host.define(environment={"EXIT_CODE": 9}))
    host.kill("host-1")
    host.docker.kill(docker_id, "SIGTERM")
    host.events.at("die", docker_id)
    host.start_agent(ECS_CONTAINER_STOP_TIMEOUT="3s")
    assert host.wait_task(task, "STOPPED")["containers"][0]["exitCode"] == 9


def test_stopped_by_the_api_while_the_agent_was_dead_it_stops_when_the_agent_is_back(host):
    task, docker_id = host.running(host.define())
    host.kill("host-1")
    host.ecs.stop_task(task=task)
    assert host.state(docker_id)["Running"]
    host.start_agent(ECS_CONTAINER_STOP_TIMEOUT="3s")
    host.wait_task(task, "STOPPED")
    host.events.at("die", docker_id, exitCode="0")


def test_sigterm_leaves_containers_running(host):
    _, docker_id = host.running(host.define())
    assert host.kill("host-1", 15) == 0
    assert host.state(docker_id)["Running"]


def test_control_plane_killed_in_the_middle_of_a_deployment(world):
    """Nothing acknowledged is lost, no task is started twice, the deployment comes to its end."""
    for name in ("host-1", "host-2"):
        world.start_agent(name)
    world.hosts(2)
    world.define("web", cpu=256, memory=256, environment={"QUIT_SECONDS": 1})
    world.ecs.create_service(
        serviceName="web",
        taskDefinition="web:1",
        desiredCount=4,
        deploymentConfiguration={"minimumHealthyPercent": 50, "maximumPercent": 150},
    )

    def service():
        return world.ecs.describe_services(services=["web"])["services"][0]

    world.until(lambda: service()["runningCount"] == 4, "four run")
    old = set(world.ecs.list_tasks(serviceName="web")["taskArns"])
    world.define("web", cpu=256, memory=256, environment={"QUIT_SECONDS": 1})
    answered = world.ecs.update_service(service="web", taskDefinition="web:2")["service"]
    for _ in range(2):
        world.until(lambda: any(world.task(t)["desiredStatus"] == "STOPPED" for t in old), "the deployment has begun")
        world.kill("controlplane")
        world.start_control_plane()
        assert service()["deployments"][0]["id"] == answered["deployments"][0]["id"], "acknowledged is durable"

    def done():
        now = service()
        return len(now["deployments"]) == 1 and now["runningCount"] == 4

    world.until(done, "the deployment has ended", 90)
    new = set(world.ecs.list_tasks(serviceName="web")["taskArns"])
    assert len(new) == 4
    assert not new & old
    for task in old:
        world.wait_task(task, "STOPPED")
    for task in new | old:
        assert world.events.starts_of(task) == 1, "never twice"

    def running():
        rows = world.docker.containers(filters={"label": f"berth.run={world.run}"})
        return {row["Labels"]["com.amazonaws.ecs.task-arn"] for row in rows}

    # Docker lists a container for some 60 ms after its `die`.
    world.until(lambda: running() == new, "no orphan, nothing lost")


def test_every_acknowledged_task_survives_the_control_plane(world):
    world.start_agent()
    world.hosts(1)
    definition = world.define(cpu=10, memory=16)
    tasks = [world.run_task(definition) for _ in range(5)]
    world.kill("controlplane")
    world.start_control_plane()
    for task in tasks:
        world.wait_task(task, "RUNNING")
        assert world.events.starts_of(task) == 1
