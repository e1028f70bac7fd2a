"""What policies want, case by case as AWS documents it."""

import pytest

from controlplane.core.scaling.decision import (
    Act,
    Bounds,
    Memory,
    Pause,
    Verdict,
    Want,
    choose,
    step,
    track,
    within,
)
from controlplane.core.scaling.metrics import metric
from controlplane.core.scaling.model import Activity, Adjustment, Step, Stepping, Tracking

METRIC = metric("AWS/ECS", "CPUUtilization", {})
TRACKING = Tracking(target=50, metric=METRIC)
ALARMS = ("high", "low")
NEVER = Memory()


def bounds(current: int, least: int = 1, most: int = 20) -> Bounds:
    return Bounds(current=current, minimum=least, maximum=most)


def tracked(
    values: list[float | None], at: int = 4, memory: Memory = NEVER, tracking: Tracking = TRACKING
) -> tuple[Act, int]:
    want = track("p", tracking, values, bounds(at), memory, alarms=ALARMS)
    return want.act, want.desired


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([90.0] * 3, (Act.OUT, 8)),  # ceil(4 x 90 / 50)
        ([60.0] * 3, (Act.OUT, 5)),
        ([50.1] * 3, (Act.OUT, 5)),
        ([50.0] * 3, (Act.NONE, 0)),  # at the target is not above it
        ([40.0, 90, 90], (Act.NONE, 0)),  # two of three
        ([90.0, 90, 90, 40], (Act.NONE, 0)),  # the newest counts
        ([90.0, 90], (Act.NONE, 0)),  # insufficient data
        ([], (Act.NONE, 0)),
        ([90.0, None, 90, None, 90], (Act.OUT, 8)),  # datapoints are missing: so many more are looked at
        ([90.0, 90, 90, None, None, None], (Act.NONE, 0)),
        ([10.0] * 14, (Act.NONE, 0)),  # 14 of 15
        ([10.0] * 15, (Act.IN, 2)),  # proportional were 1; no more than half goes at once
        ([30.0] * 15, (Act.IN, 3)),  # ceil(4 x 30 / 50)
        ([44.9] * 15, (Act.NONE, 0)),  # low, and no whole task is too many
        ([46.0] * 15, (Act.NONE, 0)),  # below the target, not below 90 % of it
        ([10.0] * 7 + [46] + [10] * 7, (Act.NONE, 0)),
    ],
)
def test_target_tracking(values: list[float | None], expected: tuple[Act, int]) -> None:
    assert tracked(values) == expected


def test_from_no_task_the_first_one_is_started() -> None:
    assert tracked([60.0] * 3, at=0) == (Act.OUT, 1)


@pytest.mark.parametrize(
    ("value", "seconds", "expected"),
    [
        (90.0, 100, (Act.NONE, 0)),  # 4 -> 8 was this: the tasks that were added are part of the next step
        (120.0, 100, (Act.OUT, 10)),  # a larger step, counted from the four before
        (90.0, 300, (Act.OUT, 15)),  # the cooldown is over: counted from what there is
    ],
)
def test_a_scale_out_cools_down_unless_a_larger_one_is_due(
    value: float, seconds: float, expected: tuple[Act, int]
) -> None:
    assert tracked([value] * 3, at=8, memory=Memory(out_seconds=seconds, out_before=4)) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(299, (Act.NONE, 0)), (300, (Act.IN, 3))])
def test_a_scale_in_waits_for_its_cooldown(seconds: float, expected: tuple[Act, int]) -> None:
    assert tracked([30.0] * 15, memory=Memory(in_seconds=seconds)) == expected
    assert tracked([90.0] * 3, memory=Memory(in_seconds=seconds)) == (Act.OUT, 8), "out does not wait for it"


def test_cooldowns_of_a_policys_own() -> None:
    quick = Tracking(target=50, metric=METRIC, out_cooldown_seconds=0, in_cooldown_seconds=10)
    assert tracked([90.0] * 3, memory=Memory(out_seconds=1, out_before=1), tracking=quick) == (Act.OUT, 8)
    assert tracked([30.0] * 15, memory=Memory(in_seconds=9), tracking=quick)[0] is Act.NONE
    assert tracked([30.0] * 15, memory=Memory(in_seconds=10), tracking=quick) == (Act.IN, 3)


def test_a_policy_may_not_scale_in() -> None:
    only_out = Tracking(target=50, metric=METRIC, scales_in=False)
    want = track("p", only_out, [1.0] * 15, bounds(4), NEVER, alarms=("high",))
    assert (want.act, want.keeps) == (Act.NONE, False)


def test_the_cooldown_runs_on_the_scalers_clock() -> None:
    memory = Memory.of(Activity(at=100, before=4), None, now=110, scale=60)
    assert (memory.out_seconds, memory.in_seconds) == (600, None)


# -- step scaling ------------------------------------------------------------------------------------------------------

UP = (Step(lower=0, upper=10, adjustment=10), Step(lower=10, upper=20, adjustment=20), Step(lower=20, adjustment=30))
DOWN = (Step(lower=-20, upper=0, adjustment=-10), Step(upper=-20, adjustment=-30))


