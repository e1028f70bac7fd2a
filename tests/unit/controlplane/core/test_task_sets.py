"""The EXTERNAL controller: task sets at their numbers, steady or not, and gone once they have drained."""

import msgspec
import pytest
from toy_cluster import Behaviour, ToyCluster

from controlplane.core.model import Controller, Deployment, Instance, Service
from controlplane.core.reconcile import taskset
from controlplane.core.rollouts import TaskSet
from wire.resources import Amounts
from wire.status import InstanceStatus

SMALL = Amounts(64, 64)


def external(desired: int = 4) -> tuple[ToyCluster, str]:
    world = ToyCluster()
    definition = world.define(SMALL)
    arn = world.names.arns.service("default", "web")
    service = Service(
        arn=arn,
        name="web",
        cluster="default",
        desired_count=desired,
        task_definition=definition.arn,
        controller=Controller.EXTERNAL,
    )
    world.decide("create", lambda draft: draft.put(service))
    return world, arn


def add(world: ToyCluster, service: str, percent: float, status: str = "ACTIVE") -> str:
    made = Deployment(
        id=world.names.deployment(),
        status=status,
        task_definition=world.service(service).task_definition,
        task_set=TaskSet(scale_percent=percent),
    )
    change(world, service, (made, *world.service(service).deployments))
    return made.id


def change(world: ToyCluster, service: str, deployments: tuple[Deployment, ...]) -> None:
    world.update(service, deployments=deployments)


def counts(world: ToyCluster, service: str) -> dict[str, int]:
    ids = [deployment.id for deployment in world.service(service).deployments]
    return {id_: sum(task.deployment == id_ for task in world.live(service)) for id_ in ids}


@pytest.mark.parametrize(
    ("desired", "percent", "expected"), [(4, 50, 2), (3, 50, 2), (3, 10, 1), (7, 100, 7), (5, 0, 0)]
)
def test_the_number_is_desired_times_scale_rounded_up(desired: int, percent: float, expected: int) -> None:
    world, service = external(desired)
    made = add(world, service, percent)
    assert taskset.wanted(world.service(service)) == {made: expected}
    assert counts(world, service) == {made: expected}


def test_task_sets_stand_side_by_side_each_at_its_number() -> None:
    world, service = external()
    assert not world.live(service)
    blue = add(world, service, 100, "PRIMARY")
    world.run(1)
    green = add(world, service, 100)
    world.run(1)
    assert counts(world, service) == {green: 4, blue: 4}
    assert all(d.task_set.is_steady for d in world.service(service).deployments)
    for id_ in (blue, green):
        told = f"(service web, taskSet {id_}) has reached a steady state."
        assert world.messages(service).count(told) == 1
    scaled = tuple(
        msgspec.structs.replace(d, task_set=TaskSet(scale_percent=25)) if d.id == blue else d
        for d in world.service(service).deployments
    )
    change(world, service, scaled)
    world.run(5)
    assert counts(world, service) == {green: 4, blue: 1}
    world.update(service, desired_count=8)
    world.run(5)
    assert counts(world, service) == {green: 8, blue: 2}


def test_one_that_drains_is_gone_with_its_tasks() -> None:
    world, service = external(2)
    blue, green = add(world, service, 100, "PRIMARY"), add(world, service, 100)
    world.run(1)
    drained = tuple(
        msgspec.structs.replace(d, status="DRAINING") if d.id == blue else d for d in world.service(service).deployments
    )
    change(world, service, drained)
    world.run(10)
    assert counts(world, service) == {green: 2}


def test_a_task_set_with_tasks_on_a_draining_instance_is_stabilizing() -> None:
    world, service = external(2)
    add(world, service, 100)
    world.run(1)
    instance = world.state.record(Instance, world.live(service)[0].instance)
    changed = msgspec.structs.replace(instance, status=InstanceStatus.DRAINING)
    world.decide("drain", lambda draft: draft.put(changed))
    assert not world.service(service).deployments[0].task_set.is_steady
    world.run(10)
    assert world.service(service).deployments[0].task_set.is_steady


def test_each_task_set_has_its_own_failures_and_is_slowed_down_by_them_alone() -> None:
    world, service = external()
    bad = world.define(SMALL)
    world.behaviour = lambda task: Behaviour(fails=task.task_definition == bad.arn)
    world.update(service, task_definition=bad.arn)
    failing = add(world, service, 50)
    world.update(service, task_definition=world.define(SMALL).arn)
    fine = add(world, service, 50)
    world.run(300)
    failed = {d.id: d.failed_tasks for d in world.service(service).deployments}
    assert failed[fine] == 0
    assert 4 <= failed[failing] < 20, "tried less and less"
    assert "(service web) is unable to consistently start tasks successfully." in world.messages(service)


def test_a_deleted_task_set_goes_whole_whatever_is_left() -> None:
    world, service = external()
    blue = add(world, service, 100, "PRIMARY")
    green = add(world, service, 50)
    world.run(5)
    change(
        world,
        service,
        tuple(
            msgspec.structs.replace(d, status="DRAINING") if d.id == blue else d
            for d in world.service(service).deployments
        ),
    )
    world.run(5)
    assert counts(world, service) == {green: 2}
