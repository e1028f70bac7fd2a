"""Decide, commit, decide anew: the loop that every writer goes through."""

import asyncio
from typing import cast

import pytest

from controlplane.committing import ATTEMPTS_MAX, Committer
from controlplane.core.model import Cluster
from controlplane.core.plan import Conflict, Plan
from controlplane.core.state import State
from controlplane.core.view import Draft
from controlplane.store.port import Store
from wire.errors import ClusterNotFoundException, ServerException


class ContestedStore:
    """A store whose first commits meet another's."""

    def __init__(self, conflicts: int) -> None:
        self.conflicts = conflicts
        self.commits: list[Plan] = []

    def view(self) -> State:
        return State()

    def offer(self, plan: Plan, done: asyncio.Future[int]) -> None:
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
