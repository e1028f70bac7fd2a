"""When a task counts as healthy, and what becomes of one that does not: who starts, who stops, in which order."""

from collections.abc import Iterator

import msgspec
import pytest
from toy_cluster import BALANCED, Behaviour, ToyCluster

from controlplane.core.model import Task
from controlplane.core.policy import Policy, ProtectionCovers, UnhealthyInRollout
from wire.arn import short_id
from wire.resources import Amounts
from wire.status import HealthStatus, InstanceStatus, TaskStatus

SMALL = Amounts(64, 64)
HEALTHY, UNHEALTHY = HealthStatus.HEALTHY, HealthStatus.UNHEALTHY


def checked(
    desired: int = 2, policy: Policy | None = None, *, seed: int = 0, **members: object
) -> tuple[ToyCluster, str]:
    """A service whose container has a health check, running, with every task healthy."""
    world = ToyCluster(policy=policy, seed=seed)
    service = world.create_service(world.define(SMALL, is_checked=True), desired=desired, **members)
    world.run(1)
    heal(world, service)
    return world, service


def heal(world: ToyCluster, service: str) -> None:
    """What runs and was not heard of is healthy."""
    for task in list(world.live(service)):
        if task.last_status is TaskStatus.RUNNING and task.containers[0].health_status is HealthStatus.UNKNOWN:
            world.health(task.arn, HEALTHY)


def new(world: ToyCluster, service: str, *known: Task) -> list[Task]:
    return [task for task in world.live(service) if task.arn not in {one.arn for one in known}]


def test_a_stand_in_starts_first_and_the_unhealthy_one_stops_once_it_is_healthy() -> None:
    world, service = checked()
    one, two = world.live(service)
    world.health(one.arn, UNHEALTHY)
    assert len(world.live(service)) == 3
    (stand_in,) = new(world, service, one, two)
    assert stand_in.replaces == one.arn
    world.run(5)
    assert world.state.task(one.arn).is_live, "not before its stand-in is healthy"
    world.health(stand_in.arn, HEALTHY)
    assert not world.state.task(one.arn).is_live
    assert world.state.task(one.arn).stopped_reason == "Task failed container health checks"
    world.run(5)
    assert {task.arn for task in world.live(service)} == {two.arn, stand_in.arn}
    said = world.messages(service)
    told = f"(service web) (task {short_id(one.arn)}) failed container health checks."
    assert said.count(told) == 1
    at = said.index(told)
    assert said[at + 1 : at + 3] == [
        (
            f"(service web) has started 1 tasks: (task {short_id(stand_in.arn)}). "
            "Amazon ECS replaced 1 tasks due to an unhealthy status."
        ),
        f"(service web) has stopped 1 running tasks: (task {short_id(one.arn)}).",
    ]


def test_an_unhealthy_stand_in_either_stops_and_the_count_is_as_desired() -> None:
    stopped = set()
    for seed in range(12):
        world = ToyCluster(seed=seed)
        service = world.create_service(world.define(SMALL, is_checked=True), desired=1)
        world.run(1)
        heal(world, service)
        (one,) = world.live(service)
        world.health(one.arn, UNHEALTHY)
        world.run(1)
        (stand_in,) = new(world, service, one)
        world.behaviour = lambda _: Behaviour(starts_in=1000)
        world.health(stand_in.arn, UNHEALTHY)
        left = {task.arn for task in (one, stand_in) if world.state.task(task.arn).is_live}
        assert len(left) == 1
        stopped.add(stand_in.arn in left)
        world.run(5)
        assert len(world.live(service)) == 2, "and the next stand-in starts"
    assert stopped == {True, False}


