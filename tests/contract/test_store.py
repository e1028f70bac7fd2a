"""What every store does, whatever it is made of: compare and set, no over-commit, order, durability, a limit on all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from storeside import contents, line, putting, task, telling, token, with_instance

from controlplane.core.model import Task
from controlplane.core.plan import Conflict, Key, Plan
from controlplane.core.view import Draft
from controlplane.store.memory import MemoryStore
from controlplane.store.port import Store, StoreClosed
from controlplane.store.sqlite import SqliteStore
from wire.holds import Proof

Opener = Callable[..., Store]
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["memory", "sqlite"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens a store; one at a time."""
    if request.param == "memory":
        return MemoryStore
    return lambda **limits: SqliteStore(tmp_path / "store.sqlite", **limits)


@pytest.fixture
async def store(opener: Opener) -> AsyncIterator[Store]:
    opened = opener()
    yield opened
    await opened.close()


async def test_a_commit_is_visible_when_it_returns(store: Store) -> None:
    assert store.view().revision == 0
    assert await store.commit(putting(store, token("a"))) == 1
    assert store.view().token("s a") == token("a")
    assert store.view().revision_of(("tokens", "s a")) == 1


async def test_an_empty_plan_costs_nothing(store: Store) -> None:
    assert await store.commit(Plan(cause="")) == 0
    assert await store.tell([]) == 0
    assert store.view().revision == 0


async def test_compare_and_set(store: Store) -> None:
    """Two plans from one view about one record: the second is refused and changes nothing."""
    await store.commit(putting(store, token("a")))
    first, second = (putting(store, token("a", created_at=at), token(f"new{at}")) for at in (1, 2))
    await store.commit(first)
    with pytest.raises(Conflict, match="has changed"):
        await store.commit(second)
    assert store.view().token("s a") == token("a", created_at=1)
    assert store.view().token("s new2") is None
    assert store.view().revision == 2


async def test_of_many_writers_at_once_one_wins_each_round(store: Store) -> None:
    """Fifty increments of one counter by eight writers that retry: none is lost, none counts twice."""
    await store.commit(putting(store, token("counter")))
    conflicts = 0

    async def writer(times: int) -> None:
        nonlocal conflicts
        while times:
            before = store.view().token("s counter")
            assert before is not None
            try:
                await store.commit(putting(store, msgspec.structs.replace(before, created_at=before.created_at + 1)))
                times -= 1
            except Conflict:
                conflicts += 1

    await asyncio.gather(*(writer(50) for _ in range(8)))
    counter = store.view().token("s counter")
    assert counter is not None
    assert counter.created_at == 400
    assert store.view().revision == 401


async def test_no_over_commit_at_the_commit(store: Store) -> None:
    """Three plans each found room for half an instance; together they do not fit, in one batch or one by one."""
    await with_instance(store)
    plans = [putting(store, task(name, on="i")) for name in "abc"]
    results = await asyncio.gather(*map(store.commit, plans), return_exceptions=True)
    assert [type(result) for result in results].count(Conflict) == 1
    assert store.view().free("i").cpu == 0
    assert len(list(store.view().records(Task))) == 2


async def test_a_refused_plan_changes_nothing(store: Store) -> None:
    await with_instance(store)
    before = contents(store.view())
    plan = putting(store, token("a"), *(task(name, on="i") for name in "abc"))
    with pytest.raises(Conflict):
        await store.commit(plan)
    assert contents(store.view()) == before
    assert await store.story(0, 10) == ([], 0)


async def test_a_mistake_of_ours_is_refused_and_the_store_goes_on(store: Store) -> None:
    await with_instance(store)
    await store.commit(putting(store, task("a", on="i")))
    with pytest.raises(AssertionError, match="without a proof"):
        await store.commit(putting(store, task("a")))
    await store.commit(putting(store, token("a")))


async def test_holds_end_with_the_commit(store: Store) -> None:
    await with_instance(store)
    await store.commit(putting(store, task("a", on="i")))
    draft = Draft(store.view(), now=1, cause="x")
    draft.end_hold(draft.task("a"), Proof.EXIT_SEEN)
    await store.commit(draft.plan())
    assert store.view().free("i").cpu == 2048
    draft = Draft(store.view(), now=1, cause="x")
    draft.delete(draft.task("a"))
    await store.commit(draft.plan())
    assert store.view().task("a") is None
    assert store.view().tasks_on("i") == []


async def test_watchers_see_every_commit_in_order(store: Store) -> None:
    await store.commit(putting(store, token("before")))
    watch = store.watch()
    names = [f"t{nth}" for nth in range(50)]
    await asyncio.gather(*(store.commit(putting(store, token(name), cause=name)) for name in names))
    await store.tell([line(1)])
    commits = [await anext(watch) for _ in range(51)]
    assert [commit.revision for commit in commits] == [*range(2, 52), 51]
    keys: list[Key] = [("tokens", f"s {commit.cause}") for commit in commits[:-1]]
    assert [commit.changed for commit in commits[:-1]] == [(key,) for key in keys]
    assert sorted(commit.cause for commit in commits[:-1]) == sorted(names)
    assert (commits[-1].changed, commits[-1].story, commits[-1].newest_line) == ((), (line(1),), 1)


