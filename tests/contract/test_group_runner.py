"""The runner of groups with real agents that play their containers: it follows, survives, and never doubles."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from apiside import Ecs, call, definition, make_group, until
from ports import free_port

from berth.children import environment
from berth.client import EcsClient
from berth.machines import Machines, Order
from controlplane.config import Config
from controlplane.core.capacity.model import Machine
from controlplane.core.model import Instance, Task
from controlplane.core.state import State
from controlplane.server import ControlPlane, running
from wire.status import InstanceStatus, TaskStatus

WAIT_SECONDS = 60


def environment_of(url: str) -> object:
    def of(order: Order, disk: Path) -> dict[str, str]:
        return environment(
            ECS_CLUSTER=order.cluster,
            ECS_BACKEND_HOST=url,
            ECS_DATADIR=str(disk),
            BERTH_INSTANCE_ID=order.id,
            BERTH_INSTANCE_TYPE=order.instance_type,
            BERTH_AVAILABILITY_ZONE=order.zone,
            BERTH_RUNTIME="scripted",
            BERTH_SCRIPT=json.dumps({}),
            BERTH_RUN="r",
        )

    return of


@contextlib.asynccontextmanager
async def runner(url: str, folder: Path, *, dies: bool = False) -> AsyncIterator[Machines]:
    machines = Machines(
        client=lambda: EcsClient(url), folder=folder, run="r", environment_of=environment_of(url), sweeps=False
    )
    following = asyncio.create_task(machines.run())
    try:
        yield machines
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        if dies:
            machines.kill()
        else:
            await machines.close()


def connected(view: State) -> dict[str, str]:
    """Instance (ARN) by machine, of the agents that are there."""
    alive = (i for i in view.records(Instance) if i.agent_connected and i.status is not InstanceStatus.INACTIVE)
    return {instance.ec2_instance_id: instance.arn for instance in alive}


async def test_it_follows_the_group_up_and_down(tmp_path: Path) -> None:
    async with running(Config(port=0, healthy_after_seconds=0)) as plane, runner(plane.url, tmp_path) as machines:
        await make_group(plane.url, "asg", BootSeconds=0, MinSize=2)
        view = await until(plane, lambda view: len(connected(view)) == 2)
        assert set(connected(view)) == set(machines.ids) == {m.id for m in view.records(Machine)}
        assert {i.group for i in view.records(Instance)} == {"asg"}
        await call(plane.url, "UpdateAutoScalingGroup", AutoScalingGroupName="asg", MinSize=0, DesiredCapacity=0)
        await until(plane, lambda view: all(m.state == "Terminated" for m in view.records(Machine)))
        assert (machines.ids, list((tmp_path / "machines").iterdir())) == ([], [])


async def test_killed_and_started_again_it_goes_on_with_the_same_machines(tmp_path: Path) -> None:
    """The runner and its agents die without a word; the next one starts the same machines on the same disks."""
    async with running(Config(port=0, healthy_after_seconds=0)) as plane:
        ecs = Ecs(plane.url)
        await make_group(plane.url, "asg", BootSeconds=0, MinSize=1)
        await ecs.register_task_definition(**definition())
        async with runner(plane.url, tmp_path, dies=True):
            before = connected(await until(plane, lambda view: len(connected(view)) == 1))
            await ecs.run_task(taskDefinition="web")
            await until(plane, lambda view: all(t.last_status is TaskStatus.RUNNING for t in view.records(Task)))
        await until(plane, lambda view: not connected(view))
        async with runner(plane.url, tmp_path):
            after = await until(plane, lambda view: len(connected(view)) == 1)
            assert connected(after) == before
            assert [machine.state for machine in after.records(Machine)] == ["InService"]


async def test_a_control_plane_that_restarts_finds_the_same_machines(tmp_path: Path) -> None:
    config = Config(port=free_port(), healthy_after_seconds=0, data_dir=tmp_path / "cp")
    async with contextlib.AsyncExitStack() as stack:
        async with running(config) as plane:
            url = plane.url
            await make_group(url, "asg", BootSeconds=0, MinSize=1)
            machines = await stack.enter_async_context(runner(url, tmp_path / "disks"))
            before = connected(await until(plane, lambda view: len(connected(view)) == 1))
        async with running(config) as again:
            await _reconnected(again, before)
            assert machines.ids == list(before)


async def _reconnected(plane: ControlPlane, before: dict[str, str]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        await until(plane, lambda view: connected(view) == before)


async def test_a_machine_may_be_a_command(tmp_path: Path) -> None:
    """It is told who it is; when it ends, the machine is gone and another is launched."""
    async with running(Config(port=0, healthy_after_seconds=0)) as plane, runner(plane.url, tmp_path):
        said = tmp_path / "said"
        command = f"echo $BERTH_INSTANCE_ID $BERTH_INSTANCE_TYPE $ECS_BACKEND_HOST >> {said}; sleep 0.2"
        await make_group(plane.url, "vms", BootSeconds=0, MinSize=1, Command=command)
        view = await until(plane, lambda view: len(list(view.records(Machine))) >= 2)
        first = min(view.records(Machine), key=lambda machine: machine.launched_at)
        assert first.state == "Terminated"
        assert said.read_text().splitlines()[0] == f"{first.id} r5.large {plane.url}"
