"""What only a store on disk does: it is equal when reopened, tells failures of the disk, and survives a kill."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from storeside import contents, line, putting, task, telling, token, with_instance

from controlplane.core.model import Task, Token
from controlplane.core.plan import Plan
from controlplane.core.view import Draft
from controlplane.store.port import Store, StoreBusy
from controlplane.store.sqlite import SqliteStore
from wire.holds import Proof

Opener = Callable[..., Store]
ROOT = Path(__file__).parents[2]


async def test_reopened_it_is_equal(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = SqliteStore(path)
    await with_instance(store)
    dice = Random(5)
    for nth in range(60):
        await _something(store, nth, dice)
    await store.commit(telling(*range(30)))
    before, story = contents(store.view()), await store.story(0, 1000)
    await store.close()
    reopened = SqliteStore(path)
    assert contents(reopened.view()) == before
    assert await reopened.story(0, 1000) == story
    assert await reopened.commit(putting(reopened, token("more"))) == before[0] + 1  # type: ignore[index]
    await reopened.close()


async def test_reopened_it_has_what_many_records_and_plans_of_one_transaction_said(tmp_path: Path) -> None:
    """More records than one statement takes; plans that wait for the same transaction, with what each has dropped."""
    path = tmp_path / "store.sqlite"
    store = SqliteStore(path)
    await store.commit(putting(store, *(token(f"t{nth}") for nth in range(150))))
    gone = [dropping(store, f"s t{nth}") for nth in (0, 63, 64, 149)]
    await asyncio.gather(*(store.commit(plan) for plan in [*gone, putting(store, token("new"))]))
    before = contents(store.view())
    assert len(list(store.view().records(Token))) == 147
    await store.close()
    reopened = SqliteStore(path)
    assert contents(reopened.view()) == before
    await reopened.close()


def dropping(store: Store, key: str) -> Plan:
    draft = Draft(store.view(), now=1, cause="x")
    draft.delete(draft.token(key))
    return draft.plan()


async def _something(store: Store, nth: int, dice: Random) -> None:
    draft = Draft(store.view(), now=nth, cause="x")
    tasks = list(store.view().records(Task))
    step = dice.randrange(4)
    if step == 0 and draft.free("i").cpu >= 1024:
        draft.begin_hold(task(f"t{nth}"), "i", "placed")
    elif step == 1 and tasks:
        draft.end_hold(tasks[dice.randrange(len(tasks))], Proof.EXIT_SEEN)
    elif step == 2 and (done := [task for task in tasks if task.hold is None]):
        draft.delete(done[0])
    else:
        draft.put(token(f"t{nth % 7}", created_at=nth))
    await store.commit(draft.plan())


async def test_a_second_process_gets_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = SqliteStore(path)
    with pytest.raises(StoreBusy, match=r"is in use by another control plane; .*\.$"):
        SqliteStore(path)
    await store.close()
    await SqliteStore(path).close()


async def test_a_disk_that_fails_is_an_error_to_the_caller_and_changes_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    await store.commit(putting(store, token("a")))
    store._database.execute("PRAGMA query_only = ON")
    with pytest.raises(Exception, match="readonly"):
        await store.commit(putting(store, token("b")))
    assert store.view().token("s b") is None
    store._database.execute("PRAGMA query_only = OFF")
    assert await store.commit(putting(store, token("c"))) == 2
    before = contents(store.view())
    await store.close()
    reopened = SqliteStore(tmp_path / "store.sqlite")
    assert contents(reopened.view()) == before
    await reopened.close()


def transactions_of(store: SqliteStore) -> list[int]:
    """How many plans each transaction has, from now on."""
    written: list[int] = []
    compose = store._compose
    store._compose = lambda plans: written.append(len(plans)) or compose(plans)  # type: ignore[method-assign,func-returns-value]
    return written


async def test_a_transaction_that_has_enough_records_takes_no_further_plan(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    written = transactions_of(store)
    large = [putting(store, *(token(f"{nth}-{each}") for each in range(200))) for nth in range(6)]
    await asyncio.gather(*map(store.commit, large))
    assert written == [3, 3]
    await store.close()


async def test_plans_that_arrive_together_share_a_transaction(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    written = transactions_of(store)
    await asyncio.gather(*(store.commit(putting(store, token(f"t{nth}"))) for nth in range(200)))
    assert sum(written) == 200
    assert len(written) <= 3
    await store.close()


async def test_plans_of_the_turns_that_follow_go_along(tmp_path: Path) -> None:
    """As of callers whose requests are read one after the other."""
    store = SqliteStore(tmp_path / "store.sqlite")
    written = transactions_of(store)

    async def commit(turn: int) -> None:
        for _ in range(turn):
            await asyncio.sleep(0)
        await store.commit(putting(store, token(f"t{turn}")))

    await asyncio.gather(*map(commit, range(20)))
    assert written == [20]
    await store.close()


async def test_a_line_that_went_along_hurries_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has patience, and is written with a plan before that ends: the next line may have all of its own."""
    store = SqliteStore(tmp_path / "store.sqlite")
    written = transactions_of(store)
    loop, later = asyncio.get_running_loop(), []
    monkeypatch.setattr(loop, "call_later", lambda _, hurry, *args: later.append((hurry, args)))
    first = asyncio.create_task(store.tell([line(1)], patience_seconds=9))
    await asyncio.sleep(0)
    await store.commit(putting(store, token("t")))
    await first
    second = asyncio.create_task(store.tell([line(2)], patience_seconds=9))
    await asyncio.sleep(0)
    for nth, (hurry, args) in enumerate(later):
        hurry(*args)
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(written) == 1 + nth
    await second
    await store.close()


WRITER = """
    import asyncio, os, sys
    from pathlib import Path
    from controlplane.core.model import Token
    from controlplane.core.view import Draft
    from controlplane.store.sqlite import SqliteStore

    async def write(store, writer):
        nth = 0
        while True:
            draft = Draft(store.view(), now=0, cause="x")
            draft.put(Token(scope=writer, token=str(nth), fingerprint=""))
            await store.commit(draft.plan())
            os.write(1, f"{writer} {nth}\\n".encode())
            nth += 1

    async def main():
        store = SqliteStore(Path(sys.argv[1]))
        await asyncio.gather(*(write(store, writer) for writer in "abcdefgh"))

    asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [1, 200, 1500])
def test_kill_9_loses_nothing_acknowledged(tmp_path: Path, lines: int) -> None:
    """A process commits as fast as it can and says so; it is killed in the middle; all that it said is there."""
    path = tmp_path / "store.sqlite"
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert writer.stdout is not None
    said = [writer.stdout.readline() for _ in range(lines)]
    writer.send_signal(signal.SIGKILL)
    said += writer.stdout.readlines()
    writer.stdout.close()
    assert writer.wait() == -signal.SIGKILL
    asyncio.run(_check(path, said))


async def _check(path: Path, said: list[bytes]) -> None:
    store = SqliteStore(path)
    missing = [one for one in said if one.endswith(b"\n") and store.view().token(one.decode().strip()) is None]
    assert not missing
    assert store.view().revision == len(list(store.view().records(Token))) >= len(said) - 1
    await store.close()
