"""aws/amazon-ecs-agent#4106 on one host: who holds the room, on which ledger, until when."""

import pytest
from definitions import PATIENT

pytestmark = pytest.mark.docker

FULL, ONE_LEFT, EMPTY = (0, 987), (1024, 8359), (2048, 15731)
"""What an r5.large shows free (CPU, MiB) with two, one and none of the demo's tasks."""


def two_old_tasks(world):
    """Two old tasks on one host: each works on after TERM until its work is done."""
    old = world.define("old", stopTimeout=120, command=PATIENT)
    return world.running(old), world.running(old)


def test_eager_the_room_is_booked_free_at_the_stop_and_the_new_task_waits_for_the_real_exit(world):
    world.start_agent(ECS_RESOURCE_RELEASE="eager")
    instance = world.hosts(1)[0]["containerInstanceArn"]
    (quick, quick_id), (long, long_id) = two_old_tasks(world)
    assert world.room(instance) == FULL
    for task in (quick, long):
        world.ecs.stop_task(task=task)
    world.until(lambda: world.room(instance) == EMPTY, "both are booked free while both still run")
    assert world.state(quick_id)["Running"]
    assert world.state(long_id)["Running"]

    new = world.define("new")
    first, second = world.run_task(new), world.run_task(new)
    assert world.room(instance) == FULL, "the placement ledger has sold the room again"
    world.finish(quick_id)
    first_id = world.wait_task(first, "RUNNING")["containers"][0]["runtimeId"]
    assert world.events.at("start", first_id) > world.events.at("die", quick_id, exitCode="0"), "at the exit"

    assert world.state(long_id)["Running"]
    waiting = world.task(second)
    assert (waiting["lastStatus"], waiting["containerInstanceArn"]) == ("PENDING", instance)
    assert "pullStartedAt" not in waiting

    world.finish(long_id)
    second_id = world.wait_task(second, "RUNNING")["containers"][0]["runtimeId"]
    exited = world.events.at("die", long_id, exitCode="0")
    assert 0 < world.events.at("start", second_id) - exited < 20, "at the real exit"


def test_on_exit_the_room_is_taken_until_the_container_has_gone_and_nothing_is_placed_into_it(world):
    world.start_agent(ECS_RESOURCE_RELEASE="on-exit")
    instance = world.hosts(1)[0]["containerInstanceArn"]
    (quick, quick_id), (long, long_id) = two_old_tasks(world)
    for task in (quick, long):
        world.ecs.stop_task(task=task)
    for docker_id in (quick_id, long_id):
        world.events.at("kill", docker_id, signal="15")
    assert world.room(instance) == FULL, "asked to stop, still taken"
    refused = world.ecs.run_task(taskDefinition=world.define("new"))
    assert refused["tasks"] == []
    assert refused["failures"][0]["reason"] in ("RESOURCE:CPU", "RESOURCE:MEMORY")

    world.finish(quick_id)
    world.until(lambda: world.room(instance) == ONE_LEFT, "the quick one's room is free")
    world.events.at("die", quick_id, exitCode="0")
    assert world.state(long_id)["Running"]
    world.finish(long_id)
    world.until(lambda: world.room(instance) == EMPTY, "the long one's room is free")
    world.events.at("die", long_id, exitCode="0")


def test_an_agent_that_reports_no_releases_is_served_as_aws_does(world):
    """The preset's other side: `stop-request` books free at once, whatever the agent says."""
    world.kill("controlplane")
    world.start_control_plane(BERTH_POLICY="ecs-2015", BERTH_DATA_DIR=str(world.path / "other"))
    world.start_agent(ECS_TASK_QUEUE="serial")
    instance = world.hosts(1)[0]["containerInstanceArn"]
    (quick, quick_id), (long, long_id) = two_old_tasks(world)
    for task in (quick, long):
        world.ecs.stop_task(task=task)
    world.until(lambda: world.room(instance) == EMPTY, "booked free")
    new = world.run_task(world.define("new"))
    world.finish(quick_id)
    world.events.at("die", quick_id, exitCode="0")
    assert world.task(new)["lastStatus"] == "PENDING"
    world.finish(long_id)
    new_id = world.wait_task(new, "RUNNING")["containers"][0]["runtimeId"]
    assert world.events.at("start", new_id) > world.events.at("die", long_id), "agents up to 1.72 wait for all stops"
