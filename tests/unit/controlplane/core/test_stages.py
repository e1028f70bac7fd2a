"""BLUE_GREEN, LINEAR, CANARY: stages in order, traffic in steps, bake times, hooks, the way back."""

import msgspec
import pytest
from toy_cluster import ToyCluster

from controlplane.core.model import Task
from controlplane.core.reconcile import deployments
from controlplane.core.rollouts import (
    AlarmSettings,
    Hook,
    HookKind,
    HookRun,
    RolloutSettings,
    RolloutStatus,
    ServiceDeployment,
    Stage,
    Strategy,
)
from controlplane.scheduling.hooks import Answer, after, payload
from wire.resources import Amounts

SMALL = Amounts(64, 64)
STAGES = [
    "PRE_SCALE_UP",
    "SCALE_UP",
    "POST_SCALE_UP",
    "TEST_TRAFFIC_SHIFT",
    "POST_TEST_TRAFFIC_SHIFT",
    "PRE_PRODUCTION_TRAFFIC_SHIFT",
    "PRODUCTION_TRAFFIC_SHIFT",
    "POST_PRODUCTION_TRAFFIC_SHIFT",
    "BAKE_TIME",
    "CLEAN_UP",
]


def staged(desired: int = 2, **settings: object) -> tuple[ToyCluster, str]:
    """A service whose first deployment is over, then one to a second revision."""
    world = ToyCluster()
    rollout = RolloutSettings(**{"strategy": Strategy.BLUE_GREEN, **settings})
    service = world.create_service(world.define(SMALL), desired=desired)
    world.run(10)
    assert world.course(service).status is RolloutStatus.SUCCESSFUL
    world.update(service, rollout=rollout)
    world.deploy(service, world.define(SMALL))
    return world, service


def stages(world: ToyCluster, service: str) -> list[tuple[str, float]]:
    arn = world.service(service).current
    lines = [line.data for line in world.story if line.kind == "deployment.stage"]
    return [(data["stage"], data["production_weight"]) for data in lines if data["service_deployment"] == arn]


def revisions(world: ToyCluster, service: str) -> list[str]:
    return sorted(task.task_definition[-2:] for task in world.live(service))


def answer(world: ToyCluster, service: str, status: str, hook: int = 0) -> None:
    """Every open run of a hook comes to a result."""
    course = world.course(service)
    runs = [
        msgspec.structs.replace(run, status=status)
        if run.hook == hook and run.status in {"IN_PROGRESS", "AWAITING_ACTION"}
        else run
        for run in course.hooks
    ]
    changed = msgspec.structs.replace(course, hooks=tuple(runs))
    world.decide("hook", lambda draft: draft.put(changed))


def open_runs(world: ToyCluster, service: str) -> list[HookRun]:
    return [run for run in world.course(service).hooks if run.status in {"IN_PROGRESS", "AWAITING_ACTION"}]


def test_blue_green_goes_by_the_stages_and_blue_stays_until_the_end() -> None:
    world, service = staged(bake_minutes=5)
    world.run(5)
    assert revisions(world, service) == [":1", ":1", ":2", ":2"]
    assert world.course(service).stage is Stage.BAKE_TIME
    assert world.course(service).production_weight == 100
    world.run(280)
    assert revisions(world, service) == [":1", ":1", ":2", ":2"]
    world.run(30)
    assert revisions(world, service) == [":2", ":2"]
    assert [stage for stage, _ in stages(world, service)] == STAGES
    course = world.course(service)
    assert (course.status, world.service(service).settled) == (RolloutStatus.SUCCESSFUL, course.target)


def test_green_is_whole_and_healthy_before_any_traffic_moves() -> None:
    world, service = staged()
    weights: list[tuple[Stage | None, float, list[Task]]] = []
    world.checks.append(lambda: weights.append((world.course(service).stage, world.course(service).test_weight, [])))
    world.deploy(service, world.define(Amounts(9999, 64)))
    world.run(60)
    assert world.course(service).stage is Stage.SCALE_UP
    assert world.course(service).test_weight == 0
    assert revisions(world, service).count(":1") == 2


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"strategy": Strategy.LINEAR, "step_percent": 40, "step_bake_minutes": 2}, [(0, 40), (120, 80), (240, 100)]),
        ({"strategy": Strategy.CANARY, "canary_percent": 5, "canary_bake_minutes": 10}, [(0, 5), (600, 100)]),
        ({"strategy": Strategy.BLUE_GREEN}, [(0, 100)]),
    ],
)
def test_production_traffic_moves_in_steps(settings: dict[str, object], expected: list[tuple[int, float]]) -> None:
    world, service = staged(**settings)
    world.run(900)
    lines = [
        line
        for line in world.story
        if line.kind == "deployment.stage"
        and line.data["stage"] == "PRODUCTION_TRAFFIC_SHIFT"
        and line.data["service_deployment"] == world.service(service).current
    ]
    first = lines[0].at
    assert [(round(line.at - first), line.data["production_weight"]) for line in lines] == expected
    assert world.course(service).status is RolloutStatus.SUCCESSFUL