@pytest.mark.parametrize(
    ("kind", "steps", "breach", "least", "current", "expected"),
    [
        (Adjustment.CHANGE, UP, 0, 0, 4, 14),
        (Adjustment.CHANGE, UP, 10, 0, 4, 24),  # the lower bound belongs to its step
        (Adjustment.CHANGE, UP, 25, 0, 4, 34),
        (Adjustment.PERCENT, UP, 5, 0, 10, 11),
        (Adjustment.PERCENT, UP, 5, 0, 4, 5),  # 0.4 is one
        (Adjustment.PERCENT, UP, 25, 0, 9, 11),  # 2.7 is two
        (Adjustment.PERCENT, UP, 5, 3, 10, 13),  # MinAdjustmentMagnitude
        (Adjustment.EXACT, UP, 15, 0, 4, 20),
        (Adjustment.CHANGE, DOWN, 0, 0, 30, 20),
        (Adjustment.CHANGE, DOWN, -20, 0, 40, 10),  # below a threshold the upper bound belongs to its step
        (Adjustment.PERCENT, DOWN, -5, 0, 4, 3),  # -0.4 is one
        (Adjustment.PERCENT, DOWN, -25, 0, 9, 7),  # -2.7 is two
        (Adjustment.CHANGE, DOWN, -25, 0, 4, 0),
    ],
)
def test_step_adjustments(  # noqa: PLR0917 - the columns of a table
    kind: Adjustment, steps: tuple[Step, ...], breach: float, least: int, current: int, expected: int
) -> None:
    rule = Stepping(adjustment=kind, steps=steps, least_change=least)
    want = step("p", rule, breach, bounds(current), NEVER, alarm="a", is_below=steps is DOWN)
    assert want.desired == expected
    assert want.act is (Act.OUT if expected > current else Act.IN)


def test_where_no_step_is_given_nothing_happens() -> None:
    rule = Stepping(adjustment=Adjustment.CHANGE, steps=UP)
    assert step("p", rule, -5, bounds(4), NEVER, alarm="a", is_below=False).act is Act.NONE


def test_a_step_in_a_cooldown_adds_what_it_is_larger_by() -> None:
    rule = Stepping(
        adjustment=Adjustment.CHANGE, steps=(Step(lower=0, upper=10, adjustment=2), Step(lower=10, adjustment=3))
    )
    memory = Memory(out_seconds=60, out_before=4)
    again = step("p", rule, 5, bounds(6), memory, alarm="a", is_below=False)
    assert again.act is Act.NONE
    assert "cools down for 240 s more" in again.why
    assert step("p", rule, 15, bounds(6), memory, alarm="a", is_below=False).desired == 7
    lower = Stepping(adjustment=Adjustment.CHANGE, steps=(Step(upper=0, adjustment=-1),))
    assert step("p", lower, -5, bounds(6), Memory(in_seconds=60), alarm="a", is_below=True).act is Act.NONE
    assert step("p", lower, -5, bounds(6), Memory(in_seconds=300), alarm="a", is_below=True).desired == 5


# -- all of them together ----------------------------------------------------------------------------------------------


def out(desired: int) -> Want:
    return Want(policy=f"out{desired}", act=Act.OUT, desired=desired, why="high", alarm="high", is_tracking=True)


def into(desired: int, *, tracking: bool = True) -> Want:
    return Want(policy=f"in{desired}", act=Act.IN, desired=desired, why="low", alarm="low", is_tracking=tracking)


KEEPS = Want(policy="keeps", why="near enough", keeps=True)
SILENT = Want(policy="silent", why="it may not scale in")


def chosen(*wants: Want, at: int = 4, least: int = 1, most: int = 20, pause: Pause = Pause.NONE) -> Verdict:
    return choose(wants, bounds(at, least, most), pause=pause)


@pytest.mark.parametrize(
    ("wants", "act", "desired"),
    [
        ((out(6), out(8)), Act.OUT, 8),  # out by any, and as far as the one that wants most
        ((into(2), out(5)), Act.OUT, 5),
        ((KEEPS, out(5)), Act.OUT, 5),
        ((into(2), into(3)), Act.IN, 3),  # in where all agree, and as little as the one that takes least
        ((into(2), KEEPS), Act.NONE, 4),
        ((into(2), SILENT), Act.IN, 2),  # a policy without scale-in has no say in it
        ((into(2, tracking=False), KEEPS), Act.IN, 2),  # steps ask nobody
        ((into(2), into(3, tracking=False), KEEPS), Act.IN, 3),
        ((), Act.NONE, 4),
    ],
)
def test_several_policies(wants: tuple[Want, ...], act: Act, desired: int) -> None:
    verdict = chosen(*wants)
    assert (verdict.act, verdict.desired) == (act, desired)


def test_bounds() -> None:
    assert chosen(out(30)).desired == 20
    at_most = chosen(out(30), at=20)
    assert (at_most.act, at_most.bound) == (Act.NONE, "AlreadyAtMaxCapacity")
    assert chosen(out(3), at=2, least=5).desired == 5, "below its minimum it goes up to that"
    assert chosen(into(1), least=3).desired == 3
    at_least = chosen(into(1), least=4)
    assert (at_least.act, at_least.bound) == (Act.NONE, "AlreadyAtMinCapacity")
    assert chosen(into(25), at=30).desired == 20, "above its maximum it comes down to that"
    assert chosen(out(40), at=30).act is Act.NONE
    assert chosen(into(1), at=2, least=5).act is Act.NONE, "scaling in never adds"
    assert [within(bounds(n, 2, 5)) for n in (1, 2, 4, 9)] == [2, 2, 4, 5]


@pytest.mark.parametrize("pause", [Pause.DEPLOYMENT, Pause.SUSPENDED])
def test_nothing_is_taken_away_meanwhile(pause: Pause) -> None:
    verdict = chosen(into(2), pause=pause)
    assert (verdict.act, verdict.desired) == (Act.NONE, 4)
    assert verdict.why == f"in2: low; {pause}"
    assert chosen(out(5), pause=pause).act is Act.OUT


def test_scaling_out_may_be_suspended() -> None:
    verdict = choose((out(5),), bounds(4), pause=Pause.NONE, is_out_suspended=True)
    assert (verdict.act, verdict.why) == (Act.NONE, "out5: high; scaling out is suspended")
