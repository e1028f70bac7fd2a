"""Deployments that fail, go back, bake, succeed early, are superseded; and their records."""

from itertools import pairwise

import msgspec
import pytest
from toy_cluster import Behaviour, ToyCluster

from controlplane.core.model import Task
from controlplane.core.policy import Policy
from controlplane.core.reconcile import breaker, deployments
from controlplane.core.reconcile.deployments import Cause
from controlplane.core.rollouts import (
    NEXT_STATUS,
    AlarmSettings,
    Breaker,
    Cleanup,
    EarlySuccess,
    Monitor,
    RolloutSettings,
    RolloutStatus,
    ServiceDeployment,
    Threshold,
)
from controlplane.core.view import Draft
from wire.resources import Amounts
from wire.status import HealthStatus, StopCode, TaskStatus

SMALL = Amounts(64, 64)
BREAKER = RolloutSettings(breaker=Breaker(is_enabled=True, rolls_back=True))


def settled(desired: int = 2, settings: RolloutSettings = BREAKER, **members: object) -> tuple[ToyCluster, str]:
    """A service whose first deployment is COMPLETED."""
    world = ToyCluster(**{key: members.pop(key) for key in ("policy",) if key in members})
    service = world.create_service(world.define(SMALL), desired=desired, rollout=settings, **members)
    world.run(60)
    assert world.course(service).status is RolloutStatus.SUCCESSFUL
    return world, service


def broken(world: ToyCluster, service: str, revision: int = 2) -> str:
    """Deploy a revision whose tasks never start; its service deployment."""
    world.behaviour = lambda task: Behaviour(fails=task.task_definition.endswith(f":{revision}"))
    world.deploy(service, world.define(SMALL))
    return world.service(service).current


def running(world: ToyCluster, service: str) -> list[Task]:
    return [task for task in world.live(service) if task.last_status is TaskStatus.RUNNING]


@pytest.mark.parametrize(
    ("settings", "desired", "minimum", "expected"),
    [
        (Breaker(), 1, 3, 3),
        (Breaker(), 25, 3, 13),
        (Breaker(), 400, 3, 200),
        (Breaker(), 800, 3, 200),
        (Breaker(), 1, 10, 10),
        (Breaker(), 25, 10, 13),
        (Breaker(threshold_value=10), 100, 3, 10),
        (Breaker(threshold=Threshold.UNBOUNDED_PERCENT), 1, 3, 1),
        (Breaker(threshold=Threshold.UNBOUNDED_PERCENT), 800, 3, 400),
        (Breaker(threshold=Threshold.COUNT, threshold_value=7), 800, 3, 7),
    ],
)
def test_thresholds(settings: Breaker, desired: int, minimum: int, expected: int) -> None:
    """The guide's examples: 1 and 25 and 400 and 800 tasks; of 2023 with a minimum of 10."""
    assert breaker.threshold(settings, desired, Policy(breaker_minimum=minimum)) == expected


def test_the_breaker_goes_back_to_what_was_completed_last() -> None:
    world, service = settled()
    first = world.service(service).deployments[0].id
    rollout = broken(world, service)
    second = world.service(service).deployments[0].id
    world.run(60)
    now = world.service(service)
    course = world.state.record(ServiceDeployment, rollout)
    assert [d.id for d in now.deployments] == [first]
    assert now.deployments[0].rollout_state == "COMPLETED"
    assert now.task_definition.endswith(":1")
    assert course.status is RolloutStatus.ROLLBACK_SUCCESSFUL
    assert (course.breaker, course.breaker_threshold) == (Monitor.TRIGGERED, 3)
    assert course.rollback.revision == now.settled
    assert len(running(world, service)) == 2
    said = world.messages(service)
    failed = said.index(f"(service web) (deployment {second}) deployment failed: tasks failed to start.")
    assert said[failed + 1] == f"(service web) rolling back to deployment {first}."
    assert f"(service web) (deployment {first}) deployment completed." in said[failed:]
    told = [
        (d.data["deployment"], d.data["rollout_state"], d.data["reason"]) for d in world.story if d.kind == "deployment"
    ]
    assert (second, "FAILED", "ECS deployment circuit breaker: tasks failed to start.") in told
    back = f"ECS deployment circuit breaker: rolling back to deploymentId {first}."
    assert (first, "IN_PROGRESS", back) in told


