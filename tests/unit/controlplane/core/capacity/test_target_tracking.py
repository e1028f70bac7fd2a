"""Target tracking: each rule that AWS documents, and the runs that the reference works out on paper."""

import pytest

from controlplane.core.capacity.needs import Want, estimate, step
from controlplane.core.capacity.scaling import LOW_POINTS, Act, Reading, Tracking, decide
from wire.resources import Amounts

SEED = Amounts(1024, 7372)
R5_LARGE = Amounts(2048, 15731)


def reading(needed: int, running: int, **members: object) -> Reading:
    return Reading(**{"needed": needed, "running": running, "desired": running, "minimum": 0, "maximum": 10} | members)


@pytest.mark.parametrize(
    ("given", "act", "desired", "why"),
    [
        (reading(3, 2), Act.OUT, 3, "3 needed, 2 running"),
        (reading(4, 2), Act.OUT, 4, "4 needed, 2 running"),
        (reading(1, 0), Act.OUT, 2, "1 needed, 0 running"),
        (reading(9, 0), Act.OUT, 2, "9 needed, 0 running"),
        (reading(1, 0, maximum=1), Act.OUT, 1, "1 needed, 0 running"),
        (reading(4, 2, maximum=3), Act.OUT, 3, "4 needed, 2 running"),
        (reading(4, 3, maximum=3), Act.NONE, 3, "the group is at its maximum of 3"),
        (reading(3, 2, desired=3), Act.NONE, 3, "as many are asked for already"),
        (reading(3, 2, youngest_seconds=100), Act.NONE, 2, "the newest instance warms up for 200 s more"),
        (reading(3, 2, youngest_seconds=300), Act.OUT, 3, "3 needed, 2 running"),
        (reading(2, 2), Act.NONE, 2, "the reservation is at its target"),
        (reading(0, 0), Act.NONE, 0, "the reservation is at its target"),
        (reading(2, 2, is_incompatible=True), Act.NONE, 2, "what waits fits no instance of the smallest type"),
        (reading(2, 4), Act.NONE, 4, "low for 1 of 15 datapoints"),
        (reading(2, 2, minimum=2), Act.NONE, 2, "the reservation is at its target"),
        (reading(1, 2, minimum=2), Act.NONE, 2, "the group is at its minimum of 2"),
    ],
)
def test_one_datapoint(given: Reading, act: Act, desired: int, why: str) -> None:
    verdict = decide(Tracking(), given)
    assert (verdict.act, verdict.desired, verdict.why) == (act, desired, why)


@pytest.mark.parametrize(
    ("needed", "running", "target", "desired"),
    [(2, 2, 67, 3), (2, 3, 67, 3), (4, 4, 90, 5), (9, 10, 90, 10), (1, 1, 50, 2), (100, 100, 99, 102)],
)
def test_a_target_below_100_is_a_standing_buffer(needed: int, running: int, target: int, desired: int) -> None:
    """Steady state: N = ceil(M x 100 / T), and no further."""
    tracking = Tracking(target_percent=target)
    assert decide(tracking, reading(needed, running, maximum=1000)).desired == desired
    steady = decide(tracking, reading(needed, desired, maximum=1000), low_points=99)
    assert (steady.act, steady.desired) == (Act.NONE, desired)


def test_fifteen_datapoints_and_never_more_than_half() -> None:
    """10.2: N = 4, two of them empty; here all but one of eight, so that the halves show."""
    low_points, running, course = 0, 8, []
    for _ in range(18):
        verdict = decide(Tracking(), reading(1, running), low_points)
        low_points, running = verdict.low_points, verdict.desired
        course.append(running)
    assert course == [8] * (LOW_POINTS - 1) + [4, 2, 1, 1]


def test_a_single_high_datapoint_begins_the_count_anew() -> None:
    low = decide(Tracking(), reading(2, 4), 14)
    assert low.act is Act.IN
    assert decide(Tracking(), reading(4, 4), 14).low_points == 0


def test_nothing_is_taken_away_right_after_a_scale_out() -> None:
    soon = decide(Tracking(), reading(2, 4, since_scale_out_seconds=899), 99)
    assert (soon.act, soon.why) == (Act.NONE, "the last scale-out is 899 s ago, less than 900")
    assert decide(Tracking(), reading(2, 4, since_scale_out_seconds=900), 99).act is Act.IN


@pytest.mark.parametrize(
    ("needed_after_15", "to"),
    [(0, [2, 1, 0]), (1, [2, 1, 1])],
)
def test_down_to_nothing(needed_after_15: int, to: list[int]) -> None:
    running, course = 4, []
    for _ in range(3):
        running = decide(Tracking(), reading(needed_after_15, running), 20).desired
        course.append(running)
    assert course == to


@pytest.mark.parametrize(
    ("waiting", "running", "percent", "desired"),
    [(4, 2, 200, 4), (1, 2, 150, 3), (0, 2, 100, 2), (1, 0, 200, 2), (9, 0, 200, 2)],
)
def test_the_arithmetic_of_the_seed_scenario(waiting: int, running: int, percent: int, desired: int) -> None:
    """Section 10.5 of the reference: X = ceil(4/2), M/N = 4/2 -> 200; one of two -> 150; agent-PENDING -> 100."""
    wants = [Want(amounts=SEED, count=waiting)] if waiting else []
    added = step(estimate(wants, [R5_LARGE]).instances, least=1, most=10_000)
    verdict = decide(Tracking(), reading(running + added, running))
    assert (verdict.percent, verdict.desired) == (percent, desired)
