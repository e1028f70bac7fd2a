"""Task sets through boto3 on agents that obey, and a blue/green deployment held by a webhook and by a pause."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from apiside import Ecs, definition, until
from botocore.exceptions import ClientError
from scripted_agent import ScriptedAgent

from berth.client import EcsClient
from controlplane.core.model import Service, Task
from controlplane.core.rollouts import ServiceDeployment
from controlplane.server import ControlPlane
from wire.status import TaskStatus

SMALL = {"cpu": 100, "memory": 100}
EXTERNAL = {"serviceName": "web", "deploymentController": {"type": "EXTERNAL"}}
OURS = {"cluster": "default", "service": "web"}


async def test_task_sets_from_creation_to_deletion(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(**SMALL))
    async with ScriptedAgent(plane.url):
        made = (await ecs.create_service(**EXTERNAL, desiredCount=4))["service"]
        assert (made["deploymentController"]["type"], made["taskSets"], made["deployments"]) == ("EXTERNAL", [], [])
        blue = (await ecs.create_task_set(**OURS, taskDefinition="web", externalId="b", clientToken="t"))["taskSet"]
        again = (await ecs.create_task_set(**OURS, taskDefinition="web", externalId="b", clientToken="t"))["taskSet"]
        assert blue["id"] == again["id"]
        assert (blue["status"], blue["computedDesiredCount"], blue["externalId"]) == ("ACTIVE", 4, "b")
        assert (await ecs.update_service_primary_task_set(**OURS, primaryTaskSet=blue["id"]))["taskSet"][
            "status"
        ] == "PRIMARY"
        half = {"value": 50.0, "unit": "PERCENT"}
        green = (await ecs.create_task_set(**OURS, taskDefinition="web", scale=half))["taskSet"]
        await until(plane, lambda view: _running(view) == 6)
        await until(plane, _all_steady)
        shown = await ecs.describe_task_sets(**OURS, taskSets=[green["taskSetArn"], "ecs-svc/0"], include=["TAGS"])
        assert [(one["runningCount"], one["stabilityStatus"]) for one in shown["taskSets"]] == [(2, "STEADY_STATE")]
        assert [failure["reason"] for failure in shown["failures"]] == ["MISSING"]
        with pytest.raises(ClientError, match="scaled above 0"):
            await ecs.delete_task_set(**OURS, taskSet=green["id"])
        await ecs.update_task_set(**OURS, taskSet=green["id"], scale={"value": 0.0, "unit": "PERCENT"})
        await ecs.delete_task_set(**OURS, taskSet=green["id"])
        await until(plane, lambda view: [d.id for d in _service(view).deployments] == [blue["id"]])
        with pytest.raises(ClientError, match="only desiredCount"):
            await ecs.update_service(service="web", taskDefinition="web")
        await ecs.update_service(service="web", desiredCount=1)
        await until(plane, lambda view: _running(view) == 1)
        assert [one["id"] for one in (await ecs.describe_services(services=["web"]))["services"][0]["taskSets"]] == [
            blue["id"]
        ]
        await ecs.delete_service(service="web", force=True)
        await until(plane, lambda view: _service(view).status == "INACTIVE")


def _service(view: Any) -> Service:
    return next(iter(view.records(Service)))


def _running(view: Any) -> int:
    return sum(task.is_live and task.last_status is TaskStatus.RUNNING for task in view.records(Task))


def _all_steady(view: Any) -> bool:
    return all(deployment.task_set.is_steady for deployment in _service(view).deployments)


async def test_task_sets_are_for_the_external_controller(ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(**SMALL))
    await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=0)
    with pytest.raises(ClientError, match="EXTERNAL deployment controller"):
        await ecs.create_task_set(**OURS, taskDefinition="web")
    with pytest.raises(ClientError, match="takes no deploymentConfiguration"):
        await ecs.create_service(
            **{**EXTERNAL, "serviceName": "x"}, desiredCount=1, deploymentConfiguration={"maximumPercent": 150}
        )
    nonsense = [{"type": "memberOf", "expression": "(("}]
    with pytest.raises(ClientError, match="expression"):
        await ecs.create_service(**{**EXTERNAL, "serviceName": "x"}, desiredCount=1, placementConstraints=nonsense)
    await ecs.create_service(**{**EXTERNAL, "serviceName": "x"}, desiredCount=1)
    with pytest.raises(ecs.client.exceptions.TaskSetNotFoundException):
        await ecs.delete_task_set(cluster="default", service="x", taskSet="ecs-svc/1")


class Webhook:
    """A hook that answers as the test says, and remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.told.append(await request.json())
        return web.json_response(self.answers.pop(0) if self.answers else {"hookStatus": "SUCCEEDED"})


