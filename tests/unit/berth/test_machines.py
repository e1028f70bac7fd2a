"""What a runner of machines says to the control plane, and to whoever looks on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import pytest

from berth import machines
from berth.machines import Machines
from wire.errors import AwsError

ARN = "arn:aws:ecs:us-east-1:123456789012:container-instance/default/1"
MACHINE = {
    "id": "i-1",
    "group": "asg",
    "cluster": "default",
    "instanceType": "r5.large",
    "zone": "us-east-1a",
    "command": "",
    "containerInstanceArn": ARN,
    "isOn": False,
}


class ControlPlane:
    """Answers with one machine until its end is told, or with a refusal."""

    def __init__(self) -> None:
        self.refusals: list[AwsError] = []
        self.asked = 0
        self.ended: list[str] = []
        self.news = asyncio.Condition()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def call(self, _operation: str, *, ended: list[str], **_: str) -> dict[str, Any]:
        async with self.news:
            self.asked += 1
            self.news.notify_all()
            if self.refusals:
                raise self.refusals.pop(0)
            self.ended += ended
        return {"machines": [] if self.ended else [MACHINE]}

    async def when(self, asked: int) -> None:
        async with asyncio.timeout(30), self.news:
            await self.news.wait_for(lambda: self.asked >= asked)


@contextlib.asynccontextmanager
async def runner(plane: ControlPlane, folder: Path, agent: str, told: list[str]) -> AsyncIterator[None]:
    script = folder / "agent"
    script.write_text(agent)
    follower = Machines(
        client=lambda: plane,  # type: ignore[arg-type,return-value] # as much of a client as is asked for
        folder=folder,
        run="r",
        environment_of=lambda _order, _disk: {},
        agent=("/bin/sh", str(script)),
        tell=told.append,
    )
    following = asyncio.create_task(follower.run())
    try:
        yield
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await follower.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(machines, "SWEEP_AGAIN_SECONDS", 0.01)


async def test_an_end_is_told_when_its_containers_are_gone_and_not_before(tmp_path: Path) -> None:
    """The third sweep works; whoever looks on hears of the failures once."""
    plane, told, sweeps = ControlPlane(), list[str](), tmp_path / "sweeps"
    agent = f'echo "$*" >>{sweeps}; [ $(wc -l <{sweeps}) -ge 3 ]'
    async with runner(plane, tmp_path, agent, told):
        while not plane.ended:
            await plane.when(plane.asked + 1)
        assert sweeps.read_text().splitlines() == [f"sweep --run r --instance {ARN}"] * 3
    assert plane.ended == ["i-1"]
    assert [ARN in line and "could not be removed" in line for line in told] == [True]


async def test_a_refusal_is_said_once_and_what_may_pass_is_not(tmp_path: Path) -> None:
    plane, told = ControlPlane(), list[str]()
    wrong_keys = AwsError("The security token is invalid.", code="UnrecognizedClientException")
    plane.refusals = [
        AwsError("Rate exceeded", code="ThrottlingException"),
        AwsError("Not now.", code="ServerException", status=500),
        wrong_keys,
        wrong_keys,
    ]
    async with runner(plane, tmp_path, "exit 0", told):
        await plane.when(6)
    (line,) = told
    assert line.startswith("The control plane refused to say which hosts there are to be: UnrecognizedClientExc")
