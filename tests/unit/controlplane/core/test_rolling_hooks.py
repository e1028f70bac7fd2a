"""Hooks of a ROLLING deployment, the 30 days that any with stages may take, and what is remembered at the end.

Source: ECS Developer Guide, "Pause hooks", "Deployment lifecycle stages", "View service history".
"""

import re

import msgspec
import pytest
from test_stages import answer, open_runs, revisions, staged, stages
from toy_cluster import EPOCH, Behaviour, ToyCluster

from controlplane.api import service_deployments
from controlplane.core.reconcile import deployments, tally
from controlplane.core.rollouts import (
    AlarmSettings,
    Breaker,
    Counts,
    Hook,
    HookKind,
    RolloutSettings,
    RolloutStatus,
    ServiceDeployment,
    Stage,
    Strategy,
)
from controlplane.core.view import Draft
from wire.resources import Amounts

SMALL = Amounts(64, 64)
DAY = 24 * 3600


def rolling(*at: Stage, **members: object) -> tuple[ToyCluster, str]:
    hook = Hook(**{"kind": HookKind.PAUSE, "stages": at, "timeout_minutes": 20160} | members)
    return staged(strategy=Strategy.ROLLING, hooks=(hook,))


def test_a_rolling_deployment_waits_before_its_first_task_and_after_its_last() -> None:
    world, service = rolling(Stage.PRE_SCALE_UP, Stage.POST_SCALE_UP)
    world.run(DAY + 60)
    assert revisions(world, service) == [":1", ":1"]
    (run,) = open_runs(world, service)
    assert run.stage is Stage.PRE_SCALE_UP
    assert re.fullmatch(r"ecs-pause-[A-Za-z0-9_-]{43}", run.id), "as the Developer Guide shows one"
    answer(world, service, "SUCCEEDED")
    world.run(60)
    assert revisions(world, service) == [":2", ":2"]
    assert world.course(service).status is RolloutStatus.IN_PROGRESS
    (run,) = open_runs(world, service)
    assert run.stage is Stage.POST_SCALE_UP
    answer(world, service, "SUCCEEDED")
    world.run(10)
    assert world.course(service).status is RolloutStatus.SUCCESSFUL
    assert [stage for stage, _ in stages(world, service)] == ["PRE_SCALE_UP", "SCALE_UP", "POST_SCALE_UP", "CLEAN_UP"]


@pytest.mark.parametrize("stage", [Stage.PRE_SCALE_UP, Stage.POST_SCALE_UP])
def test_a_hook_that_fails_leads_a_rolling_deployment_back(stage: Stage) -> None:
    world, service = rolling(stage, kind=HookKind.WEBHOOK, target="http://x", timeout_minutes=60)
    world.run(60)
    assert re.fullmatch(r"[0-9a-f-]{36}", open_runs(world, service)[0].id), "the guide shows a UUID of a Lambda hook"
    answer(world, service, "FAILED")
    world.run(60)
    assert world.course(service).status is RolloutStatus.ROLLBACK_SUCCESSFUL
    assert revisions(world, service) == [":1", ":1"]


def test_a_rolling_deployment_has_no_stages_of_traffic() -> None:
    world, service = rolling(Stage.TEST_TRAFFIC_SHIFT, Stage.PRE_PRODUCTION_TRAFFIC_SHIFT)
    world.run(60)
    assert world.course(service).status is RolloutStatus.SUCCESSFUL
    assert world.course(service).hooks == ()


def test_on_its_way_back_it_asks_no_hook_of_traffic() -> None:
    hook = Hook(kind=HookKind.WEBHOOK, target="http://x", stages=(Stage.PRODUCTION_TRAFFIC_SHIFT,))
    alarms = AlarmSettings(names=("errors",), is_enabled=True, rolls_back=True)
    world, service = staged(strategy=Strategy.ROLLING, hooks=(hook,), alarms=alarms, bake_minutes=60)
    world.run(60)
    world.alarm("errors", rings=True)
    world.run(60)
    assert world.course(service).status is RolloutStatus.ROLLBACK_SUCCESSFUL
    assert world.course(service).hooks == ()


