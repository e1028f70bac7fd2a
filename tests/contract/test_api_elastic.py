"""Groups beside what uses them: task sets and daemons, a load balancer while a host goes, edits while a hook waits."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from apiside import Ecs, call, definition, make_group, until
from botocore.exceptions import ClientError
from haproxy_here import PROGRAM, needs_haproxy
from scripted_agent import ScriptedAgent
from test_api_groups import group_of, provide, sync, until_told
from test_api_target_groups import free_port, serving
from test_api_target_groups import make as make_target_group

from controlplane.config import Config
from controlplane.core.capacity.model import Machine
from controlplane.core.model import Task
from controlplane.core.state import State
from controlplane.server import ControlPlane, running
from wire.status import TaskStatus
from wire.story import Kind

STRATEGY = [{"capacityProvider": "cp", "weight": 1}]
DELAY_SECONDS = 1


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    """Its scaler looks once a second."""
    async with running(Config(port=0, healthy_after_seconds=0, time_scale=60, haproxy=PROGRAM)) as plane:
        yield plane


def by_status(view: State, status: TaskStatus) -> list[Task]:
    return [task for task in view.records(Task) if task.last_status is status]


async def end(plane: ControlPlane, machine: str) -> None:
    """As a runner does that was told to end it."""
    await until(plane, lambda view: view.record(Machine, machine).state in ("Terminating:Proceed", "Terminated"))
    await sync(plane.url, machine)
    await until(plane, lambda view: view.record(Machine, machine).state == "Terminated")


async def test_a_task_set_has_a_strategy_of_its_own(plane: ControlPlane, ecs: Ecs) -> None:
    """Its tasks wait for the provider's machines; those of the set of launch type EC2 beside it go anywhere."""
    await provide(ecs, plane)
    await ecs.register_task_definition(**definition())
    external = {"deploymentController": {"type": "EXTERNAL"}, "desiredCount": 1}
    await ecs.create_service(serviceName="web", **external)
    ours = {"cluster": "default", "service": "web", "taskDefinition": "web"}
    plain = (await ecs.create_task_set(**ours, launchType="EC2"))["taskSet"]
    assert plain["launchType"] == "EC2"
    made = (await ecs.create_task_set(**ours, capacityProviderStrategy=STRATEGY))["taskSet"]
    assert made["capacityProviderStrategy"] == STRATEGY
    assert "launchType" not in made
    assert (await ecs.create_task_set(**ours))["taskSet"]["capacityProviderStrategy"] == STRATEGY, "by default"
    await until(plane, lambda view: len(by_status(view, TaskStatus.PROVISIONING)) == 2)
    waiting = {task.deployment for task in by_status(plane.store.view(), TaskStatus.PROVISIONING)}
    assert plain["id"] not in waiting
    machines = await until_told(plane.url, 2)
    async with ScriptedAgent(plane.url, instance_id=machines[0], cpu=4096, memory_mib=4 * 7372):
        await until(plane, lambda view: len(by_status(view, TaskStatus.RUNNING)) == 3)
    with pytest.raises(ClientError, match="is associated with cluster"):
        await ecs.delete_capacity_provider(capacityProvider="cp")
    with pytest.raises(ClientError, match="not both"):
        await ecs.create_task_set(**ours, launchType="EC2", capacityProviderStrategy=STRATEGY)
    with pytest.raises(ClientError, match="not associated"):
        await ecs.create_task_set(**ours, capacityProviderStrategy=[{"capacityProvider": "other", "weight": 1}])


