"""The fold of the story into both ledgers: the figures of aws/amazon-ecs-agent#4106, late lines, other agents."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from story_maker import CPU, MEMORY_MIB, REGISTERED_MIB, StoryMaker, instance_arn, issue_4106, task_arn

from controlplane.core.lifeline import Side, stretches
from controlplane.core.twoledgers import LIFELINES_MAX, TwoLedgers, measure
from wire.resources import Amounts
from wire.story import Kind, StoryLine

TASK = Amounts(CPU, MEMORY_MIB)
FOUR = Amounts(4 * CPU, 4 * MEMORY_MIB)


def test_eager_at_the_deploy_all_four_tasks_are_phantom() -> None:
    ledgers = TwoLedgers(issue_4106("eager"))
    figures = measure(ledgers.series(), since=10, until=70)
    assert (figures.phantom_cpu_peak, figures.phantom_memory_mib_peak) == (4096, 29488)


def test_eager_from_the_third_exit_to_the_end_of_the_job_one_task_is_phantom() -> None:
    ledgers = TwoLedgers(issue_4106("eager"))
    for at in (13.0, 30.0, 49.9):
        balance = ledgers.balance(instance_arn(2), at)
        assert balance.phantom == TASK
        assert balance.queued == TASK
        assert balance.host_free.memory_mib == 987
        assert balance.placement_free.memory_mib == 987, "the waiting task is booked into the phantom room"
        without_the_waiting_task = balance.placement_free + TASK
        assert (without_the_waiting_task.cpu, without_the_waiting_task.memory_mib) == (1024, 8359)
        assert ledgers.balance(instance_arn(1), at).phantom == Amounts()
        assert ledgers.balance(instance_arn(3), at).host_free == Amounts(2048, REGISTERED_MIB)
    after = ledgers.balance(instance_arn(2), 51)
    assert (after.phantom, after.queued) == (Amounts(), Amounts())


def test_eager_integral() -> None:
    ledgers = TwoLedgers(issue_4106("eager", job_seconds=40))
    figures = measure(ledgers.series(), since=10, until=70)
    assert figures.phantom_memory_mib_seconds == pytest.approx(MEMORY_MIB * (3 * 2 + 40))
    assert figures.phantom_cpu_seconds == pytest.approx(CPU * (3 * 2 + 40))


def test_on_exit_there_is_no_phantom() -> None:
    ledgers = TwoLedgers(issue_4106("on-exit"))
    figures = measure(ledgers.series(), since=0, until=100)
    assert (figures.phantom_cpu_peak, figures.phantom_memory_mib_peak, figures.phantom_memory_mib_seconds) == (0, 0, 0)
    assert ledgers.lifelines[task_arn("b4")].instance == instance_arn(3)


def test_late_lines_of_an_agent_leave_no_trace() -> None:
    """The release of an exit may arrive before the agent's own line about the exit: that is no phantom."""
    story = issue_4106("on-exit")
    late = [line for line in story if line.actor.startswith("agent/")]
    on_time = [line for line in story if not line.actor.startswith("agent/")]
    ledgers = TwoLedgers([*on_time, *late])
    assert measure(ledgers.series(), since=0, until=100).phantom_memory_mib_peak == 0
    assert measure(TwoLedgers(story).series(), since=0, until=100) == measure(ledgers.series(), since=0, until=100)


@pytest.mark.parametrize("release", ["eager", "on-exit"])
@given(seed=st.integers(0, 10_000))
def test_any_mixing_of_actors_gives_the_same_series(release: str, seed: int) -> None:
    """Each actor's lines keep their order; how the actors' lines mix changes nothing."""
    dice = random.Random(seed)
    story = issue_4106(release)
    by_actor: dict[str, list[StoryLine]] = {}
    for line in story:
        by_actor.setdefault(line.actor, []).append(line)
    mixed = []
    while by_actor:
        actor = dice.choice(sorted(by_actor))
        mixed.append(by_actor[actor].pop(0))
        if not by_actor[actor]:
            del by_actor[actor]
    assert TwoLedgers(mixed).series() == TwoLedgers(story).series()