def test_one_at_a_time_where_the_ceiling_allows_no_other() -> None:
    world, service = checked(desired=3, minimum_healthy_percent=0, maximum_percent=100)
    bad = [task.arn for task in world.live(service)[:2]]
    for arn in bad:
        world.health(arn, UNHEALTHY)
    assert sum(not world.state.task(arn).is_live for arn in bad) == 1
    world.run(5)
    assert sum(not world.state.task(arn).is_live for arn in bad) == 1, "the other waits until the first is replaced"
    heal(world, service)
    assert sum(not world.state.task(arn).is_live for arn in bad) == 2
    world.run(5)
    heal(world, service)
    assert len(world.live(service)) == 3
    assert not set(bad) & {task.arn for task in world.live(service)}


def test_one_that_recovers_leaves_one_too_many_and_the_stand_in_goes() -> None:
    world, service = checked(desired=1)
    (one,) = world.live(service)
    world.health(one.arn, UNHEALTHY)
    world.health(one.arn, HEALTHY)
    world.run(5)
    assert [task.arn for task in world.live(service)] == [one.arn]
    assert world.state.task(one.arn).unhealthy_at is None


@pytest.mark.parametrize("seed", range(12))
def test_a_stand_in_that_is_one_too_many_takes_its_task_along(seed: int) -> None:
    """Else that one would count again, have the next stand-in, which is one too many, for ever."""
    world, service = checked(desired=3, seed=seed, maximum_percent=400)
    ill = world.live(service)
    for task in ill:
        world.health(task.arn, UNHEALTHY)
    world.run(1)
    stand_ins = new(world, service, *ill)
    assert len(stand_ins) == 3
    world.health(ill[0].arn, HEALTHY)
    assert not new(world, service, *ill, *stand_ins), "nobody else is needed"
    for task in world.live(service):
        world.health(task.arn, HEALTHY)
    world.run(5)
    assert len(world.live(service)) == 3
    assert world.state.task(ill[0].arn).is_live


def test_a_stand_in_of_an_earlier_illness_is_none_for_the_next() -> None:
    world, service = checked(desired=2)
    one, two = world.live(service)
    world.health(one.arn, UNHEALTHY)
    world.run(1)
    (stand_in,) = new(world, service, one, two)
    world.protect(one.arn, 60)
    world.protect(stand_in.arn, 60)
    world.health(one.arn, HEALTHY)
    world.health(stand_in.arn, HEALTHY)
    world.run(5)
    assert {task.arn for task in world.live(service)} == {one.arn, stand_in.arn}
    world.health(one.arn, UNHEALTHY)
    assert world.state.task(one.arn).is_live, "it stopped before anybody new was healthy"
    (next_one,) = new(world, service, one, stand_in)
    assert next_one.replaces == one.arn


def test_a_stand_in_that_starts_on_a_draining_instance_stops_and_another_starts() -> None:
    """Source: API reference, UpdateContainerInstancesState (PENDING tasks stop at once)."""
    world, service = checked(desired=2, maximum_percent=300)
    known = world.live(service)
    world.health(known[0].arn, UNHEALTHY)
    (stand_in,) = new(world, service, *known)
    drained = msgspec.structs.replace(world.state.instance(stand_in.instance), status=InstanceStatus.DRAINING)
    world.decide("drain", lambda draft: draft.put(drained))
    assert not world.state.task(stand_in.arn).is_live
    (other,) = (task for task in new(world, service, *known) if task.replaces == known[0].arn)
    assert other.instance != stand_in.instance


def test_failures_within_the_grace_period_are_passed_over() -> None:
    world, service = checked(desired=1, health_grace_seconds=60)
    (one,) = world.live(service)
    world.health(one.arn, UNHEALTHY)
    world.run(50)
    assert len(world.live(service)) == 1
    world.run(15)
    assert len(world.live(service)) == 2


