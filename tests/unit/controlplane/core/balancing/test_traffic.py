"""Which groups the revisions of a service take, and how listeners share their traffic while it is deployed."""

import pytest
from toy_cluster import ToyCluster
from toy_parts import BALANCED, PORT

from controlplane.core.balancing.records import Listener, TargetGroup
from controlplane.core.balancing.traffic import shares
from controlplane.core.reconcile import deployments
from controlplane.core.reconcile.deployments import Cause
from controlplane.core.rollouts import RolloutSettings, RolloutStatus, ServiceDeployment, Strategy
from wire.resources import Amounts
from wire.status import HealthStatus

SMALL = Amounts(64, 64)
ARN = "arn:aws:elasticloadbalancing:us-east-1:1:listener/app/berth/lb/{}"
PRODUCTION = Listener(port=80, arn=ARN.format("p"), group="arn:blue")
TEST = Listener(port=81, arn=ARN.format("t"), group="arn:blue")
IN_STAGES = {
    "loadBalancers": [
        {
            "targetGroupArn": "arn:blue",
            "containerName": "app",
            "containerPort": PORT,
            "advancedConfiguration": {
                "alternateTargetGroupArn": "arn:green",
                "productionListenerRule": PRODUCTION.rule,
                "testListenerRule": TEST.rule,
            },
        }
    ]
}


def world_of(rollout: RolloutSettings) -> tuple[ToyCluster, str]:
    """A service in stages whose first revision serves."""
    world = ToyCluster()
    for name in ("blue", "green"):
        group = TargetGroup(arn=f"arn:{name}", name=name, deregistration_delay_seconds=5)
        world.decide("group", lambda draft, group=group: draft.put(group))
    world.decide("listeners", lambda draft: (draft.put(PRODUCTION), draft.put(TEST)))
    service = world.create_service(world.define(SMALL), desired=2, body=IN_STAGES)
    settle(world, service, 30)
    assert world.course(service).status is RolloutStatus.SUCCESSFUL
    world.update(service, rollout=rollout)
    return world, service


def settle(world: ToyCluster, service: str, seconds: int) -> list[tuple[int, int]]:
    """Let time pass while the balancer works. Returns green's per cent in production and in test, as they change."""
    seen = [(part(world, PRODUCTION, "arn:green"), part(world, TEST, "arn:green"))]
    for _ in range(seconds):
        world.run(1)
        world.balance(service)
        for task in world.live(service):
            if [target.state for target in task.targets] == ["initial"]:
                world.target(task.arn, HealthStatus.HEALTHY)
        now = (part(world, PRODUCTION, "arn:green"), part(world, TEST, "arn:green"))
        if seen[-1:] != [now]:
            seen.append(now)
    return seen


def part(world: ToyCluster, listener: Listener, group: str) -> int:
    return dict(shares(world.state, listener)).get(group, 0) // 10


def groups(world: ToyCluster, service: str) -> set[str]:
    return {target.group for task in world.live(service) for target in task.targets}


@pytest.mark.parametrize(
    ("rollout", "steps"),
    [
        (RolloutSettings(strategy=Strategy.BLUE_GREEN, bake_minutes=0.1), [(0, 0), (100, 100)]),
        (
            RolloutSettings(strategy=Strategy.CANARY, canary_percent=10, canary_bake_minutes=0.1),
            [(0, 0), (10, 100), (100, 100)],
        ),
        (
            RolloutSettings(strategy=Strategy.LINEAR, step_percent=40, step_bake_minutes=0.1),
            [(0, 0), (40, 100), (80, 100), (100, 100)],
        ),
    ],
)
def test_traffic_moves_as_the_strategy_has_it(rollout: RolloutSettings, steps: list[tuple[int, int]]) -> None:
    world, service = world_of(rollout)
    assert groups(world, service) == {"arn:blue"}
    world.deploy(service, world.define(SMALL))
    assert settle(world, service, 60) == steps
    assert groups(world, service) == {"arn:green"}


def test_the_next_revision_takes_the_other_group_back() -> None:
    world, service = world_of(RolloutSettings(strategy=Strategy.BLUE_GREEN))
    for expected in ("arn:green", "arn:blue"):
        world.deploy(service, world.define(SMALL))
        settle(world, service, 30)
        assert groups(world, service) == {expected}
        assert shares(world.state, PRODUCTION) == ((expected, 1000),)


def test_the_way_back_gives_blue_all_of_the_traffic_at_once() -> None:
    rollout = RolloutSettings(strategy=Strategy.LINEAR, step_percent=50, step_bake_minutes=1)
    world, service = world_of(rollout)
    world.deploy(service, world.define(SMALL))
    settle(world, service, 20)
    assert part(world, PRODUCTION, "arn:green") == 50
    course = world.course(service)
    world.decide(
        "fail",
        lambda draft: deployments.roll_back(
            draft, draft.service(service), draft.record(ServiceDeployment, course.arn), Cause.STOPPED, world.names
        ),
    )
    assert dict(shares(world.state, PRODUCTION))["arn:blue"] == 1000
    settle(world, service, 30)
    assert groups(world, service) == {"arn:blue"}


def test_a_rolling_service_keeps_its_group_and_other_listeners_theirs() -> None:
    world = ToyCluster()
    other = Listener(port=90, arn=ARN.format("o"), group="arn:tg")
    world.decide("listener", lambda draft: draft.put(other))
    service = world.create_service(world.define(SMALL), desired=1, body=BALANCED)
    world.run(2)
    world.deploy(service, world.define(SMALL))
    assert groups(world, service) == {"arn:tg"}
    assert shares(world.state, other) == (("arn:tg", 1000),)
