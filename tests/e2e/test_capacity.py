"""Instance groups and managed scaling on real agents and real containers: hosts are bought, join, work, drain, leave.

Everything is told by Docker, by the processes of the agents, and by the story.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from berth_program import Berth, berth, containers, gone
from ports import free_port

from berth.client import EcsClient
from wire.story import Kind, StoryLine

pytestmark = pytest.mark.docker

CLEANED_WITHIN_SECONDS = 60
LONG_WARMUP_SECONDS = 10_000
"""A minute on the fast clock: no agent takes so long to start, so nothing is bought twice."""
SIZE = {"cpu": 512, "memory": 3000}
"""Four fit on an r5.large."""


class World:
    """A `berth dev` with one group and its provider; what its story and its API say."""

    def __init__(self, dev: Berth, client: EcsClient) -> None:
        self.dev = dev
        self.client = client
        self.lines: list[StoryLine] = []
        self._news = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for _, line in self.client.story():
            self.lines.append(line)
            self._news.set()

    async def until(self, holds: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for a line of the story after which `holds`."""
        end = time.monotonic() + seconds
        while not holds():
            self._news.clear()
            left = end - time.monotonic()
            assert left > 0, f"{what} within {seconds} s; the last looks: {[look.data for look in self.looks()[-3:]]}"
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, 1.0)):
                    await self._news.wait()

    def looks(self) -> list[StoryLine]:
        return [line for line in self.lines if line.kind == Kind.SCALER_LOOK]

    def acts(self) -> list[tuple[str, int]]:
        return [(look.data["act"], look.data["desired"]) for look in self.looks() if look.data["act"] != "none"]

    def states(self) -> dict[str, str]:
        """State of each machine, as last told."""
        return {line.subject: line.data["state"] for line in self.lines if line.kind == Kind.MACHINE_STATE}

    def running(self) -> int:
        """Tasks that run, by the story."""
        last: dict[str, str] = {}
        for line in self.lines:
            if line.kind == Kind.TASK_STATUS:
                last[line.subject] = line.data["last"]
        return list(last.values()).count("RUNNING")

    def taken(self) -> list[StoryLine]:
        return [line for line in self.lines if line.kind == Kind.INSTANCE_TAKEN]

    async def instances(self) -> list[dict[str, Any]]:
        arns = (await self.client.call("ListContainerInstances"))["containerInstanceArns"]
        if not arns:
            return []
        described = await self.client.call("DescribeContainerInstances", containerInstances=arns)
        return list(described["containerInstances"])

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)


@contextlib.asynccontextmanager
async def world(tmp_path: Path, group: str, *, scale: int = 60, options: tuple[str, ...] = ()) -> AsyncIterator[World]:
    port = str(free_port())
    arguments = ("--port", port, "--hosts", "0", "--group", group, "--time-scale", str(scale), "--healthy-after", "1s")
    with berth("dev", *arguments, *options, tmp=tmp_path / "t") as dev:
        dev.wait_for("✓ connected")
        async with EcsClient(f"http://127.0.0.1:{port}") as client:
            made = World(dev, client)
            try:
                yield made
            finally:
                await made.close()


async def serve(client: EcsClient, desired: int, **environment: str) -> None:
    shown = [{"name": name, "value": value} for name, value in environment.items()]
    container = {"name": "web", "image": "berth/stubborn:latest", "essential": True, **SIZE, "environment": shown}
    await client.call("RegisterTaskDefinition", family="web", containerDefinitions=[container | {"stopTimeout": 60}])
    await client.call("CreateService", serviceName="web", taskDefinition="web", desiredCount=desired)


async def warm_up(it: World, seconds: int) -> None:
    """Another warm-up of the provider's, on the scaler's clock."""
    settings = {"managedScaling": {"instanceWarmupPeriod": seconds}}
    await it.client.call("UpdateCapacityProvider", name="cp", autoScalingGroupProvider=settings)


async def test_a_service_grows_and_shrinks_and_its_hosts_with_it(tmp_path: Path) -> None:
    """4 -> 12 -> 2 tasks: hosts are bought, join as their provider's, take tasks; they empty, drain and leave."""
    group = f"asg,max=6,boot=450s,warmup={LONG_WARMUP_SECONDS},provider=cp,type=r5.large"
    async with world(tmp_path, group, scale=150) as it:
        await serve(it.client, 4, ON_TERM="quit", QUIT_SECONDS="1")
        await it.until(lambda: it.running() == 4, 60, "4 tasks run")
        assert it.acts() == [("scale-out", 2)], "from nothing two are launched"
        await it.client.call("UpdateService", service="web", desiredCount=12)
        await warm_up(it, 1)
        await it.until(lambda: len(it.acts()) == 2, 30, "one more is bought")
        await warm_up(it, LONG_WARMUP_SECONDS)
        await it.until(lambda: it.running() == 12, 90, "12 tasks run")
        assert it.acts()[1:] == [("scale-out", 3)]
        instances = await it.instances()
        assert {row["capacityProviderName"] for row in instances} == {"cp"}
        assert {row["ec2InstanceId"] for row in instances} == set(it.states())
        run, agents = it.dev.run(), it.dev.agents()
        assert (len(agents), len(containers(run))) == (3, 12)

        shrunk = len(it.looks())
        await it.client.call("UpdateService", service="web", desiredCount=2)
        left = lambda: [state for state in it.states().values() if state == "Terminated"]  # noqa: E731
        await it.until(lambda: len(left()) >= 1, 120, "an empty host leaves")
        await it.until(lambda: it.running() == 2, 60, "2 tasks run on")
        low = [look.data for look in it.looks()[shrunk:] if look.data["percent"] < 100]
        assert [look["why"] for look in low[:2]] == ["low for 1 of 15 datapoints", "low for 2 of 15 datapoints"]
        first = next(look for look in low if look["act"] == "scale-in")
        assert first["low_points"] >= 15
        assert all(line.data["killed"] == line.data["killed_under_drainer"] == [] for line in it.taken())
        standing = {row["ec2InstanceId"] for row in await it.instances()}
        assert {id_ for id_, state in it.states().items() if state == "InService"} <= standing
        assert not {id_ for id_, state in it.states().items() if state == "Terminated"} & standing
        assert all(look.data["why"] for look in it.looks())

        family = it.dev.family()
        it.dev.interrupt()
        assert it.dev.end(CLEANED_WITHIN_SECONDS) == 0
        assert containers(run) == []
        assert gone(family)
        assert it.dev.left_behind() == []


async def test_a_host_that_dies_is_replaced_with_its_containers_gone(tmp_path: Path) -> None:
    """kill -9 of a machine's process is its end: containers removed, tasks moved to the one that takes its place."""
    async with world(tmp_path, "asg,min=1,max=2,boot=1s,provider=cp", scale=60) as it:
        await serve(it.client, 2)
        await it.until(lambda: it.running() == 2, 60, "2 tasks run")
        (machine,) = [id_ for id_, state in it.states().items() if state == "InService"]
        run, before = it.dev.run(), containers(it.dev.run())
        (agent,) = it.dev.agents()
        agent.kill()
        await it.until(lambda: it.states()[machine] == "Terminated", 60, "the machine is gone")
        assert len(it.taken()[0].data["killed"]) == 2
        await it.until(lambda: len(it.states()) >= 2 and it.running() == 2, 60, "2 tasks run on another")
        assert not set(before) & set(containers(run))
        assert (await it.instances())[0]["ec2InstanceId"] != machine
