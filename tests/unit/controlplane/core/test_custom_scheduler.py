"""A scheduler of one's own: its choice counts where it fits, and what does not is refused with a sentence."""

import sys
from collections import Counter
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placement_cases import case_of, instance, request, state_of
from search import tries

from controlplane.core.model import Cluster
from controlplane.core.placement import custom, explain
from controlplane.core.placement.engine import place
from controlplane.core.placement.request import Caution, Chooser
from controlplane.core.plan import Plan
from controlplane.core.policy import Policy
from controlplane.core.state import State
from wire.resources import Amounts

sys.path.insert(0, str(Path(__file__).parents[4] / "examples/python_scheduler"))
from berth_example_scheduler import SameRack


class Answers:
    """A scheduler that answers with what it was given, or breaks."""

    def __init__(self, answer):
        self.answer = answer

    def place(self, requests, view, dice):
        del requests, view, dice
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom, "installed", {})


def under(scheduler: object, state: State) -> State:
    custom.installed["mine"] = scheduler  # type: ignore[assignment]
    cluster = Cluster(name="c", arn="c", policy=Policy(scheduler="mine"))
    state.apply(Plan(cause="", puts=(cluster,)), state.revision + 1)
    return state


def test_its_choice_counts() -> None:
    state = under(Answers([["i/02", "i/02"]]), state_of(instance(1), instance(2)))
    assert place(state, request(2), Random(1)).placed == ("i/02", "i/02")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (None, "did not answer with one list for each request"),
        ([], "did not answer with one list for each request"),
        (["i/01"], "did not answer with a list of instance ARNs"),
        ([[1]], "did not answer with a list of instance ARNs"),
        ([["i/01"] * 3], "chose 3 instances for 2 copies"),
        ([["i/09", "i/01"]], "chose i/09, which is no instance of the cluster"),
        ([["i/01"]], "found a place for 1 of 2"),
        (KeyError("x"), "broke: KeyError: 'x'"),
    ],
)
def test_a_wrong_answer_is_one_sentence(answer: object, sentence: str) -> None:
    outcome = place(under(Answers(answer), state_of(instance(1), instance(2))), request(2), Random(1))
    assert len(outcome.placed) == ("i/01" in str(answer) and "3" not in sentence and "list" not in sentence)
    assert f"he scheduler mine {sentence}." in explain.sentence(outcome.refusals)
    assert {refusal.reason for refusal in outcome.refusals} == {"SCHEDULER"}


def test_where_there_is_nothing_to_choose_it_is_not_asked() -> None:
    state = under(Answers(KeyError("asked")), state_of(instance(1)))
    assert place(state, request(1, chooser=Chooser.ENGINE), Random(1)).placed == ("i/01",)
    assert place(state, request(1, caution=Caution.ONLY_EMPTY), Random(1)).placed == ("i/01",)


def test_one_that_is_not_installed() -> None:
    state = under(Answers([]), state_of(instance(1)))
    custom.installed.clear()
    assert "is not installed" in explain.sentence(place(state, request(1), Random(1)).refusals)


def test_a_full_host_is_refused_and_takes_nothing() -> None:
    state = under(Answers([["i/01", "i/01", "i/01"]]), state_of(instance(1, size=Amounts(1024, 2048))))
    outcome = place(state, request(3, amounts=Amounts(512, 1024)), Random(1))
    assert outcome.placed == ("i/01", "i/01")
    assert [refusal.reason for refusal in outcome.refusals] == ["RESOURCE:CPU"]
    assert explain.sentence(outcome.refusals) == "1 of 1 instance lacks CPU (chosen by mine)."


class Reckless:
    """Chooses any instances at all, its own dice deciding."""

    def place(self, requests, view, dice):
        arns = [each.arn for each in view.instances(requests[0].cluster)]
        return [[arns[dice.randrange(len(arns))] for _ in range(requests[0].count)]]


@settings(max_examples=tries(200))
@given(st.integers(0, 2**32), st.sampled_from([Reckless(), SameRack()]))
def test_whatever_it_chooses_nothing_is_over_committed(seed: int, scheduler: object) -> None:
    state, wanted = case_of(seed)
    outcome = place(under(scheduler, state), wanted, Random(seed))
    assert outcome == place(state, wanted, Random(seed)), "same seed, same decisions"
    for arn, copies in Counter(outcome.placed).items():
        room = state.free(arn)
        for _ in range(copies):
            assert not room.lacks(wanted.amounts)
            room = room.minus(wanted.amounts)
    zones = [c["expression"] for c in wanted.constraints if "in [b]" in c.get("expression", "")]
    assert not zones or all(state.instance(a).attribute("ecs.availability-zone") == "b" for a in outcome.placed)  # type: ignore[union-attr]


def test_the_example_keeps_a_group_in_one_rack() -> None:
    racks = state_of(*(instance(nth, rack=str(nth % 3)) for nth in range(6)))
    outcome = place(under(SameRack(), racks), msgspec.structs.replace(request(4)), Random(1))
    assert len(outcome.placed) == 4
    assert len({racks.instance(arn).attribute("rack") for arn in outcome.placed}) == 1  # type: ignore[union-attr]
