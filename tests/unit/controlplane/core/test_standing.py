"""What is kept between decisions decides as what is made anew: standings, rosters and their forks in drafts."""

from random import Random

import msgspec
import naive_placement
from hypothesis import given, settings
from hypothesis import strategies as st
from placement_cases import CHAINS, case_of, instance, request, state_of, task
from search import tries

from controlplane.core.model import Task
from controlplane.core.placement.engine import place
from controlplane.core.placement.standing import Standing, key_of
from controlplane.core.plan import Plan
from controlplane.core.state import State
from controlplane.core.view import Draft
from wire.holds import Proof
from wire.resources import Amounts
from wire.status import DesiredStatus, InstanceStatus

DISTINCT = ({"type": "distinctInstance"},)


def change(draft: Draft, dice: Random, nth: int) -> None:
    """A task comes, a task goes, or an instance changes."""
    hosts = draft.instances("c")
    host = hosts[dice.randrange(len(hosts))]
    kind = dice.random()
    if kind < 0.6:
        amounts = Amounts(dice.choice([0, 64]), dice.choice([0, 64]))
        if not draft.free(host.arn).lacks(amounts):
            group = dice.choice("gh")
            new = Task(arn=f"n/{nth}", cluster="c", task_definition="d", containers=(), amounts=amounts, group=group)
            draft.begin_hold(new, host.arn, "placed")
    elif kind < 0.9:
        here = [task for task in draft.tasks_on(host.arn) if task.is_live]
        if here:
            draft.end_hold(msgspec.structs.replace(here[0], desired_status=DesiredStatus.STOPPED), Proof.STOP_REQUESTED)
    elif kind < 0.95:
        status = dice.choice([InstanceStatus.ACTIVE, InstanceStatus.DRAINING])
        draft.put(msgspec.structs.replace(host, status=status))
    else:
        draft.put(instance(50 + nth, zone=dice.choice("ab"), rack=dice.choice("12")))


@settings(max_examples=tries(150))
@given(st.integers(0, 2**32))
def test_whatever_has_changed_since_the_decision_is_the_oracles(seed: int) -> None:
    state, _ = case_of(seed)
    dice = Random(seed)
    kinds = [
        request(dice.choice([1, 1, 5]), *dice.choice(CHAINS), constraints=dice.choice([(), (), DISTINCT]))
        for _ in range(4)
    ]
    for nth in range(12):
        draft = Draft(state, now=0, cause="")
        for step in range(dice.randrange(4)):
            change(draft, dice, 10 * nth + step)
            # Asked in the middle of a draft, and twice for the same: nothing that is kept may leak.
            wanted, draw = dice.choice(kinds), dice.random()
            for view in (draft, state, draft):
                assert place(view, wanted, Random(draw)).placed == naive_placement.place(view, wanted, Random(draw))
        state.apply(draft.plan(), state.revision + 1)


def test_a_decision_leaves_the_roster_as_it_was() -> None:
    state = state_of(*(instance(nth) for nth in range(4)))
    wanted = request(3, ("spread", "instanceId"))
    first = place(state, wanted, Random(1)).placed
    assert place(state, wanted, Random(1)).placed == first
    assert state.roster("c").counts("g", list).tolist() == [0, 0, 0, 0]


def test_one_standing_serves_every_request_of_its_kind() -> None:
    state: State = state_of(instance(1), instance(2))
    wanted = request(1, ("binpack", "memory"))
    place(state, wanted, Random(1))
    kept = state.roster("c").follower(key_of(wanted))
    assert isinstance(kept, Standing)
    state.apply(Plan(cause="", puts=(task(1, "i/02", Amounts(64, 64)),)), 2)
    assert place(state, wanted, Random(1)).placed == ("i/02",)
    assert state.roster("c").follower(key_of(wanted)) is kept


def test_what_narrows_the_choice_is_no_matter_of_a_standing() -> None:
    """`only` and `avoid` are no part of what a standing is kept under."""
    state = state_of(instance(1), instance(2))
    wanted = request(1, ("binpack", "memory"))
    for nth in range(20):
        assert place(state, wanted, Random(nth)).placed[0] in {"i/01", "i/02"}
        assert place(state, msgspec.structs.replace(wanted, only=frozenset({"i/02"})), Random(nth)).placed == ("i/02",)
        assert place(state, msgspec.structs.replace(wanted, avoid=frozenset({"i/02"})), Random(nth)).placed == ("i/01",)
