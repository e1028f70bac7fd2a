"""The stop of one container, as a table: who may follow whom, and that the deadline is never moved."""

import pytest

from agent.core import stopping
from agent.core.stopping import Act, Fact, GiveUp, Stage


def test_grace_is_the_containers_else_the_agents_and_at_least_one_second():
    assert stopping.grace_seconds(0, 30) == 30
    assert stopping.grace_seconds(5, 30) == 5
    assert stopping.grace_seconds(100_000, 30) == 100_000
    assert stopping.grace_seconds(0, 0.1) == 1


def test_signal_then_deadline_then_kill():
    stop, act = stopping.begin(30, now=100)
    assert act is Act.SIGNAL
    assert stopping.step(stop, Fact.SIGNAL_SENT, 102, GiveUp.HOLD) is Act.WAIT_DEADLINE
    assert stop.deadline == 132, "the grace runs from the signal"
    assert stopping.step(stop, Fact.DEADLINE, 132, GiveUp.HOLD) is Act.KILL


def test_a_second_signal_or_a_late_timer_changes_nothing():
    stop, _ = stopping.begin(30, now=0)
    stopping.step(stop, Fact.SIGNAL_SENT, 0, GiveUp.HOLD)
    assert stopping.step(stop, Fact.SIGNAL_SENT, 20, GiveUp.HOLD) is None
    assert stop.deadline == 30
    assert stopping.step(stop, Fact.RETRY, 25, GiveUp.HOLD) is None


@pytest.mark.parametrize(
    ("stage", "act"),
    [(Stage.ASKED, Act.SIGNAL), (Stage.SIGNALLED, Act.WAIT_DEADLINE), (Stage.KILLING, Act.KILL)],
)
def test_a_restarted_agent_goes_on_where_it_was_at_the_original_deadline(stage, act):
    stop = stopping.Stop(stage=stage, grace_seconds=30, asked_at=0, deadline=30)
    assert stopping.resume(stop) is act
    assert stop.deadline == 30


def test_a_signal_that_docker_refuses_is_repeated_until_the_grace_is_over_then_killed():
    stop, _ = stopping.begin(5, now=0)
    now, acts = 0.0, []
    for _ in range(6):
        acts.append(stopping.step(stop, Fact.FAULT, now, GiveUp.HOLD))
        now = stop.look_again_at
        acts.append(stopping.step(stop, Fact.RETRY, now, GiveUp.HOLD))
        if acts[-1] is Act.KILL:
            break
    assert acts[-1] is Act.KILL
    assert now >= 5
    assert all(act in (Act.WAIT_RETRY, Act.SIGNAL) for act in acts[:-1])


def test_hold_never_gives_up_and_declare_does_after_five_failures():
    hold = stopping.Stop(stage=Stage.KILLING, grace_seconds=1, asked_at=0, deadline=1)
    declare = stopping.Stop(stage=Stage.KILLING, grace_seconds=1, asked_at=0, deadline=1)
    for _ in range(5):
        stopping.step(hold, Fact.FAULT, 10, GiveUp.HOLD)
        stopping.step(declare, Fact.FAULT, 10, GiveUp.DECLARE)
    assert hold.stage is Stage.KILLING
    assert declare.stage is Stage.GAVE_UP


def test_a_kill_that_has_no_effect_is_looked_at_again():
    stop = stopping.Stop(stage=Stage.KILLING, grace_seconds=1, asked_at=0, deadline=1)
    assert stopping.step(stop, Fact.KILL_SENT, 1, GiveUp.HOLD) is Act.WAIT_RETRY
    assert stop.look_again_at == 11
    assert stopping.step(stop, Fact.RETRY, 11, GiveUp.HOLD) is Act.KILL


def test_an_engine_that_was_away_for_longer_than_the_grace_gets_the_signal_first():
    stop, _ = stopping.begin(6, now=0)
    assert stopping.step(stop, Fact.SILENCE, 30, GiveUp.HOLD) is Act.WAIT_RETRY
    assert stopping.step(stop, Fact.RETRY, 31, GiveUp.HOLD) is Act.SIGNAL
    assert stopping.step(stop, Fact.SIGNAL_SENT, 31, GiveUp.HOLD) is Act.WAIT_DEADLINE
    assert stop.deadline == 37, "its grace is whole"


def test_a_signal_that_is_refused_until_the_grace_is_over_gives_way_to_the_kill():
    stop, _ = stopping.begin(6, now=0)
    assert stopping.step(stop, Fact.FAULT, 5.5, GiveUp.HOLD) is Act.WAIT_RETRY
    assert stopping.step(stop, Fact.RETRY, 6.5, GiveUp.HOLD) is Act.KILL