async def test_a_watcher_takes_all_that_has_come_at_once(store: Store) -> None:
    watch = store.watch()
    await asyncio.gather(*(store.commit(putting(store, token(name), cause=name)) for name in "abc"))
    bursts = watch.bursts()
    assert [commit.cause for commit in await anext(bursts)] == ["a", "b", "c"]
    waiting = asyncio.create_task(anext(bursts))
    await asyncio.sleep(0)
    assert not waiting.done()
    await store.commit(putting(store, token("d"), cause="d"))
    assert [commit.cause for commit in await waiting] == ["d"]
    watch.close()
    assert await anext(bursts, None) is None


async def test_bursts_end_where_the_watcher_fell_behind(opener: Opener) -> None:
    store = opener(watch_commits_max=3)
    watch = store.watch()
    await asyncio.gather(*(store.commit(putting(store, token(f"t{nth}"))) for nth in range(5)))
    assert [[commit.revision for commit in burst] async for burst in watch.bursts()] == [[1, 2, 3]]
    await store.close()


async def test_what_a_watcher_hears_of_is_in_the_view(store: Store) -> None:
    watch = store.watch()
    writing = asyncio.gather(*(store.commit(putting(store, token(f"t{nth}"))) for nth in range(20)))
    for _ in range(20):
        commit = await anext(watch)
        assert store.view().revision >= commit.revision
        assert all(store.view().revision_of(key) for key in commit.changed)
    await writing


async def test_a_watcher_that_falls_behind_is_ended(opener: Opener) -> None:
    store = opener(watch_commits_max=3)
    slow, quick = store.watch(), store.watch()
    for nth in range(5):
        await store.commit(putting(store, token(f"t{nth}")))
        await anext(quick)
    assert [commit.revision async for commit in slow] == [1, 2, 3]
    await store.close()


async def test_a_watcher_that_waits_ends_with_the_store(opener: Opener) -> None:
    store = opener()
    watch = store.watch()
    waiting = asyncio.create_task(anext(watch, None))
    await asyncio.sleep(0)
    await store.close()
    assert await waiting is None


async def test_a_closed_watch_ends(store: Store) -> None:
    watch = store.watch()
    await store.commit(putting(store, token("a")))
    watch.close()
    assert [commit async for commit in watch] == []


async def test_the_story_is_read_in_pages(store: Store) -> None:
    await store.commit(telling(1, 2, 3))
    assert await store.tell([line(4), line(5)]) == 5
    lines, newest = await store.story(0, 2)
    assert ([seq for seq, _ in lines], newest) == ([1, 2], 5)
    lines, newest = await store.story(2, 100)
    assert (lines, newest) == ([(nth, line(nth)) for nth in (3, 4, 5)], 5)
    assert await store.story(5, 100) == ([], 5)
    assert await store.story(99, 100) == ([], 5)
    assert await store.story(0, 0) == ([], 5)


async def test_the_story_keeps_its_newest_lines(opener: Opener) -> None:
    store = opener(story_lines_kept=10)
    for start in range(1, 101, 5):
        await store.tell([line(nth) for nth in range(start, start + 5)])
    lines, newest = await store.story(0, 1000)
    assert newest == 100
    assert [seq for seq, _ in lines][-10:] == list(range(91, 101))
    assert len(lines) <= 20
    assert all(told == line(seq) for seq, told in lines)
    await store.close()


async def test_a_closed_store_says_so(opener: Opener) -> None:
    store = opener()
    await store.close()
    await store.close()
    for asked in (store.commit(telling(1)), store.tell([line(1)]), store.story(0, 1)):
        with pytest.raises(StoreClosed):
            await asked


async def test_a_caller_that_goes_away_does_not_stop_the_others(store: Store) -> None:
    gone = asyncio.create_task(store.commit(putting(store, token("gone"))))
    staying = asyncio.create_task(store.commit(putting(store, token("staying"))))
    await asyncio.sleep(0)
    gone.cancel()
    await staying
    assert store.view().token("s staying") is not None


# What only a store on disk can show.


async def test_patient_lines_go_along_with_the_next_commit_before_its_own(store: Store) -> None:
    told = asyncio.ensure_future(store.tell([line(1)], patience_seconds=3600))
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await store.commit(msgspec.structs.replace(putting(store, token("a")), story=(line(2),)))
        assert await told == 1
    assert [said.data["nth"] for _, said in (await store.story(0, 10))[0]] == [1, 2]


async def test_patience_has_an_end(store: Store) -> None:
    async with asyncio.timeout(30):
        assert await store.tell([line(1)], patience_seconds=0.01) == 1


async def test_patient_lines_are_kept_when_the_store_closes(opener: Opener) -> None:
    first = opener()
    told = asyncio.ensure_future(first.tell([line(1)], patience_seconds=3600))
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await first.close()
        assert await told == 1


async def test_plans_that_are_offered_are_checked_against_each_other(store: Store) -> None:
    """One of many is refused: it takes nothing from the others, and what is offered to a closed store is refused."""
    await with_instance(store)
    loop = asyncio.get_running_loop()
    plans = [putting(store, task(f"t{nth}", on="i")) for nth in range(3)] + [putting(store, token("a"))]
    outcomes = [loop.create_future() for _ in plans]
    for plan, done in zip(plans, outcomes, strict=True):
        store.offer(plan, done)
    results = await asyncio.gather(*outcomes, return_exceptions=True)
    assert [type(result) for result in results] == [int, int, Conflict, int], "there is room for two halves"
    assert [task.arn for task in store.view().records(Task)] == ["t0", "t1"]
    await store.close()
    late = loop.create_future()
    store.offer(plans[-1], late)
    with pytest.raises(StoreClosed):
        await late
