"""Placement beside a plain loop in Python, and commits beside bare SQLite, in one run: `make bench-placement`.

Every line is a ratio of two figures of one run. *One by one*: requests for one copy each, decided by the engine and
booked in its columns, each seeing those before; beside it the tests' oracle doing the same in plain lists.
*Identical*: 10,000 copies of one request. *Decided and durable*: draft, placement, records, story, events, check and
fsync, as a caller of the API has it; beside it rows of the same size by bare SQLite, compare and set, grouped.
Only a decision that differs can fail it.
"""

import argparse
import asyncio
import contextlib
import gc
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from rich.console import Console
from rich.table import Table

from controlplane.__main__ import GARBAGE_ALLOCATIONS
from controlplane.core import lifecycle
from controlplane.core.model import Cluster, Instance, Task, TaskDefinition
from controlplane.core.names import Names
from controlplane.core.placement.engine import place
from controlplane.core.placement.request import Request
from controlplane.core.placement.strategies import SERVICE_DEFAULT
from controlplane.core.plan import Conflict, Plan
from controlplane.core.state import State
from controlplane.core.view import Draft
from controlplane.events.emitter import Emitter
from controlplane.store import records, sqlite
from wire.arn import ArnMaker
from wire.holds import Hold
from wire.resources import Amounts

sys.path.insert(0, str(Path(__file__).parents[1] / "unit/controlplane/core"))
import naive_placement
from placement_cases import case_of

SIZE, SMALL = Amounts(4096, 16384), Amounts(128, 256)
Strategy = tuple[dict[str, str], ...]
PACKED: Strategy = (
    {"type": "spread", "field": "attribute:ecs.availability-zone"},
    {"type": "binpack", "field": "memory"},
)
CONSTRAINT = ({"type": "memberOf", "expression": "attribute:ecs.instance-type == m5.large and attribute:rack != r7"},)
NAMES = Names(ArnMaker("us-east-1", "123456789012"), Random(1))
WRITERS = 200
"""Callers at once of the durable rounds."""


def instances(count: int) -> list[Instance]:
    def of(nth: int) -> Instance:
        attributes = {
            "ecs.availability-zone": f"us-east-1{'abc'[nth % 3]}",
            "ecs.instance-type": "c5.large" if nth % 10 == 0 else "m5.large",
            "rack": f"r{nth % 50}",
        }
        return Instance(
            arn=NAMES.arns.container_instance("c", f"{nth:032x}"),
            cluster="c",
            registered=SIZE,
            agent_connected=True,
            attributes=tuple({"name": name, "value": value} for name, value in attributes.items()),
        )

    return [of(nth) for nth in range(count)]


def state_of(count: int) -> State:
    """A cluster of `count` instances, half full with four services' tasks."""
    members = instances(count)
    tasks = []
    for nth, instance in enumerate(members * 4):
        arn = NAMES.task("c")
        tasks.append(
            Task(
                arn=arn,
                cluster="c",
                task_definition="d",
                containers=(),
                amounts=Amounts(512, 2048),
                group=f"service:{nth % 4}",
                instance=instance.arn,
                hold=Hold(arn, Amounts(512, 2048), 0, "placed"),
            )
        )
    state = State()
    state.apply(Plan(cause="", puts=(Cluster(name="c", arn="c"), *members, *tasks)), 1)
    return state


def request(count: int, strategy: Strategy) -> Request:
    return Request(cluster="c", group="g", amounts=SMALL, count=count, strategy=strategy, constraints=CONSTRAINT)


def singly(state: State, strategy: Strategy, placements: int) -> tuple[float, list[str]]:
    """Placements a second by the engine: `placements` requests for one copy each, booked in the columns one by one.

    Each sees those before it. What is not counted: a draft, the task's record, the commit; `durable` counts them.
    """
    wanted, dice, roster = request(1, strategy), Random(1), state.roster("c")
    place(state, wanted, Random(2))
    placed, began = [], time.perf_counter()
    for _ in range(placements):
        (instance,) = place(state, wanted, dice).placed
        roster.book(roster.index_of[instance], wanted.amounts, wanted.group)
        placed.append(instance)
    return placements / (time.perf_counter() - began), placed


def naively(state: State, strategy: Strategy, placements: int) -> tuple[float, list[str]]:
    """The same by the oracle, whose lists are made before the clock starts: a loop over all instances each time."""
    naive, dice = naive_placement.Naive(state, request(1, strategy)), Random(1)
    placed, began = [], time.perf_counter()
    for _ in range(placements):
        index = naive.first(dice.getrandbits(64), dice)
        naive.take(index)
        placed.append(naive.instances[index].arn)
    return placements / (time.perf_counter() - began), placed


def ours(state: State, wanted: Request, dice: Random) -> tuple[str, ...]:
    return place(state, wanted, dice).placed


def as_a_group(state: State, strategy: Strategy, count: int, rounds: int) -> float:
    """Placements a second of `count` identical copies."""
    ours(state, request(count, strategy), Random(1))
    began = time.perf_counter()
    for seed in range(rounds):
        assert len(ours(state, request(count, strategy), Random(seed))) == count
    return rounds * count / (time.perf_counter() - began)


BARE_SCHEMA = """
CREATE TABLE kept (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value BLOB NOT NULL);
CREATE TABLE log (revision INTEGER PRIMARY KEY, key TEXT NOT NULL);
"""
BARE_SET = (
    "INSERT INTO kept VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
    "revision = excluded.revision, value = excluded.value WHERE kept.revision = ?"
)