async def test_a_service_moves_between_launch_type_and_strategies(plane: ControlPlane, ecs: Ecs) -> None:
    """With a forced deployment only, as AWS has it; an empty strategy is the launch type, not the cluster's default."""
    await provide(ecs, plane)
    await ecs.register_task_definition(**definition())
    await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=1, launchType="EC2")

    async def launch() -> dict[str, Any]:
        service = (await ecs.describe_services(services=["web"]))["services"][0]
        current = service["currentServiceDeployment"]
        course = (await ecs.describe_service_deployments(serviceDeploymentArns=[current]))["serviceDeployments"][0]
        revision = course["targetServiceRevision"]["arn"]
        brought = (await ecs.describe_service_revisions(serviceRevisionArns=[revision]))["serviceRevisions"][0]
        shown = [
            {member: shape[member] for member in ("launchType", "capacityProviderStrategy") if member in shape}
            for shape in (service, service["deployments"][0], brought)
        ]
        assert shown[1:] == shown[:-1]
        return shown[0]

    heavier = [{"capacityProvider": "cp", "weight": 2}]
    course = [(STRATEGY, {"capacityProviderStrategy": STRATEGY}), (heavier, {"capacityProviderStrategy": heavier})]
    for strategy, shown in [*course, ([], {"launchType": "EC2"})]:
        before = await launch()
        with pytest.raises(ClientError, match="you must force a new deployment"):
            await ecs.update_service(service="web", capacityProviderStrategy=strategy)
        assert await launch() == before
        await ecs.update_service(service="web", capacityProviderStrategy=strategy, forceNewDeployment=True)
        assert await launch() == shown
        await ecs.update_service(service="web", capacityProviderStrategy=strategy, desiredCount=1)
    await until(plane, lambda view: not by_status(view, TaskStatus.PROVISIONING))


async def test_a_daemon_has_a_launch_type_and_no_strategy(plane: ControlPlane, ecs: Ecs) -> None:
    """AWS refuses it, also where the strategy is the cluster's default; its tasks are on the provider's hosts too."""
    await provide(ecs, plane, MinSize=1)
    await ecs.register_task_definition(**definition())
    daemon = {"serviceName": "log", "taskDefinition": "web", "schedulingStrategy": "DAEMON"}
    for members in ({}, {"capacityProviderStrategy": STRATEGY}):
        with pytest.raises(ClientError, match="not supported when you create a service using the DAEMON scheduling"):
            await ecs.create_service(**daemon, **members)
    await ecs.create_service(**daemon, launchType="EC2")
    with pytest.raises(ClientError, match="DAEMON"):
        await ecs.update_service(service="log", capacityProviderStrategy=STRATEGY, forceNewDeployment=True)
    (machine,) = await until_told(plane.url, 1)
    async with ScriptedAgent(plane.url, instance_id=machine):
        await until(plane, lambda view: len(by_status(view, TaskStatus.RUNNING)) == 1)
        rows = {row["InstanceId"]: row for row in (await group_of(plane.url))["Instances"]}
        assert not rows[machine]["ProtectedFromScaleIn"], "daemons do not make a host occupied"


