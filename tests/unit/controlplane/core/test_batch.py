"""The check at the commit: versions, room, proofs; a refused plan leaves no trace."""

import msgspec
import pytest

from controlplane.core.batch import Batch
from controlplane.core.model import Cluster, Instance, Task
from controlplane.core.plan import Conflict, Plan
from controlplane.core.state import State
from controlplane.core.view import Draft
from wire.holds import Hold, Proof
from wire.resources import Amounts
from wire.status import InstanceStatus

HALF = Amounts(1024, 1024)
WITH_PORT = Amounts(1024, 1024, frozenset({80}))


def world() -> State:
    state = State()
    instances = (Instance(arn=arn, cluster="c", registered=Amounts(2048, 2048)) for arn in "ij")
    state.apply(Plan(cause="", puts=(Cluster(name="c", arn="c"), *instances)), 1)
    return state


def draft_of(state: State) -> Draft:
    return Draft(state, now=1, cause="x")


def task(name: str, amounts: Amounts = HALF) -> Task:
    return Task(arn=name, cluster="c", task_definition="d", containers=(), amounts=amounts, group="g")


def placing(state: State, name: str, instance: str = "i", amounts: Amounts = HALF) -> Plan:
    draft = draft_of(state)
    draft.begin_hold(task(name, amounts), instance, "placed")
    return draft.plan()


def test_two_plans_of_one_batch_cannot_take_the_same_room() -> None:
    state = world()
    batch = Batch(state)
    batch.accept(placing(state, "a"))
    batch.accept(placing(state, "b"))
    with pytest.raises(Conflict, match="no CPU, MEMORY left"):
        batch.accept(placing(state, "c"))
    batch.accept(placing(state, "d", "j"))


def test_nor_the_same_port() -> None:
    state = world()
    batch = Batch(state)
    batch.accept(placing(state, "a", amounts=WITH_PORT))
    with pytest.raises(Conflict, match="no PORTS left"):
        batch.accept(placing(state, "b", amounts=WITH_PORT))


def test_an_instance_that_comes_in_the_same_batch_has_its_room_once() -> None:
    state = world()
    batch = Batch(state)
    draft = draft_of(state)
    draft.put(Instance(arn="k", cluster="c", registered=Amounts(2048, 2048)))
    draft.begin_hold(task("a"), "k", "placed")
    batch.accept(draft.plan())
    assert batch.free("k").cpu == 1024
    batch.accept(Plan(cause="", puts=(holding("b", "k"),)))
    with pytest.raises(Conflict, match="no CPU, MEMORY left"):
        batch.accept(Plan(cause="", puts=(holding("c", "k"),)))


def holding(name: str, instance: str) -> Task:
    return msgspec.structs.replace(task(name), instance=instance, hold=Hold(name, HALF, 0, "placed"))


def test_a_refused_plan_leaves_no_trace() -> None:
    """A plan of two tasks of which the second does not fit: the first takes nothing either."""
    state = world()
    draft = draft_of(state)
    draft.begin_hold(task("a"), "i", "placed")
    draft.begin_hold(task("b", Amounts(1025, 1)), "i", "placed")
    batch = Batch(state)
    with pytest.raises(Conflict):
        batch.accept(draft.plan())
    batch.accept(placing(state, "c", amounts=Amounts(2048, 2048)))


def test_room_that_one_plan_frees_is_there_for_the_next() -> None:
    state = world()
    state.apply(placing(state, "a", amounts=Amounts(2048, 2048)), 2)
    freeing = draft_of(state)
    freeing.end_hold(freeing.task("a"), Proof.EXIT_SEEN)
    batch = Batch(state)
    batch.accept(freeing.plan())
    batch.accept(placing(state, "b"))


def test_a_record_that_changed_is_a_conflict_in_the_batch_and_after_it() -> None:
    state = world()
    plans = []
    for status in (InstanceStatus.DRAINING, InstanceStatus.ACTIVE):
        draft = draft_of(state)
        draft.put(msgspec.structs.replace(draft.instance("i"), status=status))
        plans.append(draft.plan())
    batch = Batch(state)
    batch.accept(plans[0])
    with pytest.raises(Conflict, match="has changed"):
        batch.accept(plans[1])
    state.apply(plans[0], 2)
    with pytest.raises(Conflict, match="has changed"):
        Batch(state).accept(plans[1])


def test_a_record_that_was_not_there_must_not_be_there() -> None:
    state = world()
    first, second = placing(state, "a"), placing(state, "a", "j")
    state.apply(first, 2)
    with pytest.raises(Conflict):
        Batch(state).accept(second)


def test_an_instance_that_began_to_drain_takes_nothing() -> None:
    state = world()
    plan = placing(state, "a")
    draft = draft_of(state)
    draft.put(msgspec.structs.replace(draft.instance("i"), status=InstanceStatus.DRAINING))
    batch = Batch(state)
    batch.accept(draft.plan())
    with pytest.raises(Conflict, match="takes no tasks any more"):
        batch.accept(plan)


def test_a_hold_does_not_end_without_a_proof() -> None:
    state = world()
    state.apply(placing(state, "a"), 2)
    draft = draft_of(state)
    draft.put(msgspec.structs.replace(draft.task("a"), hold=None))
    with pytest.raises(AssertionError, match="without a proof"):
        Batch(state).accept(draft.plan())


def test_a_smaller_machine_is_over_committed_and_takes_nothing_more() -> None:
    """An instance that comes back smaller keeps its holds; what it has is below zero, and its own story goes on."""
    state = world()
    state.apply(placing(state, "a", amounts=Amounts(2048, 2048)), 2)
    draft = draft_of(state)
    draft.put(msgspec.structs.replace(draft.instance("i"), registered=Amounts(1024, 1024)))
    assert draft.free("i").cpu == -1024
    state.apply(draft.plan(), 3)
    assert state.free("i").cpu == -1024
    with pytest.raises(Conflict):
        Batch(state).accept(placing(state, "b", amounts=Amounts(1, 1)))
    ending = draft_of(state)
    ending.end_hold(ending.task("a"), Proof.EXIT_SEEN)
    Batch(state).accept(ending.plan())


def test_a_draft_sees_its_own_changes() -> None:
    state = world()
    draft = draft_of(state)
    held = draft.begin_hold(task("a"), "i", "placed")
    assert draft.free("i").cpu == 1024
    assert draft.tasks_on("i") == [held]
    assert draft.tasks_in("c", "g") == [held]
    draft.end_hold(held, Proof.EXIT_SEEN)
    assert draft.free("i").cpu == 2048
    assert state.free("i").cpu == 2048
    draft.delete(draft.instance("j"))
    assert [i.arn for i in draft.instances("c")] == ["i"]
    assert draft.instance("j") is None


def test_a_task_is_not_dropped_with_its_hold() -> None:
    state = world()
    state.apply(placing(state, "a"), 2)
    draft = draft_of(state)
    draft.delete(draft.task("a"))
    with pytest.raises(AssertionError, match="still holds room"):
        Batch(state).accept(draft.plan())


def test_a_hold_does_not_change_its_size_or_place_on_the_quiet() -> None:
    state = world()
    state.apply(placing(state, "a"), 2)
    held = state.task("a")
    smaller = msgspec.structs.replace(held.hold, amounts=Amounts(1, 1))
    for changed in ({"hold": smaller}, {"instance": "j"}):
        draft = draft_of(state)
        draft.put(msgspec.structs.replace(held, **changed))
        with pytest.raises(AssertionError, match="changes without an end"):
            Batch(state).accept(draft.plan())
