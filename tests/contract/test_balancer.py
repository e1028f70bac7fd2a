"""The balancer over a real store, and a proxy that is played."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import pytest
from aiohttp import web
from scripted_proxy import ScriptedProxy

from controlplane.balancing import balancer
from controlplane.balancing.balancer import Balancer
from controlplane.committing import Committer
from controlplane.core import lifecycle
from controlplane.core.balancing.records import Check, Listener, Target, TargetGroup
from controlplane.core.model import Container, Instance, Task, TaskDefinition
from controlplane.core.names import Names
from controlplane.core.view import Draft
from controlplane.store.memory import MemoryStore
from wire.arn import ArnMaker
from wire.errors import ServerException
from wire.resources import Amounts
from wire.status import StopCode, TaskStatus

GROUP = TargetGroup(arn="arn:tg", name="web", check=Check(path="/"), deregistration_delay_seconds=1)
WAIT_SECONDS = 60


class Place:
    """A store with one task whose agent has said RUNNING, its target a server in this process, and a balancer."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.committer = Committer(self.store, clock=time.time)
        self.proxy = ScriptedProxy()
        names = Names(ArnMaker("us-east-1", "1"), Random(1))
        self.balancer = Balancer(self.store, self.committer, self.proxy, names, time.time)

    async def put(self, port: int) -> None:
        binding = {"containerPort": 80, "hostPort": port}
        task = Task(
            arn="arn:aws:ecs:us-east-1:1:task/default/t1",
            cluster="default",
            task_definition="d",
            amounts=Amounts(),
            group="service:web",
            instance="i",
            last_status=TaskStatus.ACTIVATING,
            containers=(Container(name="app", arn="c", image="x", network_bindings=(binding,)),),
            targets=(Target(group=GROUP.arn, container="app", container_port=80),),
        )
        records = (
            TaskDefinition(arn="d", family="web", revision=1),
            Instance(arn="i", cluster="default", registered=Amounts(1024, 1024)),
            GROUP,
            Listener(port=80, arn="l", group=GROUP.arn),
            task,
        )
        await self.committer.commit(lambda draft: [draft.put(record) for record in records] and None, cause="test")

    @property
    def task(self) -> Task:
        (task,) = self.store.view().records(Task)
        return task

    async def stop(self) -> None:
        def decide(draft: Draft) -> None:
            lifecycle.request_stop(draft, self.task, stop_code=StopCode.SERVICE_SCHEDULER_INITIATED, reason="scaled in")

        await self.committer.commit(decide, cause="test")

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds():  # noqa: ASYNC110 - a proxy tells nobody
                await asyncio.sleep(0.02)


@pytest.fixture
async def place(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    monkeypatch.setattr(balancer, "TICK_SECONDS", 0.05)
    made = Place()
    app = web.Application()
    app.router.add_get("/", _ok)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, _bound()).start()
    await made.put(runner.addresses[0][1])
    job = asyncio.create_task(made.balancer.run())
    yield made
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
    await runner.cleanup()


async def _ok(_: web.Request) -> web.Response:
    return web.Response(text="ok")


def _bound() -> socket.socket:
    found = socket.socket()
    found.bind(("127.0.0.1", 0))
    return found


async def test_from_activating_to_a_served_request_to_stopping(place: Place) -> None:
    await place.until(lambda: place.task.targets[0].state == "healthy")
    assert place.task.last_status is TaskStatus.RUNNING
    await place.until(lambda: place.proxy.picture.pools[0].servers[0].weight == 100)
    assert await place.proxy.ask(80) == (200, "ok")
    await place.stop()
    assert place.task.last_status is TaskStatus.DEACTIVATING
    await place.until(lambda: place.proxy.picture.pools[0].servers[0].weight == 0)
    assert place.task.last_status is TaskStatus.DEACTIVATING
    await place.until(lambda: place.task.last_status is TaskStatus.STOPPING)
    await place.until(lambda: place.proxy.picture.pools[0].servers == ())


@pytest.mark.parametrize("turns", range(4))
async def test_it_ends_though_something_happens_at_that_moment(turns: int) -> None:
    place = Place()
    job = asyncio.create_task(place.balancer.run())
    await asyncio.sleep(0.05)
    place.balancer._stirred.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    job.cancel()
    done, _ = await asyncio.wait({job}, timeout=5)
    assert done, "the cancellation was lost"


async def test_a_proxy_in_trouble_changes_no_task_and_is_told_of(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balancer, "AFTER_FAULT_SECONDS", 0.1)
    await place.until(lambda: place.task.targets[0].state == "healthy")
    place.proxy.trouble = "HAProxy does not start: it says nothing"
    await place.until(lambda: place.balancer.trouble == place.proxy.trouble)
    assert place.task.targets[0].state == "healthy"
    await place.proxy.crash()
    place.proxy.trouble = ""
    await place.until(lambda: place.balancer.trouble == "")
    assert await place.proxy.ask(80) == (200, "ok")


async def test_one_that_is_outrun_looks_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others commit faster, as often as a commit is tried: its loop goes on, and what is due comes about."""
    await place.until(lambda: place.task.targets[0].state == "healthy")
    commit, outrun = place.committer.commit, asyncio.Event()

    async def refuse_once(decide: Callable[[Draft], object], *, cause: str, **more: Any) -> object:
        if cause == "balancing" and not outrun.is_set():
            outrun.set()
            raise ServerException("Other changes came first 20 times in a row. Try again.")
        return await commit(decide, cause=cause, **more)

    monkeypatch.setattr(place.committer, "commit", refuse_once)
    await place.stop()
    await asyncio.wait_for(outrun.wait(), WAIT_SECONDS)
    await place.until(lambda: place.task.last_status is TaskStatus.STOPPING)
