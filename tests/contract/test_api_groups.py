"""Instance groups over the wire: what they are asked, what they refuse, and a runner that does as it is told."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from apiside import Ecs, call, definition, make_group, until
from scripted_agent import ScriptedAgent

from controlplane.config import Config
from controlplane.core.capacity.model import Group, Machine
from controlplane.core.model import Task
from controlplane.server import ControlPlane, running
from wire.status import TaskStatus
from wire.story import Kind

WAIT_SECONDS = 60


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    """Its scaler looks once a second."""
    async with running(Config(port=0, healthy_after_seconds=0, time_scale=60)) as plane:
        yield plane


async def group_of(url: str, name: str = "asg") -> dict[str, Any]:
    status, answer = await call(url, "DescribeAutoScalingGroups", AutoScalingGroupNames=[name])
    assert status == 200
    return answer["AutoScalingGroups"][0]


async def sync(url: str, *ended: str, runner: str = "r") -> dict[str, bool]:
    """(machine, is on) as a runner is told."""
    status, answer = await call(url, "SyncMachines", runner=runner, ended=list(ended))
    assert status == 200, answer
    return {order["id"]: order["isOn"] for order in answer["machines"]}


async def until_told(url: str, count: int, *, is_on: bool = True) -> list[str]:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            told = [id_ for id_, on in (await sync(url)).items() if on is is_on]
            if len(told) >= count:
                return told
            await asyncio.sleep(0.05)


async def provide(ecs: Ecs, plane: ControlPlane, **members: Any) -> None:
    """A group `asg`, its provider `cp` with managed scaling, and that as the default strategy of the cluster."""
    arn = await make_group(plane.url, "asg", BootSeconds=0, **members)
    await ecs.create_capacity_provider(
        name="cp",
        autoScalingGroupProvider={
            "autoScalingGroupArn": arn,
            "managedScaling": {"status": "ENABLED", "instanceWarmupPeriod": 10000},
            "managedTerminationProtection": "ENABLED",
        },
    )
    await ecs.put_cluster_capacity_providers(
        cluster="default",
        capacityProviders=["cp"],
        defaultCapacityProviderStrategy=[{"capacityProvider": "cp", "weight": 1}],
    )


async def test_a_group_is_made_changed_and_deleted(plane: ControlPlane) -> None:
    arn = await make_group(plane.url, "asg", MinSize=1, InstanceTypes=["r5.large", "m5.xlarge"], BootSeconds=0)
    assert arn.endswith(":autoScalingGroupName/asg")
    made = await group_of(plane.url)
    assert (made["MinSize"], made["DesiredCapacity"], made["MaxSize"]) == (1, 1, 9)
    (told,) = await until_told(plane.url, 1)
    assert (await call(plane.url, "UpdateAutoScalingGroup", AutoScalingGroupName="asg", MinSize=2))[0] == 200
    assert (await group_of(plane.url))["DesiredCapacity"] == 2, "the bounds move it along"
    both = await until_told(plane.url, 2)
    status, answer = await call(plane.url, "DeleteAutoScalingGroup", AutoScalingGroupName="asg")
    assert (status, answer["__type"]) == (400, "ResourceInUseFault")
    await call(plane.url, "DeleteAutoScalingGroup", AutoScalingGroupName="asg", ForceDelete=True)
    off = await until_told(plane.url, 2, is_on=False)
    assert sorted(off) == sorted(both)
    assert told in off
    await sync(plane.url, *off)
    await until(plane, lambda view: not [m for m in view.records(Machine) if m.state != "Terminated"])
    await until(plane, lambda view: not list(view.records(Group)))
    assert (await call(plane.url, "DescribeAutoScalingGroups"))[1]["AutoScalingGroups"] == []


@pytest.mark.parametrize(
    ("operation", "members", "sentence"),
    [
        ("CreateAutoScalingGroup", {"AutoScalingGroupName": "a b", "MaxSize": 1}, "1 to 255 letters"),
        ("CreateAutoScalingGroup", {"AutoScalingGroupName": "b"}, "missing required field MaxSize"),
        ("CreateAutoScalingGroup", {"AutoScalingGroupName": "b", "MaxSize": 1, "MinSize": 2}, "MinSize <= MaxSize"),
        ("CreateAutoScalingGroup", {"AutoScalingGroupName": "b", "MaxSize": "x"}, "Expected int, got str (MaxSize)"),
        ("CreateAutoScalingGroup", {"AutoScalingGroupName": "b", "MaxSize": 1, "InstanceTypes": ["r9"]}, "nearest are"),
        ("CreateAutoScalingGroup", {"AutoScalingGroupName": "asg", "MaxSize": 1}, "exists already"),
        ("CreateAutoScalingGroup", {"AutoScalingGroupName": "b", "MaxSize": 1, "BootSeconds": -1}, "(BootSeconds)"),
        ("CreateAutoScalingGroup", {"AutoScalingGroupName": "b", "MaxSize": 1, "Command": 5}, "(Command)"),
        ("SetDesiredCapacity", {"AutoScalingGroupName": "asg", "DesiredCapacity": 99}, "between MinSize 0"),
        ("SetDesiredCapacity", {"AutoScalingGroupName": "none", "DesiredCapacity": 1}, "there are: asg"),
        ("TerminateInstanceInAutoScalingGroup", {"InstanceId": "i-0"}, "is a member of a group"),
        ("SetInstanceHealth", {"InstanceId": "i-0", "HealthStatus": "Unhealthy"}, "is a member of a group"),
        ("SyncMachines", {}, "missing required field runner"),
    ],
)
async def test_bad_requests_change_nothing(
    plane: ControlPlane, operation: str, members: dict[str, Any], sentence: str
) -> None:
    await make_group(plane.url, "asg")
    revision = plane.store.view().revision
    status, answer = await call(plane.url, operation, **members)
    assert status == 400
    assert sentence in answer["message"]
    assert plane.store.view().revision == revision


async def test_an_unplaceable_task_waits_and_runs_on_a_host_that_is_bought(plane: ControlPlane, ecs: Ecs) -> None:
    """RunTask -> PROVISIONING -> the scaler looks -> two machines -> one registers as its group's -> RUNNING."""
    await provide(ecs, plane)
    await ecs.register_task_definition(**definition())
    answer = await ecs.run_task(taskDefinition="web")
    (task,) = answer["tasks"]
    assert (task["lastStatus"], task["capacityProviderName"], answer["failures"]) == ("PROVISIONING", "cp", [])
    assert "containerInstanceArn" not in task
    assert "launchType" not in task
    machines = await until_told(plane.url, 2)
    async with ScriptedAgent(plane.url, instance_id=machines[0]) as agent:
        await agent.is_told(task["taskArn"], "RUNNING")
        await until(plane, lambda view: view.task(task["taskArn"]).last_status is TaskStatus.RUNNING)
        (shown,) = (await ecs.describe_container_instances(containerInstances=[agent.arn]))["containerInstances"]
        assert (shown["capacityProviderName"], shown["ec2InstanceId"]) == ("cp", machines[0])
        rows = {row["InstanceId"]: row for row in (await group_of(plane.url))["Instances"]}
        assert rows[machines[0]]["ProtectedFromScaleIn"]
        assert not rows[machines[1]]["ProtectedFromScaleIn"]
        # The runner tells of an end that nobody asked for: the task is lost, the machine is replaced.
        await sync(plane.url, machines[0])
        lost = await until(plane, lambda view: view.task(task["taskArn"]).last_status is TaskStatus.STOPPED)
        assert lost.task(task["taskArn"]).stopped_reason == f"Host EC2 (instance {machines[0]}) terminated."
    assert machines[0] not in await until_told(plane.url, 2)


