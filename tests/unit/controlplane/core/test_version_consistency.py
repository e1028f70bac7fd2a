"""One image for all tasks of a deployment: who finds its digest, who runs by it, and who waits for it."""

import msgspec
import pytest
from toy_cluster import Behaviour, ToyCluster

from controlplane.agents.payload import run_payload
from controlplane.core.model import Cluster, Scheduling, Task, TaskDefinition
from controlplane.core.policy import FirstTask, Policy
from wire.resources import Amounts

SMALL = Amounts(64, 64)
OLD, NEW = "sha256:old", "sha256:new"
ALONE = Policy(healthy_after_seconds=0, first_task=FirstTask.ALONE)


def world_of(policy: Policy | None = None, **behaviour: object) -> ToyCluster:
    world = ToyCluster(policy=policy)
    world.behaviour = lambda _: Behaviour(**behaviour)
    return world


def image_of(world: ToyCluster, task: Task) -> str:
    """What its instance is told to run."""
    definition = world.state.task_definition(task.task_definition)
    cluster = world.state.record(Cluster, "default")
    return run_payload(task, definition, cluster, account="1").containers[0].image


def define(world: ToyCluster, **members: object) -> TaskDefinition:
    """The usual definition, its container with these members."""
    made = world.define(SMALL)
    (container,) = made.body["containerDefinitions"]
    body = {**made.body, "containerDefinitions": [{**container, **members}]}
    world.decide("change", lambda draft: draft.put(msgspec.structs.replace(made, body=body)))
    return world.state.task_definition(made.arn)


def started_at(world: ToyCluster, service: str) -> list[float]:
    return sorted({task.created_at for task in world.tasks(service)})


def test_what_comes_later_runs_what_the_first_have_found() -> None:
    """The tag means another image by then; a new deployment looks again."""
    world = world_of(digest=OLD)
    definition = world.define(SMALL)
    service = world.create_service(definition, desired=2)
    world.run(60)
    assert {image_of(world, task) for task in world.live(service)} == {"busybox"}, "nobody knew it yet"
    world.behaviour = lambda _: Behaviour(digest=NEW)
    world.exit(world.live(service)[0].arn)
    world.run(120)
    assert image_of(world, world.live(service)[-1]) == f"busybox@{OLD}"
    world.deploy(service, definition)
    world.run(240)
    world.exit(world.live(service)[0].arn)
    world.run(360)
    assert image_of(world, world.live(service)[-1]) == f"busybox@{NEW}"


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("busybox:1.36", f"busybox@{OLD}"),
        ("host:5000/a/b", f"host:5000/a/b@{OLD}"),
        ("host:5000/a/b:tag", f"host:5000/a/b@{OLD}"),
        ("busybox@sha256:own", "busybox@sha256:own"),
    ],
)
def test_the_digest_stands_in_the_place_of_the_tag(image: str, expected: str) -> None:
    world = world_of(digest=OLD)
    service = world.create_service(define(world, image=image), desired=1)
    world.run(60)
    world.exit(world.live(service)[0].arn)
    world.run(120)
    assert image_of(world, world.live(service)[0]) == expected


def test_a_container_that_is_to_follow_its_tag_does() -> None:
    world = world_of(ALONE, digest=OLD)
    service = world.create_service(define(world, versionConsistency="disabled"), desired=3)
    world.run(60)
    assert len(started_at(world, service)) == 1, "nobody waits for a digest that nobody is to run by"
    world.exit(world.live(service)[0].arn)
    world.run(120)
    assert image_of(world, world.live(service)[-1]) == "busybox"


def test_with_the_switch_the_first_task_of_a_deployment_starts_alone() -> None:
    world = world_of(ALONE, digest=OLD)
    service = world.create_service(world.define(SMALL), desired=3)
    assert len(world.live(service)) == 1
    world.run(60)
    first, *others = sorted(world.live(service), key=lambda task: task.created_at)
    assert [image_of(world, task) for task in (first, *others)] == ["busybox", f"busybox@{OLD}", f"busybox@{OLD}"]
    assert first.started_at <= min(task.created_at for task in others)
    world.deploy(service, world.define(SMALL))
    world.run(120)
    assert len({task.deployment for task in world.live(service)}) == 1
    assert len(world.live(service)) == 3


def test_a_daemons_first_task_starts_alone_too() -> None:
    world = world_of(ALONE, digest=OLD)
    world.add_host()
    daemon = {"scheduling": Scheduling.DAEMON, "minimum_healthy_percent": 0, "maximum_percent": 100}
    service = world.create_service(world.define(SMALL), desired=0, **daemon)
    assert len(world.live(service)) == 1
    world.run(60)
    first, *others = sorted(world.live(service), key=lambda task: task.created_at)
    assert [image_of(world, task) for task in (first, *others)] == ["busybox", f"busybox@{OLD}", f"busybox@{OLD}"]
    world.deploy(service, world.define(SMALL))
    world.run(120)
    assert len({task.deployment for task in world.live(service)}) == 1
    assert len(world.live(service)) == 3


def test_an_image_that_only_its_host_knows_keeps_nobody_waiting() -> None:
    world = world_of(ALONE)
    service = world.create_service(world.define(SMALL), desired=3)
    world.run(60)
    assert [image_of(world, task) for task in world.live(service)] == ["busybox"] * 3


def test_three_failures_and_the_others_go_on_without() -> None:
    world = world_of(ALONE, fails=True)
    service = world.create_service(world.define(SMALL), desired=4)
    world.run(3600)
    at = [round(task.created_at) for task in world.tasks(service)]
    assert [at.count(time) for time in sorted(set(at))][:4] == [1, 1, 1, 4]