def test_a_webhook_holds_a_stage_until_it_has_succeeded_and_its_failure_leads_back() -> None:
    hook = Hook(kind=HookKind.WEBHOOK, target="http://x", stages=(Stage.POST_SCALE_UP, Stage.POST_TEST_TRAFFIC_SHIFT))
    world, service = staged(hooks=(hook,))
    world.run(100)
    assert world.course(service).stage is Stage.POST_SCALE_UP
    assert [run.status for run in open_runs(world, service)] == ["IN_PROGRESS"]
    answer(world, service, "SUCCEEDED")
    assert world.course(service).stage is Stage.POST_TEST_TRAFFIC_SHIFT
    answer(world, service, "FAILED")
    world.run(10)
    course = world.course(service)
    assert course.status is RolloutStatus.ROLLBACK_SUCCESSFUL
    assert (course.test_weight, course.production_weight) == (0, 0)
    assert revisions(world, service) == [":1", ":1"]
    assert any("lifecycle hook failed" in message for message in world.messages(service))


@pytest.mark.parametrize(("action", "ends"), [("CONTINUE", "SUCCESSFUL"), ("ROLLBACK", "ROLLBACK_SUCCESSFUL")])
def test_a_pause_waits_for_somebody_and_then_does_as_its_timeout_says(action: str, ends: str) -> None:
    hook = Hook(kind=HookKind.PAUSE, stages=(Stage.POST_SCALE_UP,), timeout_minutes=10, timeout_action=action)
    world, service = staged(hooks=(hook,))
    world.run(590)
    assert [run.status for run in open_runs(world, service)] == ["AWAITING_ACTION"]
    world.run(30)
    assert world.course(service).status == ends
    assert [run.status for run in world.course(service).hooks] == ["TIMED_OUT"]


def test_an_alarm_while_it_bakes_leads_back_at_once_as_blue_is_still_there() -> None:
    alarms = AlarmSettings(names=("errors",), is_enabled=True, rolls_back=True)
    world, service = staged(alarms=alarms, bake_minutes=60)
    world.run(600)
    blue = {task.arn for task in world.live(service) if task.task_definition.endswith(":1")}
    world.alarm("errors", rings=True)
    world.run(10)
    assert {task.arn for task in world.live(service)} == blue
    assert world.course(service).production_weight == 0
    assert world.course(service).status is RolloutStatus.ROLLBACK_SUCCESSFUL


def test_an_update_during_a_deployment_first_clears_what_serves_nobody() -> None:
    world, service = staged(bake_minutes=60)
    world.run(10)
    abandoned = world.service(service).current
    world.deploy(service, world.define(SMALL))
    assert world.state.record(ServiceDeployment, abandoned).status is RolloutStatus.STOPPED
    world.run(10)
    assert [stage for stage, _ in stages(world, service)][:2] == ["RECONCILE_SERVICE", "PRE_SCALE_UP"]
    assert revisions(world, service) == [":1", ":1", ":3", ":3"]


def test_a_stage_that_takes_a_day_is_given_up() -> None:
    world, service = staged()
    world.deploy(service, world.define(Amounts(9999, 64)))
    world.run(24 * 3600 + 60)
    assert world.course(service).status is RolloutStatus.ROLLBACK_SUCCESSFUL
    assert revisions(world, service) == [":1", ":1"]


@pytest.mark.parametrize("member", ["bake_minutes", "canary_bake_minutes"])
def test_a_bake_time_of_a_whole_day_is_no_stage_that_takes_too_long(member: str) -> None:
    """1440 minutes are allowed, and a stage may last 24 hours."""
    world, service = staged(**{"strategy": Strategy.CANARY, "canary_bake_minutes": 0, member: 1440})
    world.run(24 * 3600 + 60)
    assert world.course(service).status is RolloutStatus.SUCCESSFUL


def test_a_pause_may_outlast_the_day_of_its_stage() -> None:
    hook = Hook(kind=HookKind.PAUSE, stages=(Stage.POST_SCALE_UP,), timeout_minutes=20160, timeout_action="CONTINUE")
    world, service = staged(hooks=(hook,))
    world.run(13 * 24 * 3600)
    assert [run.status for run in open_runs(world, service)] == ["AWAITING_ACTION"]
    world.run(24 * 3600 + 60)
    assert world.course(service).status is RolloutStatus.SUCCESSFUL


@pytest.mark.parametrize(("action", "ends"), [("CONTINUE", "SUCCESSFUL"), ("ROLLBACK", "ROLLBACK_SUCCESSFUL")])
def test_a_webhook_that_comes_to_no_result_in_its_time_does_as_its_timeout_says(action: str, ends: str) -> None:
    stages_ = (Stage.POST_SCALE_UP,)
    hook = Hook(kind=HookKind.WEBHOOK, target="http://x", stages=stages_, timeout_minutes=5, timeout_action=action)
    world, service = staged(hooks=(hook,))
    world.run(330)
    assert world.course(service).status == ends