@pytest.mark.parametrize("release", ["eager", "on-exit", "none"])
def test_registered_is_free_plus_held_on_both_sides_at_every_moment(release: str) -> None:
    ledgers = TwoLedgers(issue_4106(release))
    for arn in ledgers.instances:
        for at, balance in ledgers.series([arn]):
            assert balance == ledgers.balance(arn, at)
            assert balance.registered == balance.placement_free + balance.placement_held
            assert balance.registered == balance.host_free + balance.host_held
            assert balance.host_free.memory_mib >= 0, "a host never holds more than it has"
            difference = balance.placement_free - balance.host_free
            assert difference == balance.phantom - balance.queued - balance.unreported + balance.unplaced


def test_a_lifeline_tells_the_task_from_placement_to_release() -> None:
    life = TwoLedgers(issue_4106("eager")).lifelines[task_arn("a4")]
    assert (life.placed_at, life.admitted_at, life.started_at) == (1, 2, 2)
    assert (life.told_to_stop_at, life.signalled_at, life.killed_at, life.exited_at) == (10, 10, None, 50)
    assert (life.placements[0].until, life.placements[0].proof) == (10, "AGENT_RELEASED")
    assert (life.admissions[0].until, life.admissions[0].proof) == (50, "EXIT_SEEN")
    assert [last for _, last in life.statuses] == ["PENDING", "RUNNING", "STOPPED"]
    assert (life.exit_codes, life.stop_reason, life.ended_at()) == ([0], "deployment", 50)


def test_an_agent_without_a_story_is_seen_by_its_statuses() -> None:
    """Amazon's own agent: the hold on the host is taken to stand from RUNNING to STOPPED."""
    story = StoryMaker(release="none")
    story.instance(0, 1)
    story.placed(1, "a", 1)
    story.status(1, "a", 1, "PENDING")
    story.status(3, "a", 1, "RUNNING")
    story.unplaced(10, "a", 1, "STOP_REQUESTED")
    story.status(11, "a", 1, "STOPPING")
    story.status(20, "a", 1, "STOPPED")
    ledgers = TwoLedgers(story.lines)
    sides = [(s.side, s.since, s.until) for s in stretches(ledgers.lifelines[task_arn("a")])]
    assert sides == [(Side.QUEUED, 1, 3), (Side.AGREED, 3, 10), (Side.PHANTOM, 10, 20)]


def test_a_lost_line_about_the_end_is_made_good_by_the_report_and_corrected_by_the_line() -> None:
    story = StoryMaker()
    story.instance(0, 1)
    story.placed(1, "a", 1)
    story.started(2, "a", 1)
    story.status(9, "a", 1, "STOPPED")
    ledgers = TwoLedgers(story.lines)
    admission = ledgers.lifelines[task_arn("a")].admissions[0]
    assert (admission.until, admission.proof) == (9, "REPORTED_STOPPED")
    ledgers.fold(StoryLine(8.5, "agent/1", task_arn("a"), Kind.HOST_ENDED, data={"proof": "EXIT_SEEN"}))
    assert (admission.until, admission.proof) == (8.5, "EXIT_SEEN")


def test_a_proven_end_is_no_phantom_though_the_agents_own_line_comes_later() -> None:
    story = StoryMaker()
    story.instance(0, 1)
    story.placed(1, "a", 1)
    story.started(2, "a", 1)
    story.lines.append(
        StoryLine(9.01, "controlplane", task_arn("a"), Kind.PLACEMENT_ENDED, data={"proof": "EXIT_SEEN"})
    )
    ledgers = TwoLedgers(story.lines)
    assert not any(point.balance.phantom.memory_mib for point in ledgers.series())
    ledgers.fold(StoryLine(9, "agent/1", task_arn("a"), Kind.HOST_ENDED, data={"proof": "EXIT_SEEN"}))
    assert ledgers.lifelines[task_arn("a")].admissions[0].until == 9


