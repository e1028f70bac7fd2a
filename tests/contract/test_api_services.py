"""Services through the API and agents that obey: created, rolled over, scaled, deleted."""

from typing import Any

import pytest
from apiside import Ecs, definition, until
from botocore.exceptions import ClientError
from scripted_agent import ScriptedAgent

from controlplane.core.model import Task
from controlplane.core.state import State
from controlplane.server import ControlPlane
from wire.status import TaskStatus

SMALL = {"cpu": 100, "memory": 100}


def running(view: State, revision: int) -> int:
    return sum(
        task.is_live and task.last_status is TaskStatus.RUNNING and task.task_definition.endswith(f":{revision}")
        for task in view.records(Task)
    )


async def service_of(ecs: Ecs, name: str = "web") -> dict[str, Any]:
    answer: dict[str, Any] = (await ecs.describe_services(services=[name]))["services"][0]
    return answer


async def test_a_service_is_rolled_over(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(**SMALL))
    await ecs.register_task_definition(**definition(**SMALL))
    async with ScriptedAgent(plane.url) as one, ScriptedAgent(plane.url) as two:
        made = await ecs.create_service(serviceName="web", taskDefinition="web:1", desiredCount=4)
        service = made["service"]
        assert (service["status"], service["desiredCount"], service["runningCount"]) == ("ACTIVE", 4, 0)
        assert (service["deployments"][0]["status"], service["deployments"][0]["rolloutState"]) == (
            "PRIMARY",
            "IN_PROGRESS",
        )
        assert service["deploymentConfiguration"]["maximumPercent"] == 200
        await ecs.wait("services_stable", cluster="default", services=["web"])
        assert (await service_of(ecs))["runningCount"] == 4
        assert len((await ecs.list_tasks(serviceName="web"))["taskArns"]) == 4
        assert {len(one.tasks), len(two.tasks)} == {2}

        updated = (await ecs.update_service(service="web", taskDefinition="web:2"))["service"]
        assert [d["status"] for d in updated["deployments"]] == ["PRIMARY", "ACTIVE"]
        await until(plane, lambda view: running(view, 2) == 4 and running(view, 1) == 0)
        await ecs.wait("services_stable", cluster="default", services=["web"])
        service = await service_of(ecs)
        assert [d["taskDefinition"].endswith("web:2") for d in service["deployments"]] == [True]
        assert service["deployments"][0]["rolloutState"] == "COMPLETED"
        assert service["events"][0]["message"].startswith("(service web)")


async def test_an_update_that_starts_no_deployment(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(**SMALL))
    async with ScriptedAgent(plane.url):
        await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=1)
        await until(plane, lambda view: running(view, 1) == 1)
        before = await service_of(ecs)
        strategy = [{"type": "binpack", "field": "memory"}]
        updated = await ecs.update_service(
            service="web",
            desiredCount=3,
            deploymentConfiguration={"maximumPercent": 100, "minimumHealthyPercent": 0},
            placementStrategy=strategy,
        )
        assert updated["service"]["placementStrategy"] == strategy
        assert updated["service"]["deploymentConfiguration"]["minimumHealthyPercent"] == 0
        await until(plane, lambda view: running(view, 1) == 3)
        assert (await service_of(ecs))["deployments"][0]["id"] == before["deployments"][0]["id"]
        forced = (await ecs.update_service(service="web", forceNewDeployment=True))["service"]
        assert forced["deployments"][0]["id"] != before["deployments"][0]["id"]
        assert forced["deploymentConfiguration"]["maximumPercent"] == 100, "what was not named stands"


async def test_a_task_that_is_told_to_stop_is_in_no_count(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(**SMALL))
    async with ScriptedAgent(plane.url) as agent:
        await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=2)
        await until(plane, lambda view: running(view, 1) == 2)
        agent.obedient = agent.acknowledges = False
        await ecs.update_service(service="web", desiredCount=1)
        await agent.is_told_of(3)
        service = await service_of(ecs)
        assert (service["runningCount"], service["pendingCount"]) == (1, 0)
        assert service["deployments"][0]["runningCount"] == 1
        clusters = (await ecs.describe_clusters())["clusters"]
        assert (clusters[0]["runningTasksCount"], clusters[0]["activeServicesCount"]) == (1, 1)
        instances = await ecs.describe_container_instances(containerInstances=[agent.arn])
        assert instances["containerInstances"][0]["runningTasksCount"] == 1


