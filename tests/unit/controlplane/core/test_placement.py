"""Placement: the arrays against the naive oracle, the strategies one by one, refusals in AWS's words."""

from collections import Counter
from random import Random
from unittest.mock import patch

import naive_placement
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placement_cases import LARGE, case_of, instance, request, state_of, task
from search import tries

from controlplane.core.placement import constraints, engine, explain, strategies
from controlplane.core.placement.engine import examine, place
from controlplane.core.placement.explain import Refusal
from controlplane.core.placement.request import Caution
from controlplane.core.placement.strategies import SERVICE_DEFAULT
from wire.resources import Amounts
from wire.status import InstanceStatus


@settings(max_examples=tries(300))
@given(st.integers(0, 2**32), st.sampled_from([2, engine.GROUP_FROM]))
def test_the_engine_decides_as_the_oracle(seed: int, group_from: int) -> None:
    """Groups and single copies alike: the same instances in the same order, and never more than there is room for."""
    state, wanted = case_of(seed)
    with patch.object(engine, "GROUP_FROM", group_from):
        outcome = place(state, wanted, Random(seed))
    assert outcome.placed == naive_placement.place(state, wanted, Random(seed))
    for arn, copies in Counter(outcome.placed).items():
        room = state.free(arn)
        assert copies * wanted.amounts.cpu <= room.cpu
        assert copies * wanted.amounts.memory_mib <= room.memory_mib
        assert copies == 1 or not wanted.amounts.ports
    looked_at = [i for i in state.instances("c") if i.status is not InstanceStatus.INACTIVE]
    assert len(outcome.refusals) == (0 if len(outcome.placed) == wanted.count else len(looked_at))


@settings(max_examples=tries(100))
@given(st.integers(0, 2**32))
def test_a_group_is_placed_as_its_copies_one_by_one(seed: int) -> None:
    """Larger than the oracle's cases: levels, quotas and ties of many instances, and more copies than fit."""
    state, wanted = case_of(seed, instances_max=80, count_max=400)
    outcomes = []
    for group_from in (2, wanted.count + 1):
        with patch.object(engine, "GROUP_FROM", group_from):
            outcomes.append(place(state, wanted, Random(seed)))
    assert outcomes[0] == outcomes[1]


@pytest.mark.soak
def test_no_decision_differs_over_a_thousand_seeds() -> None:
    """Larger clusters than above, where a group is many copies on many instances."""
    differing = [seed for seed in range(1000) if differs(seed)]
    assert differing == []


def differs(seed: int) -> bool:
    state, wanted = case_of(seed, instances_max=60, count_max=200)
    return place(state, wanted, Random(seed)).placed != naive_placement.place(state, wanted, Random(seed))


def test_binpack_fills_the_tightest_instance_first() -> None:
    state = state_of(instance(1), instance(2), task(1, "i/02", Amounts(512, 1024)))
    placed = place(state, request(4, ("binpack", "memory")), Random(1)).placed
    assert placed == ("i/02", "i/02", "i/02", "i/01")


def test_spread_balances_over_instances() -> None:
    state = state_of(instance(1), instance(2), instance(3), task(1, "i/02", Amounts(512, 1024)))
    placed = place(state, request(5, ("spread", "instanceId")), Random(1)).placed
    assert Counter(placed) == {"i/01": 2, "i/02": 1, "i/03": 2}


def test_the_default_of_services_spreads_over_zones_first() -> None:
    state = state_of(instance(1, zone="a"), instance(2, zone="a"), instance(3, zone="b"))
    placed = place(state, request(4, strategy=SERVICE_DEFAULT), Random(1)).placed
    assert Counter(placed) == {"i/01": 1, "i/02": 1, "i/03": 2}


def test_no_strategy_is_random_and_the_dice_decide() -> None:
    state = state_of(*(instance(nth) for nth in range(5)))
    seen = {place(state, request(1), Random(seed)).placed for seed in range(50)}
    assert len(seen) == 5
    assert place(state, request(3), Random(7)) == place(state, request(3), Random(7))


def test_a_stopping_task_neither_counts_nor_blocks() -> None:
    """Its hold has ended, so to a believer the instance is empty (the eager rule); caution sees it."""
    state = state_of(instance(1), instance(2), task(1, "i/01", Amounts(1536, 1), held=False))
    wanted = request(1, ("binpack", "cpu"), amounts=Amounts(1024, 1))
    believers = {place(state, wanted, Random(seed)).placed[0] for seed in range(20)}
    assert believers == {"i/01", "i/02"}
    careful = request(3, ("binpack", "cpu"), amounts=Amounts(1024, 1), caution=Caution.PREFER_EMPTY)
    assert place(state, careful, Random(1)).placed == ("i/02", "i/02", "i/01")
    only = request(3, ("binpack", "cpu"), amounts=Amounts(1024, 1), caution=Caution.ONLY_EMPTY)
    assert place(state, only, Random(1)).placed == ("i/02", "i/02")


