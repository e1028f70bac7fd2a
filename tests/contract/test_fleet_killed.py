"""The control plane dies at every write about groups and machines: right before one, right after the next.

A group of two comes and is deleted; its machines wait for hooks when they come and when they go. They are
run by a runner that outlives each death and only does as it is told. Death is a store that takes nothing any more; the
next control plane begins from its file, and whoever asked and got no answer asks again.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from apiside import call

from controlplane import server
from controlplane.config import Config
from controlplane.core.capacity.model import Group, Machine
from controlplane.core.plan import Plan
from controlplane.server import running
from controlplane.store.port import StoreClosed
from controlplane.store.sqlite import SqliteStore

FLEET = {Group.table, Machine.table}
POINTS_MAX = 60
LIFE_SECONDS = 30
HOOKS = [
    {"LifecycleHookName": name, "LifecycleTransition": f"autoscaling:EC2_INSTANCE_{transition}"}
    for name, transition in (("in", "LAUNCHING"), ("out", "TERMINATING"))
]


class Fate:
    """When the store dies: `left` writes about the fleet from now."""

    def __init__(self, when: str, left: int) -> None:
        self.when = when
        self.left = left
        self.struck = asyncio.Event()


def mortal(fate: Fate) -> type[SqliteStore]:
    class Mortal(SqliteStore):
        def offer(self, plan: Plan, done: asyncio.Future[int]) -> None:
            if any(table in FLEET for table, _ in plan.changed):
                fate.left -= 1
                if fate.left == 0 and fate.when == "after":
                    written: asyncio.Future[int] = asyncio.get_running_loop().create_future()
                    written.add_done_callback(lambda _: self._die(done))
                    super().offer(plan, written)
                    return
                if fate.left == 0:
                    fate.struck.set()
            if fate.left == 0 and fate.struck.is_set():
                self._die(done)
            else:
                super().offer(plan, done)

        def _die(self, done: asyncio.Future[int]) -> None:
            fate.struck.set()
            if not done.done():
                done.set_exception(StoreClosed("killed"))

    return Mortal


class Runner:
    """Runs machines as it is told; its processes are names."""

    def __init__(self) -> None:
        self.alive: set[str] = set()
        self.starts: Counter[str] = Counter()
        self._ended: set[str] = set()

    async def follow(self, url: str) -> None:
        while True:
            with contextlib.suppress(aiohttp.ClientError, AssertionError):
                ended = list(self._ended)
                answer = await ask(url, "SyncMachines", runner="r", ended=ended)
                self._ended -= set(ended)
                wanted = {order["id"]: order["isOn"] for order in answer["machines"]}
                for id_ in {**dict.fromkeys(self.alive, False), **wanted}:
                    self._obey(id_, is_on=wanted.get(id_, False))
                for row in (await group_of(url) or {"Instances": []})["Instances"]:
                    for hook in row["waitsFor"]:
                        members = {"InstanceId": row["InstanceId"], "LifecycleHookName": hook}
                        await call(url, "CompleteLifecycleAction", **members, LifecycleActionResult="CONTINUE")
            await asyncio.sleep(0.02)

    def _obey(self, id_: str, *, is_on: bool) -> None:
        if is_on and id_ not in self.alive and id_ not in self._ended:
            self.alive.add(id_)
            self.starts[id_] += 1
        elif not is_on:
            self.alive.discard(id_)
            self._ended.add(id_)


async def ask(url: str, operation: str, **members: Any) -> dict[str, Any]:
    status, answer = await call(url, operation, **members)
    assert status == 200, answer
    return answer


async def group_of(url: str) -> dict[str, Any] | None:
    groups = (await ask(url, "DescribeAutoScalingGroups"))["AutoScalingGroups"]
    return groups[0] if groups else None


class Life:
    """A group from its creation to its end, and what a person does about it; each step again until it is done."""

    def __init__(self) -> None:
        self.steps: list[Callable[[str], Awaitable[bool]]] = [self._made, self._full, self._gone]

    async def go_on(self, url: str) -> None:
        while self.steps:
            with contextlib.suppress(aiohttp.ClientError, AssertionError):
                if await self.steps[0](url):
                    del self.steps[0]
            await asyncio.sleep(0.02)

    async def _made(self, url: str) -> bool:
        if await group_of(url) is None:
            members = {"MaxSize": 2, "BootSeconds": 0.05, "LifecycleHookSpecificationList": HOOKS}
            await ask(url, "CreateAutoScalingGroup", AutoScalingGroupName="asg", **members)
        return True

    async def _full(self, url: str) -> bool:
        await ask(url, "SetDesiredCapacity", AutoScalingGroupName="asg", DesiredCapacity=2)
        found = await group_of(url)
        assert found is not None
        return [row["LifecycleState"] for row in found["Instances"]] == ["InService"] * 2

    async def _gone(self, url: str) -> bool:
        if await group_of(url) is None:
            return True
        with contextlib.suppress(AssertionError):  # it is being deleted already
            await ask(url, "DeleteAutoScalingGroup", AutoScalingGroupName="asg", ForceDelete=True)
        return False


@contextlib.asynccontextmanager
async def going(*jobs: Awaitable[None]) -> AsyncIterator[list["asyncio.Task[None]"]]:
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def live(folder: Path, fate: Fate, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """One life with one death; the runner with what it came to."""
    runner, life = Runner(), Life()
    monkeypatch.setattr(server, "SqliteStore", mortal(fate))
    for _ in range(2):
        async with (
            running(Config(port=0, healthy_after_seconds=0, data_dir=folder)) as plane,
            going(runner.follow(plane.url), life.go_on(plane.url), fate.struck.wait()) as (_, lives, struck),
            asyncio.timeout(LIFE_SECONDS),
        ):
            await asyncio.wait({lives, struck}, return_when=asyncio.FIRST_COMPLETED)
            if lives.done():
                machines = list(plane.store.view().records(Machine))
                assert {machine.state for machine in machines} == {"Terminated"}
                assert {machine.id for machine in machines} == set(runner.starts), "none is lost, none is besides"
                return runner
        monkeypatch.setattr(server, "SqliteStore", SqliteStore)
        fate.struck = asyncio.Event()
    raise AssertionError("it dies once")


@pytest.mark.parametrize(("when", "first"), [("before", 1), ("after", 2)])
async def test_killed_at_every_write_about_the_fleet(
    tmp_path: Path, when: str, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(first, POINTS_MAX, 2):
        fate = Fate(when, number)
        runner = await live(tmp_path / str(number), fate, monkeypatch)
        assert sorted(runner.starts.values()) == [1, 1], f"{when} {number}: two machines, each one process"
        assert runner.alive == set(), f"{when} {number}: nothing is left behind"
        if fate.left > 0:
            assert number > 10, "a fleet has more writes than these"
            return
    raise AssertionError(f"more than {POINTS_MAX} writes")
