"""Requests that no ECS model checks, spoilt at random: one sentence and nothing broken, whatever comes.

Instance groups, EventBridge's rules, Application Auto Scaling, CloudWatch's metrics and logs, and the paths of ours.
What is accepted can be read back from the disk, and no loop of the control plane stumbles over it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from apiside import call, make_group
from good_requests import ASKED, HOOK
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from controlplane.config import Config
from controlplane.server import STORE_FILE, ControlPlane, running
from controlplane.store.sqlite import SqliteStore
from wire import envelope

EXAMPLES = 150
EXAMPLES_SOAK = 6000
REQUESTS_MAX = 5
"""Of one example: what one leaves behind, the next may stumble over."""

NUMBERS = st.sampled_from((0, -1, 1, 2, 61, 2**31, 2**63, 2**64, 10**40, -(10**40), 0.5, -0.5, 1e308, 1e-300, 3.0))
TEXTS = ("", " ", "default", "web", "asg", "i-0", "0", "-1", "1e400", "²", str(10**40), "\x00", "\ud800")
WORDS = st.sampled_from((*TEXTS, "é" * 300, "x" * 70_000))
EXPRESSIONS = st.sampled_from(
    (
        "rate(0 minutes)",
        "rate(99999999999999999999 days)",
        "cron(0 0 31 2 ? *)",
        "cron(* * * * ? 1970)",
        "at(9999-12-31T23:59:59)",
        "at(0001-01-01T00:00:00)",
        "[" * 5000,
        '{"a":' * 3000,
        '{"source":[{"anything-but":[]}]}',
        '{"detail":{"x":[{"numeric":["<","a"]}]}}',
        "{ $.a = 1e999 }",
        "(?" * 200,
        "200-100",
    )
)
NESTED = {"a": [{"b": [[[[{}]]]]}]}
ODD: SearchStrategy[Any] = st.one_of(
    NUMBERS,
    WORDS,
    EXPRESSIONS,
    st.sampled_from((None, True, False, [], {}, [[]], [None], [{}], {"": None}, NESTED, ["x"] * 2000)),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        max_leaves=5,
    ),
)
Asked = tuple[str, str, Any]


@st.composite
def spoilt(draw: DrawFn) -> Asked:
    """A request of the list with up to three of its values replaced, doubled or left out."""
    where, what, body = draw(st.sampled_from(ASKED))
    spoiling = json.loads(json.dumps(body))
    for _ in range(draw(st.integers(0, 3))):
        way = draw(st.sampled_from([*_ways(spoiling)]))
        spoiling = _spoil(draw, spoiling, way)
    return where, what, spoiling


def _ways(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield way
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield from _ways(inner, (*way, step))


def _spoil(draw: DrawFn, body: Any, way: tuple[Any, ...]) -> Any:
    if not way:
        return deepcopy(draw(ODD)) if draw(st.integers(0, 9)) == 0 else body
    inner = body
    for step in way[:-1]:
        inner = inner[step]
    kind = draw(st.sampled_from(("odd", "odd", "odd", "wrap", "drop")))
    if kind == "drop" and isinstance(inner, dict):
        del inner[way[-1]]
    else:
        was = inner[way[-1]]
        near = NUMBERS if isinstance(was, int | float) else WORDS | EXPRESSIONS if isinstance(was, str) else ODD
        inner[way[-1]] = [was, deepcopy(was)] if kind == "wrap" else deepcopy(draw(near | ODD))
    return body


class World:
    """A control plane on disk with one of everything, and what its log says is broken."""

    def __init__(self, plane: ControlPlane, session: aiohttp.ClientSession) -> None:
        self.plane = plane
        self.session = session
        self.broken: list[Any] = []
        self.found: list[Any] = []
        """Requests, each with what broke under it or since the one before."""

    async def ask_all(self, asked: Iterable[Asked]) -> None:
        """One after the other."""
        for one in asked:
            await self.ask(*one)

    async def ask(self, where: str, what: str, body: Any) -> None:
        """Ask; the answer is AWS's kind of answer, and no fault of ours."""
        url, headers, method = self.plane.url, {}, where
        if what.startswith("/"):
            url += what
        else:
            method, headers = "POST", envelope.request_headers(what, where)
        if method == "GET":
            query = body if isinstance(body, dict) else {"x": body}
            words = {name: value if isinstance(value, str) else json.dumps(value) for name, value in query.items()}
            params = {_sent(name): _sent(value) for name, value in words.items() if len(value) < 2000}
            asking = self.session.get(url, params=params)
        else:
            asking = self.session.request(method, url, data=json.dumps(body).encode(), headers=headers)
        async with asking as answer:
            said = await answer.read()
        sentence = "good" if answer.status < 400 else _sentence(said)
        if answer.status >= 500 or not sentence or "\n" in sentence:
            self.broken.append(said)
        await asyncio.sleep(0)
        if self.plane.failed.done():
            self.broken.append(self.plane.failed)
        if self.broken:
            self.found.append((where, what, json.dumps(body)[:2000], *self.broken))
            self.broken.clear()