async def test_a_service_is_deleted(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(**SMALL))
    async with ScriptedAgent(plane.url):
        await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=2)
        await until(plane, lambda view: running(view, 1) == 2)
        with pytest.raises(ClientError, match="cannot be stopped while it is scaled above 0"):
            await ecs.delete_service(service="web")
        assert (await ecs.delete_service(service="web", force=True))["service"]["status"] == "DRAINING"
        assert (await ecs.list_services())["serviceArns"] == []
        arn = plane.account.names.arns.service("default", "web")
        await until(plane, lambda view: view.service(arn).status == "INACTIVE")  # type: ignore[union-attr]
        await ecs.wait("services_inactive", cluster="default", services=["web"])
        with pytest.raises(ClientError, match="Service was not ACTIVE"):
            await ecs.update_service(service="web", desiredCount=1)
        again = await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=0)
        assert again["service"]["status"] == "ACTIVE"


async def test_the_same_creation_again_is_answered_with_what_it_made(ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(**SMALL))
    members = {"serviceName": "web", "taskDefinition": "web", "desiredCount": 1, "clientToken": "t"}
    first = (await ecs.create_service(**members))["service"]
    assert (await ecs.create_service(**members))["service"]["deployments"][0]["id"] == first["deployments"][0]["id"]
    with pytest.raises(ClientError, match="Creation of service was not idempotent"):
        await ecs.create_service(**{**members, "desiredCount": 2})


async def test_services_are_listed_ten_a_page(ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(**SMALL))
    for number in range(11):
        await ecs.create_service(serviceName=f"s{number:02}", taskDefinition="web", desiredCount=0)
    first = await ecs.list_services()
    assert len(first["serviceArns"]) == 10
    rest = await ecs.list_services(nextToken=first["nextToken"])
    assert [arn.rpartition("/")[2] for arn in rest["serviceArns"]] == ["s10"]
    assert "nextToken" not in rest
    described = await ecs.describe_services(services=["s00", first["serviceArns"][1], "none"])
    assert [service["serviceName"] for service in described["services"]] == ["s00", "s01"]
    assert [failure["reason"] for failure in described["failures"]] == ["MISSING"]


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"serviceName": "a b"}, "Service name should be"),
        ({"taskDefinition": "none"}, "TaskDefinition not found"),
        ({"desiredCount": -1}, "desiredCount should be 0 or more"),
        ({"deploymentConfiguration": {"maximumPercent": 50}}, "maximumPercent should be"),
        ({"deploymentConfiguration": {"bakeTimeInMinutes": 2000}}, "bakeTimeInMinutes should be between 0 and 1440"),
        ({"loadBalancers": [{"containerName": "main", "containerPort": 80}]}, "targetGroupArn can not be blank"),
        ({"schedulingStrategy": "DAEMON"}, "The daemon scheduling strategy does not support a desired count"),
        ({"launchType": "FARGATE"}, "launchType (FARGATE)"),
        ({"placementConstraints": [{"type": "memberOf", "expression": "x"}]}, "at character 1"),
        ({"cluster": "none"}, "Cluster not found"),
    ],
)
async def test_bad_services_are_one_sentence(ecs: Ecs, members: dict[str, Any], sentence: str) -> None:
    await ecs.register_task_definition(**definition(**SMALL))
    with pytest.raises(ClientError, match="An error occurred") as refused:
        await ecs.create_service(**{"serviceName": "web", "taskDefinition": "web", "desiredCount": 1, **members})
    assert sentence in refused.value.response["Error"]["Message"]
    assert (await ecs.list_services())["serviceArns"] == []


async def test_no_platform_version_on_hosts(ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(**SMALL))
    await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=0)
    for operation, named in ((ecs.create_service, {"serviceName": "api"}), (ecs.update_service, {"service": "web"})):
        with pytest.raises(ecs.client.exceptions.InvalidParameterException, match="platform version must be null"):
            await operation(taskDefinition="web", desiredCount=0, platformVersion="LATEST", **named)
    assert "platformVersion" not in await service_of(ecs)


async def test_a_daemon_is_not_stable_before_it_has_begun(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(**SMALL))
    async with ScriptedAgent(plane.url), ScriptedAgent(plane.url):
        made = await ecs.create_service(serviceName="log", taskDefinition="web", schedulingStrategy="DAEMON")
        assert (made["service"]["desiredCount"], made["service"]["runningCount"]) == (2, 0)


async def test_unknown_services(ecs: Ecs) -> None:
    for operation in (ecs.update_service, ecs.delete_service):
        with pytest.raises(ecs.client.exceptions.ServiceNotFoundException):
            await operation(service="none")