@pytest.fixture
async def webhook() -> AsyncIterator[Webhook]:
    hook, app = Webhook(), web.Application()
    app.router.add_post("/", hook.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield hook
    await runner.cleanup()


async def test_blue_green_with_a_webhook_and_a_pause(plane: ControlPlane, ecs: Ecs, webhook: Webhook) -> None:
    webhook.answers = [{"hookStatus": "IN_PROGRESS", "callBackDelay": 0}]
    hooks = [
        {"targetType": "AWS_LAMBDA", "hookTargetArn": webhook.url, "lifecycleStages": ["POST_SCALE_UP"]},
        {"targetType": "PAUSE", "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"]},
    ]
    for _ in range(2):
        await ecs.register_task_definition(**definition(**SMALL))
    async with ScriptedAgent(plane.url):
        await ecs.create_service(serviceName="web", taskDefinition="web:1", desiredCount=2)
        await until(plane, lambda view: _running(view) == 2)
        configuration = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0, "lifecycleHooks": hooks}
        updated = await ecs.update_service(service="web", taskDefinition="web:2", deploymentConfiguration=configuration)
        arn = updated["service"]["currentServiceDeployment"]
        assert updated["service"]["deploymentConfiguration"]["strategy"] == "BLUE_GREEN"
        await until(plane, lambda view: any(r.status == "AWAITING_ACTION" for r in _course(view, arn).hooks))
        assert _running(plane.store.view()) == 4
        course = (await ecs.describe_service_deployments(serviceDeploymentArns=[arn]))["serviceDeployments"][0]
        assert course["lifecycleStage"] == "POST_TEST_TRAFFIC_SHIFT"
        assert course["targetServiceRevision"]["requestedTestTrafficWeight"] == 100
        assert course["sourceServiceRevisions"][0]["requestedProductionTrafficWeight"] == 100
        details = {detail["status"]: detail for detail in course["lifecycleHookDetails"]}
        assert set(details) == {"SUCCEEDED", "AWAITING_ACTION"}
        with pytest.raises(ClientError, match="waits for no hook"):
            await ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId="none")
        hook_id = details["AWAITING_ACTION"]["hookId"]
        await ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId=hook_id)
        await until(plane, lambda view: _course(view, arn).status == "SUCCESSFUL")
        await ecs.wait("services_stable", cluster="default", services=["web"])
        assert (await ecs.describe_services(services=["web"]))["services"][0]["taskDefinition"].endswith("web:2")
    assert [told["lifecycleStage"] for told in webhook.told] == ["POST_SCALE_UP", "POST_SCALE_UP"]
    assert webhook.told[0]["resourceArn"] == arn
    async with EcsClient(plane.url) as client:
        events = [row["event"] for row in (await client.past_events(None))["events"]]
    pauses = [event["detail"] for event in events if event["detail-type"] == "ECS Hook State Change"]
    assert [pause["eventName"] for pause in pauses] == ["HOOK_AWAITING_ACTION", "HOOK_SUCCEEDED"]
    assert {(p["hookId"], p["hookType"], p["lifecycleStage"], p["serviceDeploymentArn"]) for p in pauses} == {
        (hook_id, "PAUSE", "POST_TEST_TRAFFIC_SHIFT", arn)
    }
    assert webhook.told[0]["executionDetails"]["serviceArn"] == updated["service"]["serviceArn"]


def _course(view: Any, arn: str) -> ServiceDeployment:
    course = view.record(ServiceDeployment, arn)
    assert isinstance(course, ServiceDeployment)
    return course
