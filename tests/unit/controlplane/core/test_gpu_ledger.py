"""GPUs on the placement ledger: whoever decides on an old view, no GPU is ever held twice."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from placement_cases import state_of

from controlplane.core.batch import Batch
from controlplane.core.model import Container, Instance, Task
from controlplane.core.plan import Conflict
from controlplane.core.view import Draft
from wire.holds import Proof
from wire.resources import Amounts, Room
from wire.status import DesiredStatus

IDS = frozenset({"GPU-1", "GPU-2", "GPU-3"})
HOST = Instance(arn="i/1", cluster="c", registered=Amounts(9999, 9999, gpus=3, gpu_ids=IDS), agent_connected=True)


def a_task(arn: str, *counts: int) -> Task:
    containers = tuple(
        Container(name=str(nth), arn=f"{arn}/{nth}", image="i", gpus=count) for nth, count in enumerate(counts)
    )
    amounts = Amounts(1, 1, gpus=sum(counts))
    return Task(arn=arn, cluster="c", task_definition="d", containers=containers, amounts=amounts, group="g")


def test_a_hold_names_the_gpus_of_each_container() -> None:
    draft = Draft(state_of(HOST), now=0, cause="")
    held = draft.begin_hold(a_task("t", 1, 0, 2), HOST.arn, "placed")
    assert [container.gpu_ids for container in held.containers] == [("GPU-1",), (), ("GPU-2", "GPU-3")]
    assert held.hold is not None
    assert (held.hold.amounts.gpu_ids, draft.free(HOST.arn).gpu_ids) == (IDS, frozenset())
    draft.end_hold(msgspec.structs.replace(held, desired_status=DesiredStatus.STOPPED), Proof.EXIT_SEEN)
    assert draft.free(HOST.arn) == Room.whole(HOST.registered)


def test_two_that_picked_the_same_gpu_do_not_both_get_it() -> None:
    state = state_of(HOST)
    plans = []
    for arn in ("one", "two"):
        draft = Draft(state, now=0, cause="")
        draft.begin_hold(a_task(arn, 1), HOST.arn, "placed")
        plans.append(draft.plan())
    batch = Batch(state)
    batch.accept(plans[0])
    with pytest.raises(Conflict, match="has no GPU left"):
        batch.accept(plans[1])


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=20))
def test_whatever_comes_and_goes_the_ids_add_up(moves: list[tuple[int, bool]]) -> None:
    """Decided on the state or on what it was a step ago; what passes the check at the commit holds nothing twice."""
    state, before = state_of(HOST), Draft(state_of(HOST), now=0, cause="")
    for nth, (count, is_stale) in enumerate(moves):
        draft = Draft(state, now=0, cause="")
        live = [task for task in state.tasks("c") if task.hold is not None]
        if count == 0 and live:
            draft.end_hold(msgspec.structs.replace(live[0], desired_status=DesiredStatus.STOPPED), Proof.EXIT_SEEN)
        else:
            wanted = a_task(f"t{nth}", count)
            view = before if is_stale else draft
            if not view.free(HOST.arn).lacks(wanted.amounts):
                draft = Draft(before if is_stale else state, now=0, cause="")
                draft.begin_hold(wanted, HOST.arn, "placed")
        before = Draft(state, now=0, cause="")
        try:
            Batch(state).accept(draft.plan())
        except Conflict:
            continue
        state.apply(draft.plan(), state.revision + 1)
        held = [gpu for hold in state.ledger(HOST.arn) for gpu in hold.amounts.gpu_ids]
        assert len(held) == len(set(held))
        assert state.free(HOST.arn).gpu_ids == IDS - set(held)
        assert state.free(HOST.arn).gpus == len(IDS) - len(held)