def test_before_each_step_of_the_production_traffic_its_hooks_are_asked() -> None:
    hook = Hook(kind=HookKind.PAUSE, stages=(Stage.PRE_PRODUCTION_TRAFFIC_SHIFT,))
    world, service = staged(strategy=Strategy.LINEAR, step_percent=40, step_bake_minutes=1, hooks=(hook,))
    weights = []
    for _ in range(3):
        world.run(100)
        assert len(open_runs(world, service)) == 1
        weights.append(world.course(service).production_weight)
        answer(world, service, "SUCCEEDED")
    world.run(10)
    assert weights == [0, 40, 80]
    assert len({run.id for run in world.course(service).hooks}) == 3
    assert world.course(service).status is RolloutStatus.SUCCESSFUL


SHIFTS = (Stage.TEST_TRAFFIC_SHIFT, Stage.PRODUCTION_TRAFFIC_SHIFT)


def test_on_the_way_back_the_hooks_of_the_shifts_are_asked_again_and_awaited() -> None:
    hook = Hook(kind=HookKind.WEBHOOK, target="http://x", stages=SHIFTS)
    world, service = staged(hooks=(hook,), bake_minutes=60)
    for _ in SHIFTS:
        world.run(5)
        answer(world, service, "SUCCEEDED")
    world.run(5)
    assert world.course(service).stage is Stage.BAKE_TIME
    world.decide("stop", lambda draft: deployments.step(draft, world.course(service), RolloutStatus.ROLLBACK_REQUESTED))
    world.run(60)
    back = open_runs(world, service)
    assert [(run.stage, run.is_back) for run in back] == [(stage, True) for stage in reversed(SHIFTS)]
    course = world.course(service)
    assert (course.status, course.production_weight) == (RolloutStatus.ROLLBACK_IN_PROGRESS, 0)
    assert payload(course, back[0])["executionDetails"]["productionTrafficWeights"] == {
        course.target: 0,
        course.sources[0]: 100,
    }
    answer(world, service, "FAILED")
    world.run(10)
    assert world.course(service).status is RolloutStatus.ROLLBACK_SUCCESSFUL, "the traffic is back already"


def test_hooks_of_shifts_that_have_not_been_are_not_asked_on_the_way_back() -> None:
    shift = Hook(kind=HookKind.WEBHOOK, target="http://x", stages=SHIFTS)
    pause = Hook(kind=HookKind.PAUSE, stages=(Stage.POST_SCALE_UP,))
    world, service = staged(hooks=(shift, pause))
    world.run(10)
    world.decide("stop", lambda draft: deployments.step(draft, world.course(service), RolloutStatus.ROLLBACK_REQUESTED))
    world.run(10)
    assert world.course(service).status is RolloutStatus.ROLLBACK_SUCCESSFUL


def test_on_the_way_back_all_goes_to_what_was_completed_though_another_was_under_way() -> None:
    """Two revisions have tasks when the third begins: blue is the one that serves, not the newer."""
    world, service = staged(bake_minutes=60)
    world.run(10)
    serving = world.service(service).settled
    world.deploy(service, world.define(SMALL))
    assert len(world.course(service).sources) == 2
    assert world.course(service).sources[0] == serving


def test_a_hook_is_told_the_weights_where_traffic_moves_and_its_own_words_again() -> None:
    stages_ = (Stage.POST_SCALE_UP, *SHIFTS)
    hook = Hook(kind=HookKind.WEBHOOK, target="http://x", stages=stages_, details={"a": 1, "b": 1})
    world, service = staged(hooks=(hook,))
    told = []
    for _ in range(3):
        world.run(5)
        (run,) = open_runs(world, service)
        told.append(payload(world.course(service), run)["executionDetails"])
        answer(world, service, "SUCCEEDED")
    blue, green = world.course(service).sources[0], world.course(service).target
    assert [(each["testTrafficWeights"], each["productionTrafficWeights"]) for each in told] == [
        ({}, {}),
        ({green: 100, blue: 0}, {}),
        ({}, {green: 100, blue: 0}),
    ]
    noted = after(run, Answer(hookStatus="IN_PROGRESS", hookDetails={"b": 2}), 0)
    assert payload(world.course(service), noted)["hookDetails"] == {"a": 1, "b": 2}


def test_a_hook_that_never_answers_on_the_way_back_is_waited_for_no_longer_than_it_may_take() -> None:
    hook = Hook(kind=HookKind.WEBHOOK, target="http://x", stages=(Stage.TEST_TRAFFIC_SHIFT,), timeout_minutes=5)
    world, service = staged(hooks=(hook,), bake_minutes=60)
    world.run(5)
    answer(world, service, "SUCCEEDED")
    world.run(5)
    world.decide("stop", lambda draft: deployments.step(draft, world.course(service), RolloutStatus.ROLLBACK_REQUESTED))
    world.run(290)
    assert world.course(service).status is RolloutStatus.ROLLBACK_IN_PROGRESS
    world.run(30)
    assert world.course(service).status is RolloutStatus.ROLLBACK_SUCCESSFUL
    assert [run.status for run in world.course(service).hooks] == ["SUCCEEDED", "TIMED_OUT"]
