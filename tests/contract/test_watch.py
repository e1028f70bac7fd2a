"""`berth watch` on a control plane with agents that obey: it says what happens, and ends as the deployment ends."""

import pytest
from apiside import Ecs, definition, until
from scripted_agent import ScriptedAgent

from berth.cli.watch import _watch
from berth.client import EcsClient
from berth.watching import Ending
from controlplane.core.rollouts import ServiceDeployment
from controlplane.server import ControlPlane

SMALL = {"cpu": 100, "memory": 100}


async def make(ecs: Ecs, **members: object) -> None:
    await ecs.register_task_definition(**definition(**SMALL))
    await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=1, **members)


async def settled(plane: ControlPlane) -> None:
    await until(plane, lambda view: any(c.status == "SUCCESSFUL" for c in view.records(ServiceDeployment)))


async def watch(plane: ControlPlane, patience_seconds: float) -> Ending:
    async with EcsClient(plane.url) as client:
        return await _watch(client, "default", "web", patience_seconds)


async def test_stable(plane: ControlPlane, ecs: Ecs, capsys: pytest.CaptureFixture[str]) -> None:
    async with ScriptedAgent(plane.url):
        await make(ecs)
        await settled(plane)
        await ecs.update_service(service="web", forceNewDeployment=True)
        assert await watch(plane, 60) is Ending.STABLE
    told = capsys.readouterr().out
    assert "deployment completed." in told
    assert "service deployment SUCCESSFUL" in told
    assert told.strip().splitlines()[-1] == "web is stable."


async def test_failed(plane: ControlPlane, ecs: Ecs, capsys: pytest.CaptureFixture[str]) -> None:
    async with ScriptedAgent(plane.url) as agent:
        await make(ecs)
        await settled(plane)
        agent.obedient = False
        answer = await ecs.update_service(service="web", forceNewDeployment=True)
        await ecs.stop_service_deployment(serviceDeploymentArn=answer["service"]["currentServiceDeployment"])
        assert await watch(plane, 60) is Ending.FAILED
    assert "rolling back to deployment" in capsys.readouterr().out


@pytest.mark.parametrize("is_protected", [False, True])
async def test_blocked(
    plane: ControlPlane,
    ecs: Ecs,
    capsys: pytest.CaptureFixture[str],
    is_protected: bool,  # noqa: FBT001
) -> None:
    """By its own settings at once; by a protected task once patience has run out."""
    settings = {"minimumHealthyPercent": 0 if is_protected else 100, "maximumPercent": 200 if is_protected else 100}
    async with ScriptedAgent(plane.url):
        await make(ecs, deploymentConfiguration=settings)
        await settled(plane)
        (task,) = (await ecs.list_tasks())["taskArns"]
        if is_protected:
            await ecs.update_task_protection(cluster="default", tasks=[task], protectionEnabled=True)
        await ecs.update_service(service="web", forceNewDeployment=True)
        assert await watch(plane, 1) is Ending.BLOCKED
    told = capsys.readouterr().out
    if is_protected:
        assert f"BLOCKED (protection): by {task[-32:][:8]}, until" in told
    else:
        assert "BLOCKED (settings): minimumHealthyPercent keeps 1 of 1 tasks" in told
