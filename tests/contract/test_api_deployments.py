"""Service deployments through boto3: settings given and shown, breaker, alarms, stop, history, revisions."""

import json
from typing import Any

import aiohttp
import pytest
from apiside import Ecs, definition, until
from botocore.exceptions import ClientError
from scripted_agent import ScriptedAgent

from controlplane.core.rollouts import ServiceDeployment
from controlplane.core.state import State
from controlplane.server import ControlPlane

SMALL = {"cpu": 100, "memory": 100}
BREAKER = {
    "enable": True,
    "rollback": True,
    "resetOnHealthyTask": False,
    "thresholdConfiguration": {"type": "COUNT", "value": 4},
}


async def service_of(ecs: Ecs) -> dict[str, Any]:
    answer: dict[str, Any] = (await ecs.describe_services(services=["web"]))["services"][0]
    return answer


async def described(ecs: Ecs, arn: str) -> dict[str, Any]:
    answer = await ecs.describe_service_deployments(serviceDeploymentArns=[arn])
    shown: dict[str, Any] = answer["serviceDeployments"][0]
    return shown


def statuses(view: State) -> list[str]:
    return [str(course.status) for course in view.records(ServiceDeployment)]


async def ring(plane: ControlPlane, body: dict[str, Any]) -> int:
    async with aiohttp.ClientSession() as session, session.post(f"{plane.url}/_berth/alarms", json=body) as answer:
        await answer.read()
        return answer.status


async def test_a_deployment_from_request_to_history(plane: ControlPlane, ecs: Ecs) -> None:
    for _ in range(2):
        await ecs.register_task_definition(**definition(**SMALL))
    configuration = {
        "deploymentCircuitBreaker": BREAKER,
        "alarms": {"alarmNames": ["errors"], "enable": True, "rollback": True},
    }
    async with ScriptedAgent(plane.url) as agent:
        made = await ecs.create_service(
            serviceName="web",
            taskDefinition="web:1",
            desiredCount=2,
            deploymentConfiguration=configuration,
            healthCheckGracePeriodSeconds=5,
        )
        shown = made["service"]["deploymentConfiguration"]
        assert shown["deploymentCircuitBreaker"] == BREAKER
        assert shown["alarms"]["alarmNames"] == ["errors"]
        assert made["service"]["healthCheckGracePeriodSeconds"] == 5
        await until(plane, lambda view: statuses(view) == ["SUCCESSFUL"])
        first = (await service_of(ecs))["currentServiceDeployment"]
        course = await described(ecs, first)
        assert (course["status"], course["sourceServiceRevisions"]) == ("SUCCESSFUL", [])
        assert course["targetServiceRevision"]["runningTaskCount"] == 2
        assert course["deploymentCircuitBreaker"] == {
            "status": "MONITORING_COMPLETE",
            "failureCount": 0,
            "threshold": 4,
        }
        assert course["createdAt"] <= course["startedAt"] <= course["finishedAt"]

        agent.obedient = False
        await ecs.update_service(service="web", taskDefinition="web:2")
        assert await ring(plane, {"name": "errors", "state": "LOUD"}) == 400
        assert await ring(plane, {"name": "errors", "state": "ALARM"}) == 200
        view = await until(plane, lambda view: "ROLLBACK_SUCCESSFUL" in statuses(view))
        newest = await described(ecs, view.service(made["service"]["serviceArn"]).current)  # type: ignore[union-attr]
        assert newest["alarms"] == {
            "status": "TRIGGERED",
            "alarmNames": ["errors"],
            "triggeredAlarmNames": ["errors"],
        }
        assert newest["rollback"]["serviceRevisionArn"] == course["targetServiceRevision"]["arn"]
        assert (await service_of(ecs))["taskDefinition"].endswith("web:1")

    listed = (await ecs.list_service_deployments(service="web"))["serviceDeployments"]
    assert [brief["status"] for brief in listed] == ["ROLLBACK_SUCCESSFUL", "SUCCESSFUL"]
    page = await ecs.list_service_deployments(service="web", maxResults=1)
    rest = await ecs.list_service_deployments(service="web", nextToken=page["nextToken"])
    assert [brief["serviceDeploymentArn"] for brief in rest["serviceDeployments"]] == [first]
    only = await ecs.list_service_deployments(service="web", status=["SUCCESSFUL"])
    assert [brief["serviceDeploymentArn"] for brief in only["serviceDeployments"]] == [first]
    revisions = await ecs.describe_service_revisions(
        serviceRevisionArns=[brief["targetServiceRevisionArn"] for brief in listed]
    )
    assert [shown["taskDefinition"][-5:] for shown in revisions["serviceRevisions"]] == ["web:2", "web:1"]
    assert revisions["serviceRevisions"][0]["containerImages"][0]["containerName"] == "main"


async def test_a_user_stops_a_deployment_and_it_goes_back(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(**SMALL))
    async with ScriptedAgent(plane.url) as agent:
        await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=1)
        await until(plane, lambda view: statuses(view) == ["SUCCESSFUL"])
        agent.obedient = False
        under_way = (await ecs.update_service(service="web", forceNewDeployment=True))["service"]
        arn = under_way["currentServiceDeployment"]
        with pytest.raises(ClientError, match="The only valid stopType is ROLLBACK"):
            await ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ABORT")
        assert (await ecs.stop_service_deployment(serviceDeploymentArn=arn))["serviceDeploymentArn"] == arn
        await until(plane, lambda view: "ROLLBACK_SUCCESSFUL" in statuses(view))
        with pytest.raises(ecs.client.exceptions.ConflictException):
            await ecs.stop_service_deployment(serviceDeploymentArn=arn)
        with pytest.raises(ecs.client.exceptions.ServiceDeploymentNotFoundException):
            await ecs.stop_service_deployment(serviceDeploymentArn=arn[:-1])


async def test_an_update_during_an_update_and_a_deletion(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(**SMALL))
    await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=1)
    await ecs.update_service(service="web", forceNewDeployment=True)
    assert (await service_of(ecs))["runningCount"] == 0
    await ecs.delete_service(service="web", force=True)
    view = await until(plane, lambda view: set(statuses(view)) == {"STOPPED"})
    assert len(statuses(view)) == 2


async def test_unknown_deployments_and_alarms_that_are_kept(plane: ControlPlane, ecs: Ecs) -> None:
    arn = plane.account.names.arns.service_deployment("default", "web", "x" * 21)
    answer = await ecs.describe_service_deployments(serviceDeploymentArns=[arn])
    assert answer["failures"] == [{"arn": arn, "reason": "MISSING"}]
    with pytest.raises(ClientError, match="The ARN provided is invalid"):
        await ecs.describe_service_revisions(serviceRevisionArns=["nonsense"])
    with pytest.raises(ecs.client.exceptions.ServiceNotFoundException):
        await ecs.list_service_deployments(service="web")
    await ring(plane, {"name": "errors", "state": "ALARM"})
    async with aiohttp.ClientSession() as session, session.get(f"{plane.url}/_berth/alarms") as listed:
        assert json.loads(await listed.read()) == {"alarms": [{"name": "errors", "state": "ALARM"}]}