def test_lines_that_are_sent_twice_change_nothing() -> None:
    story = issue_4106("eager")
    agents = [line for line in story if line.kind in (Kind.HOST_HELD, Kind.CONTAINER_STARTED, Kind.HOST_QUEUED)]
    once = TwoLedgers(story[:40])
    twice = TwoLedgers([*story[:40], *[line for line in story[:40] if line in agents]])
    assert once.series() == twice.series()


def test_a_task_that_is_placed_anew_is_queued_on_each_host_in_turn() -> None:
    story = StoryMaker()
    for number in (1, 2):
        story.instance(0, number)
    story.placed(1, "a", 1)
    story.queued(1, "a", 1)
    story.unplaced(16, "a", 1, "LEASE_EXPIRED")
    story.placed(16, "a", 2)
    story.started(17, "a", 2)
    ledgers = TwoLedgers(story.lines)
    assert ledgers.balance(instance_arn(1), 10).queued == TASK
    assert ledgers.balance(instance_arn(1), 16.5).placement_free.cpu == 2048
    assert ledgers.balance(instance_arn(2), 16.5).queued == TASK
    assert ledgers.balance(instance_arn(2), 18).agreed == TASK


def test_room_freed_on_the_host_before_the_placement_ledger_knows_is_neither_phantom_nor_queued() -> None:
    story = StoryMaker("on-exit")
    story.instance(0, 1)
    story.placed(1, "a", 1)
    story.started(2, "a", 1)
    story.exited(5, "a", 1)
    balance = TwoLedgers(story.lines).balance(instance_arn(1), 5.005)
    assert (balance.unreported, balance.phantom, balance.queued) == (TASK, Amounts(), Amounts())


def test_an_instance_that_has_gone_takes_its_room_along() -> None:
    story = StoryMaker()
    story.instance(0, 1)
    story.placed(1, "a", 1)
    story.started(2, "a", 1)
    story.tell(5, Kind.INSTANCE_STATUS, instance_arn(1), status="INACTIVE", connected=False)
    series = TwoLedgers(story.lines).series()
    assert series[-1].at == 5
    assert series[-1].balance.registered == series[-1].balance.host_held == Amounts()


def test_the_queue_is_in_order_of_arrival_and_the_number_of_lifelines_has_a_limit() -> None:
    story = StoryMaker()
    story.instance(0, 1)
    for at, task in ((1, "c"), (2, "a"), (3, "b")):
        story.placed(at, task, 1)
        story.queued(at, task, 1)
    ledgers = TwoLedgers(story.lines)
    assert [life.task for life in ledgers.queue(instance_arn(1), 4)] == [task_arn(t) for t in "cab"]
    for number in range(LIFELINES_MAX + 10):
        finished = StoryMaker()
        finished.placed(number, f"{number:032d}", 2)
        finished.unplaced(number + 0.5, f"{number:032d}", 2, "NEVER_STARTED")
        for line in finished.lines:
            ledgers.fold(line)
    assert len(ledgers.lifelines) == LIFELINES_MAX
    assert task_arn("c") in ledgers.lifelines, "what still holds room is not forgotten"


def test_measure_looks_at_its_own_time_only() -> None:
    ledgers = TwoLedgers(issue_4106("eager"))
    assert measure(ledgers.series(), since=0, until=9).phantom_memory_mib_peak == 0
    half = measure(ledgers.series(), since=20, until=30)
    assert half.phantom_memory_mib_seconds == pytest.approx(10 * MEMORY_MIB)
    assert half.queued_memory_mib_seconds == pytest.approx(10 * MEMORY_MIB)
    assert FOUR.memory_mib == 29488
