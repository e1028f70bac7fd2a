"""Placement beside the naive oracle, and commits beside bare SQLite, in one run: `make bench-placement`.

Every line is a ratio of two figures of this run on this machine; only the number of differing decisions can fail it.
"""

import argparse
import asyncio
import contextlib
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import msgspec
from rich.console import Console
from rich.table import Table

from controlplane.core import lifecycle
from controlplane.core.model import Cluster, Instance, Task, TaskDefinition
from controlplane.core.names import Names
from controlplane.core.placement.engine import place
from controlplane.core.placement.request import Request
from controlplane.core.placement.strategies import SERVICE_DEFAULT
from controlplane.core.plan import Conflict, Plan
from controlplane.core.reconcile.look import STARTS_PER_STEP_MAX
from controlplane.core.state import State
from controlplane.core.view import Draft
from controlplane.store import records, sqlite
from wire.arn import ArnMaker
from wire.holds import Hold
from wire.resources import Amounts

sys.path.insert(0, str(Path(__file__).parents[1] / "unit/controlplane/core"))
import naive_placement
from placement_cases import case_of

SIZE, SMALL = Amounts(4096, 16384), Amounts(128, 256)
STRATEGY = (
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


def request(count: int) -> Request:
    return Request(cluster="c", group="g", amounts=SMALL, count=count, strategy=STRATEGY, constraints=CONSTRAINT)


def one_by_one(state: State, place_one, rounds: int) -> float:
    """Placements a second: each sees the one before it, as a task in the state; the commits are not counted."""
    dice, spent = Random(1), 0.0
    for _ in range(rounds):
        began = time.perf_counter()
        placed = place_one(state, request(1), dice)
        spent += time.perf_counter() - began
        draft = Draft(state, now=0, cause="")
        arn = NAMES.task("c")
        task = Task(arn=arn, cluster="c", task_definition="d", containers=(), amounts=SMALL, group="g")
        draft.begin_hold(task, placed[0], "placed")
        state.apply(draft.plan(), state.revision + 1)
    return rounds / spent


def ours(state: State, wanted: Request, dice: Random) -> tuple[str, ...]:
    return place(state, wanted, dice).placed


def as_a_group(state: State, count: int, rounds: int) -> float:
    """Placements a second of `count` identical copies."""
    ours(state, request(count), Random(1))
    began = time.perf_counter()
    for seed in range(rounds):
        assert len(ours(state, request(count), Random(seed))) == count
    return rounds * count / (time.perf_counter() - began)


def bare_commits(path: Path, body: bytes, seconds: float) -> float:
    """Records a second that bare SQLite makes durable: our schema, as many in a transaction as our store takes."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.executescript(sqlite._SCHEMA)
    rows, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        database.execute("BEGIN IMMEDIATE")
        for _ in range(sqlite.BATCH_PLANS_MAX):
            rows += 1
            database.execute(sqlite._PUT, ("tasks", NAMES.task("c"), rows, body))
        database.execute("COMMIT")
    database.close()
    return rows / (time.perf_counter() - began)


async def durable(path: Path, size: int, copies: int, seconds: float) -> tuple[float, bytes]:
    """Tasks a second, decided and durable, by WRITERS callers that ask for `copies` each; and a task's record."""
    store = sqlite.SqliteStore(path)
    body = {"family": "web", "containerDefinitions": [{"name": "main", "image": "busybox", "cpu": 1, "memory": 1}]}
    definition = TaskDefinition(arn="d:1", family="web", revision=1, amounts=SMALL, body=body)
    await store.commit(Plan(cause="", puts=(Cluster(name="c", arn="c"), definition, *instances(size))))
    # Callers that decide on one view pack the same instance and meet there; spread is what services ask for.
    wanted = msgspec.structs.replace(request(copies), strategy=SERVICE_DEFAULT)
    dice, tasks = Random(1), 0
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


def main() -> int:
    """Print the table; 1 where a decision differs."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--instances", type=int, default=5000)
    options.add_argument("--seconds", type=float, default=3.0)
    options.add_argument("--seeds", type=int, default=1000)
    args = options.parse_args()
    naive_rate = one_by_one(state_of(args.instances), naive_placement.place, 20)
    singly = one_by_one(state_of(args.instances), ours, 1000)
    grouped = as_a_group(state_of(args.instances), 10_000, 5)
    with tempfile.TemporaryDirectory() as folder:
        each, record = asyncio.run(durable(Path(folder, "one.sqlite"), args.instances, 1, args.seconds))
        ten, _ = asyncio.run(durable(Path(folder, "ten.sqlite"), args.instances, 10, args.seconds))
        step, _ = asyncio.run(durable(Path(folder, "step.sqlite"), args.instances, STARTS_PER_STEP_MAX, args.seconds))
        bare = bare_commits(Path(folder, "bare.sqlite"), record, args.seconds)
    wrong = differing(args.seeds)
    table = Table(title=f"Placement at {args.instances} instances, constraint and strategy", title_justify="left")
    for heading in ("what", "a second", "beside", "a second", "ratio", "wanted"):
        table.add_column(heading, justify="left" if heading in ("what", "beside") else "right")
    for what, rate, beside, other, want in (
        ("one by one", singly, "naive", naive_rate, ">= 30"),
        ("10,000 identical copies", grouped, "naive", naive_rate, ">= 1000"),
        ("decided and durable, 1 a call", each, "bare SQLite, grouped", bare, ""),
        ("decided and durable, 10 a call (RunTask)", ten, "bare SQLite, grouped", bare, ">= 0.25"),
        (f"decided and durable, {STARTS_PER_STEP_MAX} a step (service)", step, "bare SQLite, grouped", bare, ">= 0.25"),
    ):
        table.add_row(what, f"{rate:,.0f}", beside, f"{other:,.0f}", f"{rate / other:,.2f}", want)
    Console(width=120).print(table)
    Console().print(f"{wrong} of {args.seeds} decisions differ from the naive oracle's.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