def test_the_way_the_status_went_is_one_of_the_graph() -> None:
    world, service = settled()
    rollout = broken(world, service)
    world.run(60)
    lines = [line.data for line in world.story if line.kind == "service.deployment"]
    went = [data["status"] for data in lines if data["service_deployment"] == rollout]
    assert went == ["IN_PROGRESS", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL"]
    assert all(b in NEXT_STATUS[RolloutStatus(a)] for a, b in pairwise(went))


def test_without_rollback_a_failed_deployment_starts_no_more_tasks_and_the_old_ones_stay() -> None:
    world, service = settled(settings=RolloutSettings(breaker=Breaker(is_enabled=True)))
    rollout = broken(world, service)
    world.run(3600)
    now = world.service(service)
    assert [(d.status, d.rollout_state) for d in now.deployments] == [("PRIMARY", "FAILED"), ("ACTIVE", "COMPLETED")]
    tries = [task for task in world.tasks(service) if task.task_definition.endswith(":2")]
    assert len(tries) == 4, "two at a time: three failures are the threshold"
    assert len(running(world, service)) == 2
    assert world.state.record(ServiceDeployment, rollout).status is RolloutStatus.STOPPED


def test_a_first_deployment_has_nothing_to_go_back_to() -> None:
    world = ToyCluster()
    world.behaviour = lambda _: Behaviour(fails=True)
    service = world.create_service(world.define(SMALL), desired=1, rollout=BREAKER)
    world.run(3600)
    assert world.service(service).deployments[0].rollout_state == "FAILED"
    assert len(world.tasks(service)) == 3
    assert world.course(service).status is RolloutStatus.STOPPED


def test_a_rollback_that_fails_too_is_the_end() -> None:
    world, service = settled()
    rollout = broken(world, service)
    world.behaviour = lambda _: Behaviour(fails=True)
    for task in world.live(service):
        world.exit(task.arn)
    world.run(3600)
    assert world.state.record(ServiceDeployment, rollout).status is RolloutStatus.ROLLBACK_FAILED
    assert world.service(service).deployments[0].rollout_state == "FAILED"


def test_with_the_old_deployment_gone_the_way_back_has_an_id_of_its_own() -> None:
    """Its tasks ran and failed their checks after the last old one had gone (stage 2)."""
    world = ToyCluster()
    settings = RolloutSettings(breaker=Breaker(is_enabled=True, rolls_back=True), bake_minutes=60)
    service = world.create_service(world.define(SMALL, is_checked=True), desired=2, rollout=settings)
    world.run(1)
    for task in world.live(service):
        world.health(task.arn, HealthStatus.HEALTHY)
    world.run(3700)
    first = world.service(service).deployments[0]
    world.deploy(service, world.define(SMALL, is_checked=True))
    world.run(1)
    for task in running(world, service):
        world.health(task.arn, HealthStatus.HEALTHY)
    world.run(10)
    assert len(world.service(service).deployments) == 1, "baking"
    for _ in range(20):
        for task in running(world, service):
            if task.task_definition.endswith(":2"):
                world.health(task.arn, HealthStatus.UNHEALTHY)
        world.run(3)
    now = world.service(service)
    assert now.task_definition == first.task_definition
    assert now.deployments[0].id != first.id
    assert now.deployments[0].revision == first.revision
    assert now.settled == "", "what is gone back to is no such target before it is completed again"
    assert world.course(service).status is RolloutStatus.ROLLBACK_IN_PROGRESS


@pytest.mark.parametrize("resets", [True, False])
def test_a_healthy_task_sets_the_count_to_nought_unless_told_otherwise(resets: bool) -> None:  # noqa: FBT001
    settings = RolloutSettings(
        breaker=Breaker(is_enabled=True, resets_on_healthy_task=resets, threshold=Threshold.COUNT, threshold_value=3)
    )
    world = ToyCluster()
    service = world.create_service(world.define(SMALL, is_checked=True), desired=4, rollout=settings)
    world.run(1)
    tasks = running(world, service)
    for task in tasks[:2]:
        world.health(task.arn, HealthStatus.UNHEALTHY)
    assert world.course(service).failures == 2
    world.health(tasks[2].arn, HealthStatus.HEALTHY)
    assert world.course(service).failures == (0 if resets else 2)
    world.health(tasks[3].arn, HealthStatus.UNHEALTHY)
    assert (world.service(service).deployments[0].rollout_state == "FAILED") is not resets


def test_once_a_task_has_run_only_failed_checks_count() -> None:
    """Stage 2: tasks that never start no longer count, nor do those that run and exit."""
    world = ToyCluster()
    baking = RolloutSettings(breaker=BREAKER.breaker, bake_minutes=600)
    service = world.create_service(world.define(SMALL), desired=3, rollout=baking)
    world.run(1)
    world.behaviour = lambda _: Behaviour(fails=True)
    for task in world.live(service):
        world.exit(task.arn)
    world.run(600)
    assert world.course(service).status is RolloutStatus.IN_PROGRESS
    assert world.course(service).failures == 0


def test_a_new_update_supersedes_the_one_before_and_starts_afresh() -> None:
    world, service = settled()
    second = broken(world, service)
    world.deploy(service, world.define(SMALL))
    assert world.state.record(ServiceDeployment, second).status is RolloutStatus.STOPPED
    world.run(60)
    assert world.course(service).status is RolloutStatus.SUCCESSFUL
    assert world.service(service).task_definition.endswith(":3")
    assert world.service(service).settled == world.course(service).target


def test_an_alarm_fails_a_deployment_and_one_that_rang_before_is_left_aside() -> None:
    alarms = RolloutSettings(alarms=AlarmSettings(names=("errors",), is_enabled=True, rolls_back=True))
    world, service = settled(settings=alarms)
    world.behaviour = lambda _: Behaviour(starts_in=30)
    world.deploy(service, world.define(SMALL))
    rollout = world.service(service).current
    world.alarm("errors", rings=True)
    world.run(1)
    course = world.state.record(ServiceDeployment, rollout)
    assert (course.alarms, course.triggered_alarms) == (Monitor.TRIGGERED, ("errors",))
    assert any("deployment failed: alarm detected." in message for message in world.messages(service))
    world.run(60)
    assert world.state.record(ServiceDeployment, rollout).status is RolloutStatus.ROLLBACK_SUCCESSFUL
    world.deploy(service, world.define(SMALL))
    world.run(60)
    course = world.course(service)
    assert (course.status, course.alarms) == (RolloutStatus.SUCCESSFUL, Monitor.DISABLED)


def test_a_deployment_bakes_before_it_is_completed_and_an_alarm_counts_until_then() -> None:
    alarms = AlarmSettings(names=("errors",), is_enabled=True, rolls_back=True)
    world = ToyCluster()
    settings = RolloutSettings(alarms=alarms, bake_minutes=5)
    service = world.create_service(world.define(SMALL), desired=1, rollout=settings)
    world.run(290)
    assert world.service(service).deployments[0].rollout_state == "IN_PROGRESS"
    world.run(20)
    assert world.service(service).deployments[0].rollout_state == "COMPLETED"
    world.deploy(service, world.define(SMALL))
    world.run(200)
    world.alarm("errors", rings=True)
    world.run(60)
    assert world.course(service).status is RolloutStatus.ROLLBACK_SUCCESSFUL
    assert world.service(service).task_definition.endswith(":1")


@pytest.mark.parametrize("cleanup", Cleanup)
def test_early_success(cleanup: Cleanup) -> None:
    """Half of the new tasks are enough; whether the old ones must have gone is the switch."""
    early = EarlySuccess(is_enabled=True, healthy_percent=50, cleanup=cleanup)
    world, service = settled(desired=4, settings=RolloutSettings(early_success=early), minimum_healthy_percent=50)
    started: list[str] = []

    def slow_after_two(task: Task) -> Behaviour:
        if task.task_definition.endswith(":2") and task.arn not in started:
            started.append(task.arn)
        return Behaviour(starts_in=0.3 if started.index(task.arn) < 2 else 1000) if task.arn in started else Behaviour()

    world.behaviour = slow_after_two
    keep = [task.arn for task in world.live(service)][:1]
    world.protect(keep[0], 500)
    world.deploy(service, world.define(SMALL))
    world.run(100)
    primary = world.service(service).deployments[0]
    assert (primary.rollout_state == "COMPLETED") is (cleanup is Cleanup.DEFERRED)
    world.run(2000)
    assert world.course(service).status is RolloutStatus.SUCCESSFUL
    assert {task.task_definition[-2:] for task in world.live(service)} == {":2"}


def test_a_stop_by_a_user_goes_back() -> None:
    world, service = settled()
    world.behaviour = lambda _: Behaviour(starts_in=1000)
    world.deploy(service, world.define(SMALL))
    world.run(1)
    rollout = world.course(service)
    world.decide("stop", lambda d: deployments.step(d, rollout, RolloutStatus.ROLLBACK_REQUESTED))
    world.run(60)
    course = world.state.record(ServiceDeployment, rollout.arn)
    assert course.status is RolloutStatus.ROLLBACK_SUCCESSFUL
    assert Cause.STOPPED.reason in course.rollback.reason
    assert world.service(service).task_definition.endswith(":1")


def test_no_status_is_jumped_over() -> None:
    world, service = settled()
    draft = Draft(world.state, now=0, cause="test")
    with pytest.raises(AssertionError, match="does not become"):
        deployments.step(draft, world.course(service), RolloutStatus.IN_PROGRESS)


def test_the_throttle_of_2023_ends_at_15_minutes_and_a_service_may_start_only_so_many_a_minute() -> None:
    world = ToyCluster(policy=Policy(healthy_after_seconds=0, throttle_max_seconds=900, launches_per_minute=3))
    service = world.create_service(world.define(SMALL), desired=7)
    assert len(world.live(service)) == 3
    world.run(59)
    assert len(world.live(service)) == 3
    world.run(3)
    assert len(world.live(service)) == 6
    world.run(60)
    assert len(world.live(service)) == 7
    throttled = "(service web) operations are being throttled. Will try again later."
    assert world.messages(service).count(throttled) == 1
    world.behaviour = lambda _: Behaviour(fails=True)
    world.deploy(service, world.define(SMALL))
    world.run(6 * 3600)
    made = sorted({task.created_at for task in world.tasks(service) if task.task_definition.endswith(":2")})
    assert 900 <= max(later - earlier for earlier, later in pairwise(made)) < 901


def test_a_failed_task_that_is_touched_again_counts_once() -> None:
    world, service = settled()
    broken(world, service)
    world.run(1)
    failed = next(task for task in world.tasks(service) if task.stop_code is StopCode.TASK_FAILED_TO_START)
    before = world.course(service).failures, world.service(service).deployments[0].failed_tasks
    world.decide("tag", lambda draft: draft.put(msgspec.structs.replace(failed, version=failed.version + 1)))
    assert (world.course(service).failures, world.service(service).deployments[0].failed_tasks) == before


def test_early_success_waits_for_one_healthy_task_at_least() -> None:
    early = EarlySuccess(is_enabled=True, healthy_percent=0, cleanup=Cleanup.DEFERRED)
    world, service = settled(settings=RolloutSettings(early_success=early), minimum_healthy_percent=0)
    world.behaviour = lambda _: Behaviour(starts_in=30)
    world.deploy(service, world.define(SMALL))
    world.run(20)
    assert world.course(service).status is RolloutStatus.IN_PROGRESS
    world.run(60)
    assert world.course(service).status is RolloutStatus.SUCCESSFUL


def test_the_way_back_brings_the_former_revision_whole() -> None:
    """Its network, its load balancers, its capacity providers: all that belongs to a revision."""
    former = {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["a"]}}, "tags": []}
    world, service = settled(body=former)
    world.behaviour = lambda task: Behaviour(fails=task.task_definition.endswith(":2"))
    changed = {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["b"]}}, "tags": [1], "platformVersion": "1"}
    world.deploy(service, world.define(SMALL), body=changed)
    world.run(60)
    assert world.course(service).status is RolloutStatus.ROLLBACK_SUCCESSFUL
    assert world.service(service).body == {**former, "tags": [1]}


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (Cause.BREAKER, "ECS deployment circuit breaker: rolling back to deploymentId ecs-svc/1."),
        (Cause.ALARM, "ECS deployment alarm: rolling back to deploymentId ecs-svc/1."),
        (Cause.STOPPED, "ECS deployment stopped by user: rolling back to deploymentId ecs-svc/1."),
        (Cause.HOOK, "ECS deployment lifecycle hook: rolling back to deploymentId ecs-svc/1."),
        (Cause.STAGE_TIMEOUT, "ECS deployment lifecycle stage timed out: rolling back to deploymentId ecs-svc/1."),
    ],
)
def test_why_it_goes_back_is_told_as_it_is(cause: Cause, reason: str) -> None:
    assert cause.rollback_reason("ecs-svc/1") == reason
