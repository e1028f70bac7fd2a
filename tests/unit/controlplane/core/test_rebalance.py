"""Availability Zone rebalancing: start first, one at a time, only in a steady state, never protected ones."""

from collections import Counter

import pytest
from toy_cluster import ToyCluster
from toy_parts import BALANCED

from controlplane.core.model import Service
from controlplane.core.reconcile.rebalance import why_not
from wire.resources import Amounts
from wire.status import HealthStatus

SMALL = Amounts(64, 64)
ZONE = "attribute:ecs.availability-zone"


def lopsided(desired: int = 4, **members: object) -> tuple[ToyCluster, str]:
    """All tasks in one zone, because the other had no instance; then one joins there."""
    world = ToyCluster(hosts=1)
    service = world.create_service(world.define(SMALL), desired=desired, **{"rebalances": True, **members})
    world.run(5)
    return world, service


def zones(world: ToyCluster, service: str) -> dict[str, int]:
    instances = [world.state.instance(task.instance) for task in world.live(service)]
    return dict(Counter(instance.attribute("ecs.availability-zone") for instance in instances))


def test_tasks_move_one_at_a_time_start_first_until_zones_are_even() -> None:
    world, service = lopsided()
    seen: list[int] = []
    up: list[int] = []
    world.checks.append(lambda: seen.append(len(world.live(service))))
    world.checks.append(lambda: up.append(sum(task.started_at is not None for task in world.live(service))))
    world.add_host()
    world.run(60)
    assert zones(world, service) == {"us-east-1a": 2, "us-east-1b": 2}
    assert set(seen) == {4, 5}, "never fewer than desired, never two at once"
    assert min(up) == 4, "one stops once the other runs"
    said = [message for message in world.messages(service) if "AZ" in message]
    assert said[0] == (
        "(service web) is not AZ balanced with 4 tasks in us-east-1a, 0 tasks in us-east-1b. AZ Rebalancing in "
        "progress."
    )
    assert "has started 1 tasks in us-east-1b to AZ Rebalance: (task " in said[1]
    assert "has stopped 1 running tasks in us-east-1a to AZ Rebalance: (task " in said[2]
    assert said[-1] == "(service web) is AZ balanced with 2 tasks in us-east-1a, 2 tasks in us-east-1b."
    assert len(said) == 6


def test_protected_tasks_are_not_moved_and_a_deployment_comes_first() -> None:
    world, service = lopsided()
    for task in world.live(service):
        world.protect(task.arn, 100)
    world.add_host()
    world.run(60)
    assert zones(world, service) == {"us-east-1a": 4}
    world.run(100)
    assert zones(world, service) == {"us-east-1a": 2, "us-east-1b": 2}


def test_a_zone_without_room_is_told_of_once_and_nothing_stops() -> None:
    world, service = lopsided()
    world.add_host(Amounts(32, 32))
    world.run(60)
    assert zones(world, service) == {"us-east-1a": 4}
    text = (
        "(service web) is unable to place a task in us-east-1b because no container instance met all of its "
        "requirements."
    )
    assert world.messages(service).count(text) == 1


@pytest.mark.parametrize(
    ("members", "may"),
    [
        ({}, True),
        ({"maximum_percent": 100}, False),
        ({"placement_strategy": ({"type": "spread", "field": ZONE},)}, True),
        ({"placement_strategy": ({"type": "binpack", "field": "memory"},)}, False),
        ({"placement_constraints": ({"type": "memberOf", "expression": f"{ZONE} == us-east-1a"},)}, False),
    ],
)
def test_who_may(members: dict[str, object], may: bool) -> None:  # noqa: FBT001
    service = Service(arn="a", name="web", cluster="default", task_definition="t", **members)
    assert (why_not(service) is None) is may


def test_one_that_is_off_stays_as_it_is() -> None:
    world, service = lopsided(rebalances=False)
    world.add_host()
    world.run(60)
    assert zones(world, service) == {"us-east-1a": 4}


def test_a_task_is_not_moved_away_while_the_floor_needs_it() -> None:
    world, service = lopsided(2, minimum_healthy_percent=100, body=BALANCED)
    world.balance(service)
    first, second = world.live(service)
    for task in (first, second):
        world.target(task.arn, HealthStatus.HEALTHY)
    world.add_host()
    world.run(5)
    world.balance(service)
    [third] = [task for task in world.live(service) if task.is_move]
    stays = next(task for task in (first, second) if task.arn != third.replaces)
    world.target(stays.arn, HealthStatus.UNHEALTHY)
    world.target(third.arn, HealthStatus.HEALTHY)
    assert third.replaces in {task.arn for task in world.live(service)}
    world.target(stays.arn, HealthStatus.HEALTHY)
    assert third.replaces not in {task.arn for task in world.live(service)}