async def test_a_service_without_launch_type_takes_the_default_strategy(plane: ControlPlane, ecs: Ecs) -> None:
    await provide(ecs, plane)
    await ecs.register_task_definition(**definition())
    made = (await ecs.create_service(serviceName="s", taskDefinition="web", desiredCount=2))["service"]
    assert made["capacityProviderStrategy"] == [{"capacityProvider": "cp", "weight": 1}]
    assert "launchType" not in made
    await until(plane, lambda view: sum(t.last_status is TaskStatus.PROVISIONING for t in view.records(Task)) == 2)
    (shown,) = (await ecs.describe_services(services=["s"]))["services"]
    assert (shown["pendingCount"], shown["runningCount"]) == (2, 0)
    machines = await until_told(plane.url, 2)
    async with ScriptedAgent(plane.url, instance_id=machines[0]):
        await until(plane, lambda view: sum(t.last_status is TaskStatus.RUNNING for t in view.records(Task)) == 2)
        (shown,) = (await ecs.describe_services(services=["s"]))["services"]
        assert any("has started 2 tasks" in event["message"] for event in shown["events"])


async def test_launch_type_ec2_is_ignored_by_managed_scaling(plane: ControlPlane, ecs: Ecs) -> None:
    await provide(ecs, plane)
    await ecs.register_task_definition(**definition())
    async with ScriptedAgent(plane.url, cpu=512) as agent:
        answer = await ecs.run_task(taskDefinition="web", launchType="EC2")
        assert answer["tasks"] == []
        assert [(f["arn"], f["reason"]) for f in answer["failures"]] == [(agent.arn, "RESOURCE:CPU")]
    status, answer = await call(
        plane.url,
        "RunTask",
        taskDefinition="web",
        launchType="EC2",
        capacityProviderStrategy=[{"capacityProvider": "cp"}],
    )
    assert (status, answer["message"]) == (
        400,
        "Specify either Launch Type or Capacity Provider Strategy, but not both.",
    )


