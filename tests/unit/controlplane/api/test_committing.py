"""Decide, commit, decide anew: the loop that every writer goes through."""

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

    async def commit(self, plan: Plan) -> int:
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict("somebody was first")
        self.commits.append(plan)
        return 1


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
