"""Events in a store: durable with their plan, in order, whole revisions, and a word where they are no longer kept."""

from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.core.batch import Batch
from controlplane.core.model import Token
from controlplane.core.plan import Plan
from controlplane.core.state import State
from controlplane.core.view import Draft
from controlplane.store.memory import MemoryStore
from controlplane.store.port import Store
from controlplane.store.sqlite import SqliteStore

Opener = Callable[..., Store]


def emit(plan: Plan, state: State, batch: Batch) -> list[str]:
    """Two events for every token that is put; the batch knows it, the state does not yet."""
    for record in plan.puts:
        assert state.record(type(record), record.key) is None
        assert batch.record(type(record), record.key) == record
    return [f"{record.key} {nth}" for record in plan.puts for nth in (1, 2)]


@pytest.fixture(params=["memory", "sqlite"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    if request.param == "memory":
        return lambda **limits: MemoryStore(emit=emit, **limits)
    return lambda **limits: SqliteStore(tmp_path / "store.sqlite", emit=emit, **limits)


async def put(store: Store, *names: str) -> None:
    for name in names:
        draft = Draft(store.view(), now=0, cause="test")
        draft.put(Token(scope="s", token=name, fingerprint=""))
        await store.commit(draft.plan())


async def test_events_are_read_in_order_from_any_revision(opener: Opener) -> None:
    store = opener()
    assert await store.events(0, 10) == ([], 0, 0)
    await put(store, "a", "b")
    page = await store.events(0, 10)
    assert page == ([(1, b'"s a 1"'), (1, b'"s a 2"'), (2, b'"s b 1"'), (2, b'"s b 2"')], 0, 2)
    assert (await store.events(1, 10)).rows == page.rows[2:]
    assert (await store.events(2, 10)).rows == []
    await store.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_they_are_rendered_when_they_are_read(kind: str, tmp_path: Path) -> None:
    rendered: list[bytes] = []

    def render(kept: bytes) -> bytes:
        rendered.append(kept)
        return kept.upper()

    path = tmp_path / "store.sqlite"
    store: Store = (
        MemoryStore(emit=emit, render=render) if kind == "memory" else SqliteStore(path, emit=emit, render=render)
    )
    await put(store, "a", "b")
    assert rendered == []
    assert (await store.events(1, 10)).rows == [(2, b'"S B 1"'), (2, b'"S B 2"')]
    assert rendered == [b'"s b 1"', b'"s b 2"']
    await store.close()


async def test_a_page_never_cuts_a_revision(opener: Opener) -> None:
    store = opener()
    await put(store, "a", "b", "c")
    assert [row[0] for row in (await store.events(0, 1)).rows] == [1, 1]
    assert [row[0] for row in (await store.events(0, 3)).rows] == [1, 1, 2, 2]
    await store.close()


async def test_a_refused_plan_has_no_events(opener: Opener) -> None:
    store = opener()
    stale = Draft(store.view(), now=0, cause="test")
    stale.put(Token(scope="s", token="a", fingerprint=""))
    await put(store, "a")
    with pytest.raises(Exception, match="has changed"):
        await store.commit(stale.plan())
    assert len((await store.events(0, 10)).rows) == 2
    await store.close()


async def test_old_events_are_forgotten_and_it_says_so(opener: Opener) -> None:
    store = opener(events_kept=4)
    await put(store, *"abcdefgh")
    page = await store.events(0, 100)
    assert page.newest == 8
    assert page.forgotten > 0
    assert [row[0] for row in page.rows] == [r for r in range(page.forgotten + 1, 9) for _ in (1, 2)]
    assert 4 <= len(page.rows) <= 8
    await store.close()


async def test_they_outlive_the_process(tmp_path: Path) -> None:
    first = SqliteStore(tmp_path / "store.sqlite", emit=emit)
    await put(first, "a", "b")
    await first.close()
    second = SqliteStore(tmp_path / "store.sqlite", emit=emit)
    assert [row[0] for row in (await second.events(0, 10)).rows] == [1, 1, 2, 2]
    await put(second, "c")
    assert (await second.events(2, 10)).rows == [(3, b'"s c 1"'), (3, b'"s c 2"')]
    await second.close()