def test_tasks_that_take_more_than_a_day_to_be_replaced_are_no_stage_that_takes_too_long() -> None:
    world, service = rolling(Stage.POST_SCALE_UP)
    world.deploy(service, world.define(Amounts(9999, 64)))
    world.run(3 * DAY)
    assert world.course(service).status is RolloutStatus.IN_PROGRESS


@pytest.mark.parametrize("strategy", [Strategy.ROLLING, Strategy.BLUE_GREEN])
def test_a_deployment_lasts_thirty_days_at_most(strategy: Strategy) -> None:
    at = (Stage.PRE_SCALE_UP, Stage.POST_SCALE_UP, Stage.POST_PRODUCTION_TRAFFIC_SHIFT)
    hook = Hook(kind=HookKind.PAUSE, stages=at, timeout_minutes=20160, timeout_action="CONTINUE")
    world, service = staged(strategy=strategy, hooks=(hook,))
    if strategy is Strategy.ROLLING:  # two pauses are 28 days; what follows never fits
        world.deploy(service, world.define(Amounts(9999, 64)))
    world.run(29.9 * DAY)
    assert world.course(service).status is RolloutStatus.IN_PROGRESS
    world.run(0.2 * DAY)
    course = world.course(service)
    assert course.status is RolloutStatus.ROLLBACK_SUCCESSFUL
    assert course.rollback.reason == "Service deployment rolled back because it took too long."
    assert revisions(world, service) == [":1", ":1"]


def test_a_deployment_that_is_over_shows_what_was_there_at_its_end() -> None:
    world = ToyCluster()
    service = world.create_service(world.define(SMALL), desired=2)
    first = world.service(service).current
    assert tally.of_course(world.state, world.course(service)) == {
        world.course(service).target: Counts(requested=2, pending=2)
    }
    world.run(60)
    shown = service_deployments.render(world.state, world.course(service))["targetServiceRevision"]
    assert (shown["requestedTaskCount"], shown["runningTaskCount"], shown["pendingTaskCount"]) == (2, 2, 0)
    world.update(service, desired_count=5)
    world.deploy(service, world.define(SMALL))
    world.run(60)
    over = service_deployments.render(world.state, world.state.record(ServiceDeployment, first))
    assert over["targetServiceRevision"] == shown
    (source,) = service_deployments.render(world.state, world.course(service))["sourceServiceRevisions"]
    assert (source["requestedTaskCount"], source["runningTaskCount"]) == (0, 0)


def test_the_breakers_count_outlives_the_way_back() -> None:
    world = ToyCluster()
    settings = RolloutSettings(breaker=Breaker(is_enabled=True, rolls_back=True))
    service = world.create_service(world.define(SMALL), desired=2, rollout=settings)
    world.run(60)
    world.behaviour = lambda task: Behaviour(fails=task.task_definition.endswith(":2"))
    world.deploy(service, world.define(SMALL))
    world.run(600)
    course = world.course(service)
    assert course.status is RolloutStatus.ROLLBACK_SUCCESSFUL
    shown = service_deployments.render(world.state, course)["deploymentCircuitBreaker"]
    assert shown == {"status": "TRIGGERED", "failureCount": 3, "threshold": 3}


def test_what_is_rolled_back_has_begun() -> None:
    world = ToyCluster()
    service = world.create_service(world.define(SMALL), desired=1)
    pending = msgspec.structs.replace(world.course(service), status=RolloutStatus.PENDING, started_at=None)
    world.decide("as nobody has looked at it", lambda draft: draft.put(pending))
    draft = Draft(world.state, now=EPOCH, cause="stop")
    service_deployments.request_rollback(draft, pending)
    asked = draft.record(ServiceDeployment, pending.arn)
    assert (asked.status, asked.started_at) == (RolloutStatus.ROLLBACK_REQUESTED, draft.now)
    assert deployments.start(draft, asked) is asked