def bare_commits(path: Path, body: bytes, seconds: float) -> float:
    """Records a second that bare SQLite makes durable by compare and set, WRITERS of them in a transaction.

    Each is a row by its key, set where it has the revision that was expected, and a row of a change log: the least
    that a store writes which leaves the comparing to its disk. Ours compares in memory; hence a schema of its own.
    """
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.executescript(BARE_SCHEMA)
    rows, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        database.execute("BEGIN IMMEDIATE")
        for revision in range(rows + 1, rows + WRITERS + 1):
            key = NAMES.task("c")
            assert database.execute(BARE_SET, (key, revision, body, 0)).rowcount == 1
            database.execute("INSERT INTO log VALUES (?, ?)", (revision, key))
        rows += WRITERS
        database.execute("COMMIT")
    database.close()
    return rows / (time.perf_counter() - began)


async def durable(path: Path, size: int, copies: int, seconds: float) -> tuple[float, bytes]:
    """Tasks a second, decided and durable, by WRITERS callers that ask for `copies` each; and a task's record."""
    store = sqlite.SqliteStore(path, emit=Emitter(NAMES.arns, time.time))
    body = {"family": "web", "containerDefinitions": [{"name": "main", "image": "busybox", "cpu": 1, "memory": 1}]}
    definition = TaskDefinition(arn="d:1", family="web", revision=1, amounts=SMALL, body=body)
    await store.commit(Plan(cause="", puts=(Cluster(name="c", arn="c"), definition, *instances(size))))
    # Callers that decide on one view pack the same instance and meet there; spread is what services ask for.
    wanted = request(copies, SERVICE_DEFAULT)
    dice, tasks = Random(1), 0
    gc.freeze()  # as the control plane does when it starts
    gc.set_threshold(GARBAGE_ALLOCATIONS)
    until = time.perf_counter() + seconds

    async def write() -> None:
        nonlocal tasks
        while time.perf_counter() < until:
            draft = Draft(store.view(), now=time.time(), cause="bench")
            for instance in place(draft, wanted, dice).placed:
                new = lifecycle.NewTask(cluster="c", group="g", instance=instance)
                lifecycle.create(draft, definition, new, NAMES)
            with contextlib.suppress(Conflict):
                await store.commit(draft.plan())
                tasks += copies

    began = time.perf_counter()
    await asyncio.gather(*(write() for _ in range(WRITERS)))
    rate = tasks / (time.perf_counter() - began)
    record = records.encode(next(store.view().records(Task)))
    await store.close()
    return rate, record


def differing(seeds: int) -> int:
    """Decisions that are not the oracle's."""
    found = 0
    for seed in range(seeds):
        state, wanted = case_of(seed, instances_max=60, count_max=200)
        found += ours(state, wanted, Random(seed)) != naive_placement.place(state, wanted, Random(seed))
    return found


def beside_naive(instances: int, strategy: Strategy, rounds: int) -> tuple[float, float, float]:
    """Medians of the engine one by one, its groups of 10,000, and the oracle; in turns, as machines have moods."""
    rates = []
    for _ in range(rounds):
        naive, expected = naively(state_of(instances), strategy, 200)
        ours_singly, placed = singly(state_of(instances), strategy, 10_000)
        assert placed[: len(expected)] == expected, "one by one differs from the oracle"
        rates.append((ours_singly, as_a_group(state_of(instances), strategy, 10_000, 2), naive))
    return tuple(statistics.median(column) for column in zip(*rates, strict=True))


def main() -> int:
    """Print the table; 1 where a decision differs."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--instances", type=int, default=5000)
    options.add_argument("--seconds", type=float, default=3.0)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seeds", type=int, default=1000)
    args = options.parse_args()
    rows = []
    for name, strategy in (("zone, then binpack", PACKED), ("zone, then instance", SERVICE_DEFAULT)):
        one, grouped, naive = beside_naive(args.instances, strategy, args.rounds)
        rows.append((f"one by one: {name}", one, "plain loop", naive, ">= 30"))
        rows.append((f"10,000 identical: {name}", grouped, "plain loop", naive, ">= 1000"))
    with tempfile.TemporaryDirectory() as folder:
        for copies, caller, want in (
            (1, "a call", ""),
            (10, "a call (RunTask)", ">= 0.25"),
            (100, "a step", ">= 0.25"),
        ):
            path = Path(folder, f"{copies}.sqlite")
            rate, record = asyncio.run(durable(path, args.instances, copies, args.seconds))
            bare = bare_commits(Path(folder, f"bare{copies}.sqlite"), record, args.seconds / 2)
            rows.append((f"decided and durable, {copies} {caller}", rate, "bare SQLite, grouped", bare, want))
    table = Table(title=f"Placement at {args.instances} instances, with a constraint", title_justify="left")
    for heading in ("what", "a second", "beside", "a second", "ratio", "wanted"):
        table.add_column(heading, justify="left" if heading in ("what", "beside") else "right")
    for what, rate, beside, other, want in rows:
        table.add_row(what, f"{rate:,.0f}", beside, f"{other:,.0f}", f"{rate / other:,.2f}", want)
    Console(width=120).print(table)
    wrong = differing(args.seeds)
    Console().print(f"{wrong} of {args.seeds} decisions differ from the oracle's.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