def _sentence(said: bytes) -> str:
    try:
        return str(json.loads(said)["message"])
    except (ValueError, KeyError, TypeError):
        return ""


def _sent(text: str) -> str:
    return text.encode(errors="replace").decode().replace("\x00", "?")


@asynccontextmanager
async def world_of(path: Path) -> AsyncIterator[World]:
    config = Config(port=0, healthy_after_seconds=0, data_dir=path, time_scale=60)
    async with running(config) as plane, aiohttp.ClientSession() as session:
        world = World(plane, session)
        structlog.configure(processors=[_collect(world.broken), structlog.processors.KeyValueRenderer()])
        await call(
            plane.url,
            "RegisterTaskDefinition",
            family="web",
            containerDefinitions=[{"name": "m", "image": "i", "memory": 9}],
        )
        await call(plane.url, "CreateService", serviceName="web", taskDefinition="web", desiredCount=1)
        await make_group(plane.url, "asg", BootSeconds=0, MinSize=1, LifecycleHookSpecificationList=[HOOK])
        await world.ask("POST", "/_berth/target-groups", {"name": "tg"})
        await world.ask_all(ASKED)
        yield world


def _collect(broken: list[Any]) -> Any:
    def look(_: Any, level: str, line: dict[str, Any]) -> dict[str, Any]:
        if level == "error" or line.get("exc_info"):
            broken.append(repr(line))
        raise structlog.DropEvent

    return look


def fuzz(path: Path, examples: int) -> None:
    before = structlog.get_config()
    with asyncio.Runner() as runner:
        context = world_of(path)
        world = runner.run(_entered(context))
        try:

            @settings(max_examples=examples, deadline=None, derandomize=examples == EXAMPLES, database=None)
            @given(st.lists(spoilt(), min_size=1, max_size=REQUESTS_MAX))
            def each(asked: list[Asked]) -> None:
                runner.run(world.ask_all(asked))

            each()
        finally:
            structlog.configure(**before)
            runner.run(_left(context))
        runner.run(_read_again(path))
    assert not world.found


async def _entered(context: AbstractAsyncContextManager[World]) -> World:
    return await context.__aenter__()


async def _read_again(path: Path) -> None:
    await SqliteStore(path / STORE_FILE).close()


async def _left(context: AbstractAsyncContextManager[World]) -> None:
    await context.__aexit__(None, None, None)


def test_a_spoilt_request_breaks_nothing(tmp_path: Path) -> None:
    fuzz(tmp_path, EXAMPLES)


@pytest.mark.soak
def test_many_spoilt_requests_break_nothing(tmp_path: Path) -> None:
    fuzz(tmp_path, EXAMPLES_SOAK)