@needs_haproxy
async def test_a_host_that_goes_takes_its_target_out_first(plane: ControlPlane, ecs: Ecs) -> None:
    """Scale-in -> DRAINING -> a task stands in -> draining target -> the delay -> stop -> only then the end."""
    group = await make_target_group(
        plane, listen=[free_port()], deregistrationDelaySeconds=DELAY_SECONDS, healthCheckIntervalSeconds=1
    )
    arn = await make_group(plane.url, "asg", BootSeconds=0, DesiredCapacity=2)
    settings = {"autoScalingGroupArn": arn, "managedScaling": {"status": "DISABLED"}}
    await ecs.create_capacity_provider(name="cp", autoScalingGroupProvider=settings)
    first, second = await until_told(plane.url, 2)
    async with (
        serving() as port,
        ScriptedAgent(plane.url, instance_id=first) as one,
        ScriptedAgent(plane.url, instance_id=second),
    ):
        registered = {**definition(portMappings=[{"containerPort": port}]), "networkMode": "host"}
        await ecs.register_task_definition(**registered)
        given = [{"targetGroupArn": group["targetGroupArn"], "containerName": "main", "containerPort": port}]
        await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=1, loadBalancers=given)
        view = await until(plane, lambda view: len(by_status(view, TaskStatus.RUNNING)) == 1)
        (old,) = by_status(view, TaskStatus.RUNNING)
        victim, other = (first, second) if old.instance == one.arn else (second, first)
        await call(plane.url, "SetInstanceProtection", InstanceIds=[other], ProtectedFromScaleIn=True)
        await call(plane.url, "SetDesiredCapacity", AutoScalingGroupName="asg", DesiredCapacity=1)
        await end(plane, victim)
        view = plane.store.view()
    assert view.task(old.arn).last_status is TaskStatus.STOPPED
    lines = [line for _, line in (await plane.store.story(0, 10_000))[0]]

    def at(kind: Kind, subject: str, **members: str) -> float:
        return next(
            line.at
            for line in lines
            if (line.kind, line.subject) == (kind, subject) and members.items() <= line.data.items()
        )

    (new,) = [task.arn for task in view.records(Task) if task.arn != old.arn]
    steps = [
        at(Kind.MACHINE_STATE, victim, state="Terminating:Wait"),
        at(Kind.TASK_STATUS, new, last="RUNNING"),
        at(Kind.TARGET, old.arn, state="draining"),
        at(Kind.TARGET, old.arn, state="unused"),
        at(Kind.TASK_TOLD, old.arn, desired="STOPPED"),
        at(Kind.TASK_STATUS, old.arn, last="STOPPED"),
        at(Kind.MACHINE_STATE, victim, state="Terminating:Proceed"),
    ]
    assert steps == sorted(steps)
    assert steps[3] - steps[2] >= DELAY_SECONDS
    taken = [line.data for line in lines if line.kind == Kind.INSTANCE_TAKEN]
    assert [(each["killed"], each["killed_under_drainer"]) for each in taken] == [([], [])]


async def test_the_bounds_of_a_group_change_while_its_hooks_wait(plane: ControlPlane) -> None:
    """A smaller group takes a waiting machine away, a larger one adds beside; what was completed does not come back."""
    hooks = [
        {"LifecycleHookName": name, "LifecycleTransition": f"autoscaling:EC2_INSTANCE_{transition}"}
        for name, transition in (("in", "LAUNCHING"), ("out", "TERMINATING"))
    ]
    await make_group(plane.url, "asg", BootSeconds=0, MinSize=2, MaxSize=2, LifecycleHookSpecificationList=hooks)

    async def states() -> dict[str, str]:
        return {row["InstanceId"]: row["LifecycleState"] for row in (await group_of(plane.url))["Instances"]}

    async def until_states(*wanted: str) -> dict[str, str]:
        await until(
            plane,
            lambda view: sorted(m.state for m in view.records(Machine) if m.state != "Terminated") == sorted(wanted),
        )
        return await states()

    async def change(**members: Any) -> None:
        status, answer = await call(plane.url, "UpdateAutoScalingGroup", AutoScalingGroupName="asg", **members)
        assert status == 200, answer

    async def complete(machine: str, hook: str) -> int:
        members = {"InstanceId": machine, "LifecycleHookName": hook, "LifecycleActionResult": "CONTINUE"}
        return (await call(plane.url, "CompleteLifecycleAction", **members))[0]

    both = await until_states("Pending:Wait", "Pending:Wait")
    await change(MinSize=1, MaxSize=1)
    found = await until_states("Pending:Wait", "Terminating:Wait")
    (stays,) = [id_ for id_, state in found.items() if state == "Pending:Wait"]
    (goes,) = both.keys() - {stays}
    assert await complete(goes, "in") == 400, "its launch is over"
    await change(MinSize=2, MaxSize=3)
    await until_states("Pending:Wait", "Pending:Wait", "Terminating:Wait")
    assert (await complete(stays, "in"), await complete(goes, "out")) == (200, 200)
    await end(plane, goes)
    await change(MinSize=0, DesiredCapacity=0)
    assert set((await until_states("Terminating:Wait", "Terminating:Wait")).values()) == {"Terminating:Wait"}