def test_one_reason_for_each_instance_looked_at() -> None:
    state = state_of(
        instance(1, size=Amounts(100, 100)),
        instance(2, size=Amounts(2048, 100)),
        instance(3, size=Amounts(2048, 9000, frozenset({80}))),
        instance(4, agent_connected=False),
        instance(5, status=InstanceStatus.DRAINING),
        instance(6, status=InstanceStatus.INACTIVE),
    )
    outcome = place(state, request(2, amounts=Amounts(1024, 4096, frozenset({80}))), Random(1))
    assert outcome.placed == ()
    assert [(r.instance, r.reason) for r in outcome.refusals] == [
        ("i/01", "RESOURCE:CPU"),
        ("i/02", "RESOURCE:MEMORY"),
        ("i/03", "RESOURCE:PORTS"),
        ("i/04", "AGENT"),
        ("i/05", "AGENT"),
    ]
    assert explain.tally(outcome.refusals) == {
        "AGENT": 2,
        "RESOURCE:CPU": 1,
        "RESOURCE:MEMORY": 1,
        "RESOURCE:PORTS": 1,
    }
    assert explain.closest(outcome.refusals) == Refusal("i/03", "RESOURCE:PORTS", lacks="a free host port")


def test_refusals_are_about_the_room_after_what_was_placed() -> None:
    outcome = place(state_of(instance(1)), request(3, amounts=Amounts(1024, 7372)), Random(1))
    assert outcome.placed == ("i/01", "i/01")
    assert outcome.refusals == (Refusal("i/01", "RESOURCE:CPU", 1024, "CPU"),)


def test_distinct_instances() -> None:
    rule = ({"type": "distinctInstance"},)
    state = state_of(instance(1), instance(2), instance(3), task(1, "i/01", Amounts(1, 1)))
    outcome = place(state, request(3, constraints=rule), Random(1))
    assert sorted(outcome.placed) == ["i/02", "i/03"]
    assert {refusal.reason for refusal in outcome.refusals} == {explain.DISTINCT}


def test_an_empty_cluster_has_nothing_to_refuse() -> None:
    outcome = place(state_of(), request(1), Random(1))
    assert outcome == type(outcome)(())
    assert "No Container Instances were found in your cluster." in explain.unable_to_place("web", outcome.refusals)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("RESOURCE:CPU", "has insufficient CPU units available."),
        ("RESOURCE:MEMORY", "has insufficient memory available."),
        ("RESOURCE:PORTS", "is already using a port required by your task."),
        ("AGENT", 'encountered error "AGENT".'),
    ],
)
def test_the_service_event_names_the_closest_match(reason: str, words: str) -> None:
    text = explain.unable_to_place("web", [Refusal("arn:aws:ecs:r:a:container-instance/c/ff", reason)])
    assert f"The closest matching (container-instance ff) {words} For more" in text


def test_examine_one_instance() -> None:
    draining = instance(3, status=InstanceStatus.DRAINING)
    state = state_of(instance(1), instance(2, agent_connected=False), draining)
    assert examine(state, "i/01", LARGE) is None
    assert examine(state, "i/01", Amounts(1, 15732)) == "RESOURCE:MEMORY"
    assert examine(state, "i/02", LARGE) == "AGENT"
    assert examine(state, "i/03", LARGE) == "INACTIVE"
    assert examine(state, "i/09", LARGE) == "MISSING"


@pytest.mark.parametrize(
    "steps",
    [
        [{"type": "sprawl"}],
        [{"type": "binpack", "field": "disk"}],
        [{"type": "spread"}],
        [{"type": "spread", "field": "attribute:"}],
        [{"type": "random", "field": "cpu"}],
        [{"type": "random"}] * 6,
    ],
)
def test_bad_strategies_get_one_sentence(steps: list[dict[str, str]]) -> None:
    sentence = strategies.refuse(steps)
    assert sentence is not None
    assert sentence.endswith(".")


def test_good_strategies_pass() -> None:
    assert strategies.refuse(SERVICE_DEFAULT) is None
    assert strategies.refuse([{"type": "binpack", "field": "MEMORY"}, {"type": "random"}]) is None


def test_constraints() -> None:
    assert constraints.refuse([{"type": "distinctInstance"}]) is None
    for bad in (
        {"type": "memberOf"},
        {"type": "memberOf", "expression": "x"},
        {"type": "x"},
        {"type": "distinctInstance", "expression": "x"},
    ):
        assert constraints.refuse([bad]) is not None
    assert constraints.refuse([{"type": "distinctInstance"}] * 11) is not None