@pytest.mark.parametrize("is_checked", [False, True])
def test_with_a_load_balancer_the_target_counts_and_with_both_both(is_checked: bool) -> None:  # noqa: FBT001
    world = ToyCluster()
    definition = world.define(SMALL, is_checked=is_checked)
    service = world.create_service(definition, desired=1, body=BALANCED)
    world.run(5)
    world.balance(service)
    (one,) = world.live(service)
    assert world.service(service).deployments[0].rollout_state == "IN_PROGRESS"
    world.target(one.arn, HEALTHY)
    assert (world.service(service).deployments[0].rollout_state == "COMPLETED") is not is_checked
    heal(world, service)
    assert world.service(service).deployments[0].rollout_state == "COMPLETED"
    world.target(one.arn, UNHEALTHY, "Health checks failed with these codes: [503]")
    assert len(world.live(service)) == 2
    assert (
        f"(service web) (task {short_id(one.arn)}) (port 8080) is unhealthy in (target-group arn:tg) due to (reason "
        "Health checks failed with these codes: [503])."
    ) in world.messages(service)
    world.run(5)
    world.balance(service)
    (stand_in,) = new(world, service, one)
    heal(world, service)
    world.target(stand_in.arn, HEALTHY)
    assert world.state.task(one.arn).stopped_reason == "Task failed ELB health checks in (target-group arn:tg)"


def rolling(in_rollout: UnhealthyInRollout) -> Iterator[object]:
    """A deployment that cannot start (its tasks are too large), and an old task that turns unhealthy."""
    world, service = checked(desired=2, policy=Policy(healthy_after_seconds=0, unhealthy_in_rollout=in_rollout))
    one, two = world.live(service)
    world.deploy(service, world.define(Amounts(9999, 64), is_checked=True))
    world.run(5)
    world.health(one.arn, UNHEALTHY)
    world.run(5)
    yield world
    yield service
    yield [task for task in world.live(service) if task.arn not in {one.arn, two.arn}]
    yield one


def test_while_a_deployment_rolls_the_stand_in_is_of_the_same_revision() -> None:
    """Developer Guide of 2026."""
    world, service, stand_ins, one = rolling(UnhealthyInRollout.REPLACE_FIRST)
    assert [task.task_definition for task in stand_ins] == [one.task_definition]
    heal(world, service)
    assert not world.state.task(one.arn).is_live
    assert len(world.live(service)) == 2
    world.run(30)
    assert len(world.live(service)) == 2


def test_while_a_deployment_rolls_the_older_rule_makes_no_stand_in_of_the_old_revision() -> None:
    _, _, stand_ins, _ = rolling(UnhealthyInRollout.STOP_FIRST)
    assert stand_ins == []


@pytest.mark.parametrize("covers", ProtectionCovers)
def test_whether_protection_covers_health(covers: ProtectionCovers) -> None:
    world, service = checked(desired=1, policy=Policy(healthy_after_seconds=0, protection_covers=covers))
    (one,) = world.live(service)
    world.protect(one.arn, 600)
    world.health(one.arn, UNHEALTHY)
    world.run(5)
    heal(world, service)
    world.run(5)
    assert world.state.task(one.arn).is_live is (covers is ProtectionCovers.HEALTH)


@pytest.mark.parametrize("policy", [Policy(unhealthy_in_rollout=each) for each in UnhealthyInRollout])
@pytest.mark.parametrize(("minimum", "maximum"), [(50, 100), (100, 150)])
def test_a_new_revision_takes_over_from_one_that_is_unhealthy_as_a_whole(
    policy: Policy, minimum: int, maximum: int
) -> None:
    """Below the floor already: to stop what is not healthy takes nothing away, and the new ones have the room."""
    world, service = checked(4, policy, minimum_healthy_percent=minimum, maximum_percent=maximum)

    def turn() -> None:
        for task in world.live(service):
            if task.last_status is TaskStatus.RUNNING:
                world.health(task.arn, UNHEALTHY if task.task_definition.endswith(":1") else HEALTHY)

    turn()
    world.deploy(service, world.define(SMALL, is_checked=True))
    for _ in range(40):
        world.run(30)
        turn()
    assert [task.task_definition[-2:] for task in world.live(service)] == [":2"] * 4