async def test_a_hook_is_told_and_holds_the_launch_up(plane: ControlPlane) -> None:
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def hear(request: web.Request) -> web.Response:
        await told.put(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hear)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    hook = {"LifecycleHookName": "h", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING", "Webhook": url}
    await make_group(plane.url, "asg", BootSeconds=0, MinSize=1, LifecycleHookSpecificationList=[hook])
    said = await asyncio.wait_for(told.get(), WAIT_SECONDS)
    id_ = said["EC2InstanceId"]
    assert (said["LifecycleHookName"], said["LifecycleTransition"]) == ("h", "autoscaling:EC2_INSTANCE_LAUNCHING")
    assert (await group_of(plane.url))["Instances"][0]["LifecycleState"] == "Pending:Wait"
    members = {"InstanceId": id_, "LifecycleHookName": "h"}
    beat = {**members, "LifecycleActionResult": "ABANDON"}
    assert (await call(plane.url, "RecordLifecycleActionHeartbeat", **beat))[0] == 200
    (wait,) = plane.store.view().record(Machine, id_).waits
    assert not wait.result, "a heartbeat prolongs; it completes nothing"
    done = {**members, "LifecycleActionResult": "CONTINUE", "LifecycleActionToken": said["LifecycleActionToken"]}
    assert (await call(plane.url, "CompleteLifecycleAction", **done | {"LifecycleActionToken": "x"}))[0] == 400
    assert (await call(plane.url, "CompleteLifecycleAction", **done))[0] == 200
    await until(plane, lambda view: view.record(Machine, id_).state == "InService")
    await runner.cleanup()


async def test_groups_machines_and_the_scaler_survive_a_restart(tmp_path: Any) -> None:
    config = Config(port=0, healthy_after_seconds=0, data_dir=tmp_path, time_scale=60)
    async with running(config) as plane:
        ecs = Ecs(plane.url)
        await provide(ecs, plane)
        await ecs.register_task_definition(**definition())
        await ecs.run_task(taskDefinition="web")
        before = await until_told(plane.url, 2)
    async with running(config) as plane:
        assert sorted(await until_told(plane.url, 2)) == sorted(before)
        rows = (await group_of(plane.url))["Instances"]
        assert sorted(row["InstanceId"] for row in rows) == sorted(before), "nothing is bought twice"
        async with ScriptedAgent(plane.url, instance_id=before[0]):
            await until(plane, lambda view: all(t.last_status is TaskStatus.RUNNING for t in view.records(Task)))
        lines, _ = await plane.store.story(0, 10_000)
        looks = [line for _, line in lines if line.kind == Kind.SCALER_LOOK]
        assert {line.data["act"] for line in looks} <= {"scale-out", "none"}
        assert sum(line.data["act"] == "scale-out" for line in looks) == 1
