"""Decide, commit, decide anew: the loop that every writer goes through."""

import asyncio
from typing import cast

import pytest

from controlplane import committing
from controlplane.committing import ATTEMPTS_MAX, Committer
from controlplane.core.model import Cluster
from controlplane.core.plan import Conflict, Plan
from controlplane.core.state import State
from controlplane.core.view import Draft
from controlplane.store.port import Store, Waiter
from wire.errors import ClusterNotFoundException, ServerException


class ContestedStore:
    """A store whose first commits meet another's."""

    def __init__(self, conflicts: int) -> None:
        self.conflicts = conflicts
        self.commits: list[Plan] = []

    def view(self) -> State:
        return State()

    def offer(self, plan: Plan, done: Waiter[int]) -> None:
        if self.conflicts:
            self.conflicts -= 1
            done.set_exception(Conflict("somebody was first"))
        else:
            self.commits.append(plan)
            done.set_result(1)


def decide(draft: Draft) -> float:
    draft.put(Cluster(name=f"c{draft.now}", arn="a"))
    return draft.now


def committer(store: ContestedStore) -> Committer:
    ticks = iter(range(100))
    return Committer(cast("Store", store), clock=lambda: next(ticks))


async def commit(store: ContestedStore) -> float:
    return await committer(store).commit(decide, cause="why")


async def test_a_plan_that_meets_another_is_decided_anew() -> None:
    store = ContestedStore(conflicts=2)
    assert await commit(store) == 2, "the answer is of the plan that was committed"
    assert [plan.puts[0].key for plan in store.commits] == ["c2"]
    assert store.commits[0].cause == "why"


async def test_it_gives_up_in_the_end() -> None:
    store = ContestedStore(conflicts=ATTEMPTS_MAX)
    with pytest.raises(ServerException, match="Try again"):
        await commit(store)
    assert store.commits == []


async def test_a_decision_that_changes_nothing_commits_nothing() -> None:
    store = ContestedStore(conflicts=1)
    assert await committer(store).commit(lambda _: "same", cause="") == "same"
    assert store.conflicts == 1


async def test_a_refusal_changes_nothing() -> None:
    def refuse(draft: Draft) -> None:
        decide(draft)
        raise ClusterNotFoundException

    store = ContestedStore(conflicts=0)
    with pytest.raises(ClusterNotFoundException):
        await committer(store).commit(refuse, cause="")
    assert store.commits == []


async def test_of_many_at_once_a_refusal_a_mistake_and_a_caller_who_has_gone_take_nothing_from_the_rest() -> None:
    def refuse(draft: Draft) -> float:
        decide(draft)
        raise ClusterNotFoundException

    def break_down(draft: Draft) -> float:
        decide(draft)
        raise StopIteration

    store = ContestedStore(conflicts=1)
    together = committer(store)
    asked = (decide, refuse, decide, break_down, decide, decide)
    calls = [asyncio.ensure_future(together.commit(each, cause=str(nth))) for nth, each in enumerate(asked)]
    await asyncio.sleep(0)
    calls[-1].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [
        int,
        ClusterNotFoundException,
        int,
        RuntimeError,
        int,
        asyncio.CancelledError,
    ]
    assert [plan.cause for plan in store.commits] == ["2", "4", "0"], "each by itself, who met another once more"


class SlowStore(ContestedStore):
    """A store that writes when it is told to."""

    def __init__(self) -> None:
        super().__init__(conflicts=0)
        self.waiting: list[tuple[Plan, Waiter[int]]] = []

    def offer(self, plan: Plan, done: Waiter[int]) -> None:
        self.waiting.append((plan, done))

    def settle(self, conflict: Conflict | None = None) -> str:
        """The oldest plan is durable, or met another; its cause."""
        plan, done = self.waiting.pop(0)
        if conflict:
            done.set_exception(conflict)
        else:
            done.set_result(1)
        return plan.cause


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_who_comes_when_all_places_are_taken_waits_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committing, "MATTERS_MAX", 2)
    store = SlowStore()
    crowded = committer(store)
    calls = [asyncio.ensure_future(crowded.commit(decide, cause=str(nth))) for nth in range(5)]
    await turn()
    assert [plan.cause for plan, _ in store.waiting] == ["0", "1"]
    calls[1].cancel()  # its plan is on its way: its place is taken until that is known
    await turn()
    assert [store.settle(), store.settle()] == ["0", "1"]
    await turn()
    assert [plan.cause for plan, _ in store.waiting] == ["2", "3"]
    calls[4].cancel()
    assert [store.settle(), store.settle()] == ["2", "3"]
    await turn()
    assert not store.waiting
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [int, asyncio.CancelledError, int, int, asyncio.CancelledError]
    again = asyncio.ensure_future(crowded.commit(decide, cause="later"))
    await turn()
    assert store.settle() == "later"
    await again


async def test_those_that_met_another_are_decided_one_by_one_and_who_has_gone_is_passed_over() -> None:
    store, conflict = SlowStore(), Conflict("somebody was first")
    contested = committer(store)
    calls = [asyncio.ensure_future(contested.commit(decide, cause=str(nth))) for nth in range(4)]
    await turn()
    assert [store.settle(conflict) for _ in range(4)] == ["0", "1", "2", "3"]
    await turn()
    assert [plan.cause for plan, _ in store.waiting] == ["0"]
    calls[1].cancel()
    free = asyncio.ensure_future(contested.commit(decide, cause="free"))
    await turn()
    assert [plan.cause for plan, _ in store.waiting] == ["0", "free"], "who met nobody does not wait for them"
    assert store.settle(conflict) == "0"
    assert store.settle() == "free"
    await turn()
    for cause in ("0", "2", "3"):
        assert [plan.cause for plan, _ in store.waiting] == [cause]
        store.settle()
        await turn()
    answers = await asyncio.gather(*calls, free, return_exceptions=True)
    assert [type(answer) for answer in answers] == [int, asyncio.CancelledError, int, int, int]
