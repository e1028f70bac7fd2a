"""Whoever is refused by a store and looks again at once finds what he was refused for."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import msgspec
import pytest

from controlplane.core.model import Cluster
from controlplane.core.plan import Conflict, Plan
from controlplane.core.view import Draft
from controlplane.store.memory import MemoryStore
from controlplane.store.port import Store
from controlplane.store.sqlite import SqliteStore


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_the_view_after_a_conflict_is_fresh(kind: str, tmp_path: Path) -> None:
    store: Store = MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "store.sqlite")
    first = Draft(store.view(), now=1, cause="a")
    first.put(Cluster(name="c", arn="0"))
    await store.commit(first.plan())

    async def count_up() -> int:
        for conflicts in range(10):
            draft = Draft(store.view(), now=1, cause="a")
            cluster = draft.cluster("c")
            assert cluster is not None
            draft.put(msgspec.structs.replace(cluster, arn=str(int(cluster.arn) + 1)))
            try:
                await store.commit(draft.plan())
            except Conflict:
                continue
            return conflicts
        raise AssertionError

    conflicts = await asyncio.gather(*(count_up() for _ in range(5)))
    cluster = store.view().cluster("c")
    assert cluster is not None
    assert cluster.arn == "5"
    assert max(conflicts) <= 4, "each conflict is one other's commit"
    await store.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_plan_that_breaks_the_check_is_an_error_to_its_caller_alone(kind: str, tmp_path: Path) -> None:
    def emit(plan: Plan, *_: object) -> list[int]:
        return {"good": [1]}[plan.cause]

    store: Store = MemoryStore(emit=emit) if kind == "memory" else SqliteStore(tmp_path / "store.sqlite", emit=emit)

    def put(name: str, cause: str) -> Awaitable[int]:
        draft = Draft(store.view(), now=1, cause=cause)
        draft.put(Cluster(name=name, arn=""))
        return asyncio.wait_for(store.commit(draft.plan()), 10)

    asked = (put("a", "good"), put("b", "bad"), put("c", "good"), put("b", "good"), put("a", "good"))
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [int, KeyError, int, int, Conflict], "only b left no trace"
    assert sorted(cluster.name for cluster in store.view().records(Cluster)) == ["a", "b", "c"]
    await store.close()
