"""Scale-in protection: what it keeps the scheduler from, how people hear of it, and deployments that are blocked."""

import msgspec
import pytest
from toy_cluster import EPOCH, ToyCluster
from toy_parts import Behaviour

from controlplane.core.model import Instance, Release
from controlplane.core.policy import Policy, ProtectionCovers
from wire.resources import Amounts
from wire.status import InstanceStatus, TaskStatus

SMALL = Amounts(64, 64)


def small(desired: int = 4, **members: object) -> tuple[ToyCluster, str]:
    world = ToyCluster(policy=members.pop("policy", None))
    service = world.create_service(world.define(SMALL, stop_timeout=300), desired=desired, **members)
    world.run(1)
    return world, service


def protect(world: ToyCluster, service: str, count: int, seconds: float = 600) -> set[str]:
    arns = [task.arn for task in world.live(service)][:count]
    for arn in arns:
        world.protect(arn, seconds)
    return set(arns)


def arns(world: ToyCluster, service: str) -> set[str]:
    return {task.arn for task in world.live(service)}


def blocked(world: ToyCluster) -> list[dict[str, object]]:
    return [line.data for line in world.story if line.kind == "deployment.blocked"]


def test_scale_in_stops_only_the_others() -> None:
    world, service = small()
    held = protect(world, service, 3)
    world.update(service, desired_count=1)
    world.run(5)
    assert arns(world, service) == held
    deployment = world.service(service).deployments[0].id
    text = f"(service web, taskSet {deployment}) was unable to scale in due to (reason 3 tasks under protection)"
    assert world.messages(service).count(text) == 1
    world.run(600)
    assert len(arns(world, service) & held) == 1, "at its expiry a protection is as if it had never been"


def test_a_deployment_leaves_protected_tasks_and_stays_in_progress_until_they_may_go() -> None:
    world, service = small()
    held = protect(world, service, 1)
    old = world.service(service).deployments[0].id
    world.deploy(service, world.define(SMALL))
    world.run(100)
    assert held < arns(world, service)
    assert len(arns(world, service)) == 5
    now = world.service(service)
    assert [d.rollout_state for d in now.deployments] == ["IN_PROGRESS", "COMPLETED"]
    text = (
        f"(service web) was unable to reach steady state because (taskSet {old}) was unable to scale in due to "
        "(reason 1 tasks under protection)"
    )
    assert world.messages(service).count(text) == 1
    (block,) = blocked(world)
    assert (block["why"], block["by"], block["until"]) == ("protection", tuple(held), EPOCH + 1 + 600)
    assert "UpdateTaskProtection" in str(block["advice"])
    world.run(600)
    assert not held & arns(world, service)
    assert world.service(service).deployments[0].rollout_state == "COMPLETED"


def test_protected_tasks_count_towards_the_ceiling() -> None:
    world, service = small(minimum_healthy_percent=0, maximum_percent=100)
    held = protect(world, service, 1)
    world.deploy(service, world.define(SMALL))
    world.run(100)
    assert held < arns(world, service)
    assert len(arns(world, service)) == 4
    assert [block["why"] for block in blocked(world)] == ["protection"]


def test_more_protected_than_desired_is_said_so() -> None:
    world, service = small()
    protect(world, service, 3)
    world.deploy(service, world.define(SMALL), desired_count=2)
    world.run(60)
    reason = "Reason: The number of protected tasks are more than the desired count of tasks"
    assert any(reason in message for message in world.messages(service))


@pytest.mark.parametrize("covers", ProtectionCovers)
def test_whether_a_drain_waits_for_protected_tasks(covers: ProtectionCovers) -> None:
    world, service = small(desired=2, policy=Policy(healthy_after_seconds=0, protection_covers=covers))
    (held,) = protect(world, service, 1)
    instance = world.state.record(Instance, world.state.task(held).instance)
    drained = msgspec.structs.replace(instance, status=InstanceStatus.DRAINING)
    world.decide("drain", lambda draft: draft.put(drained))
    world.run(60)
    assert (held in arns(world, service)) is (covers is not ProtectionCovers.DEPLOYMENTS)


def test_what_protection_does_not_keep_from() -> None:
    world, service = small()
    held = protect(world, service, 4)
    one, two, *_ = sorted(held)
    world.stop(one)
    world.exit(two)
    assert len(held & arns(world, service)) == 2
    world.update(service, status="DRAINING", desired_count=0)
    world.run(10)
    assert not arns(world, service)


def test_settings_that_leave_no_step_are_told_at_once_with_what_to_change() -> None:
    world, service = small(desired=1, minimum_healthy_percent=50, maximum_percent=150)
    world.deploy(service, world.define(SMALL))
    (block,) = blocked(world)
    assert block["why"] == "settings"
    assert "one task alone needs minimumHealthyPercent 0 or maximumPercent 200" in str(block["advice"])
    assert any("was unable to stop or start tasks" in message for message in world.messages(service))
    world.run(1)
    world.deploy(service, world.define(SMALL))
    stuck = [message for message in world.messages(service) if "was unable to stop or start tasks" in message]
    assert len(stuck) == 2, "each deployment says it"
    world.update(service, minimum_healthy_percent=0)
    world.run(10)
    assert world.service(service).deployments[0].rollout_state == "COMPLETED"
    assert [line.data["why"] for line in world.story if line.kind == "deployment.unblocked"][-1] == "settings"


def test_a_new_task_behind_a_stopping_one_is_a_block_with_an_end() -> None:
    """aws/amazon-ecs-agent#4106, said aloud: who waits, for whom, until when at the latest."""
    world = ToyCluster(release=Release.NONE)
    service = world.create_service(
        world.define(stop_timeout=60), desired=4, minimum_healthy_percent=0, maximum_percent=200
    )
    world.run(5)
    job = world.live(service)[0].arn
    world.behaviour = lambda task: Behaviour(quits_in=40 if task.arn == job else 2)
    world.deploy(service, world.define(stop_timeout=60))
    world.run(9)
    assert not blocked(world)
    world.run(2)
    (block,) = blocked(world)
    waiting = [task.arn for task in world.live(service) if task.last_status is TaskStatus.PENDING]
    assert (block["why"], block["by"], list(block["whom"])) == ("queued", (job,), waiting)
    assert block["until"] == pytest.approx(EPOCH + 65, abs=0.1)
    world.run(40)
    assert world.service(service).deployments[0].rollout_state == "COMPLETED"
    assert [line.data["why"] for line in world.story if line.kind == "deployment.unblocked"] == ["queued"]


def test_no_room_and_tasks_that_never_start_are_blocks() -> None:
    world, service = small(desired=1)
    world.deploy(service, world.define(Amounts(4096, 64)))
    world.run(20)
    assert [block["why"] for block in blocked(world)] == ["room"]
    world.behaviour = lambda _: Behaviour(fails=True)
    world.deploy(service, world.define(SMALL))
    world.run(60)
    assert blocked(world)[-1]["why"] == "failing"


def test_scale_in_waits_for_protected_tasks_that_are_not_healthy_yet() -> None:
    world, service = small(2, policy=Policy(healthy_after_seconds=40))
    world.run(60)
    healthy = arns(world, service)
    world.update(service, desired_count=4)
    world.run(1)
    for arn in arns(world, service) - healthy:
        world.protect(arn, 600)
    world.update(service, desired_count=2)
    assert arns(world, service) > healthy, "without them nobody healthy would be left"
    world.run(60)
    assert arns(world, service).isdisjoint(healthy)
