"""Target groups over HTTP, and services that name them: what is taken, what is refused, in which words."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from apiside import Client, Ecs, definition, until
from botocore.exceptions import ClientError
from haproxy_here import PROGRAM, needs_haproxy
from ports import free_port
from scalingside import WEB, register
from scripted_agent import ScriptedAgent

from controlplane.config import Config
from controlplane.core.model import Task
from controlplane.core.scaling.metrics import Statistic, metric
from controlplane.server import ControlPlane, running
from wire.scaling import BALANCER_METRICS
from wire.status import TaskStatus
from wire.story import Kind

pytestmark = needs_haproxy
SCALE = 240
"""A minute of the scaler takes a quarter of a second."""
PER_MINUTE = 1200
HTTP_OK, BAD, MISSING = 200, 400, 404


async def ask(plane: ControlPlane, method: str, group: str = "", /, **members: Any) -> tuple[int, dict[str, Any]]:
    url = f"{plane.url}/_berth/target-groups" + (f"/{group}" if group else "")
    async with aiohttp.ClientSession() as session, session.request(method, url, json=members or None) as answer:
        return answer.status, await answer.json(content_type=None)


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """A port at which every GET of / is answered with 200."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port := free_port()).start()
    try:
        yield port
    finally:
        await runner.cleanup()


async def make(plane: ControlPlane, name: str = "web", **members: Any) -> dict[str, Any]:
    status, group = await ask(plane, "POST", name=name, **members)
    assert status == HTTP_OK, group
    return group


def balancer(arn: str, **members: Any) -> dict[str, Any]:
    return {"targetGroupArn": arn, "containerName": "main", "containerPort": 80, **members}


async def test_a_group_is_made_changed_shown_and_deleted(plane: ControlPlane) -> None:
    port = free_port()
    made = await make(plane, listen=[port], healthCheckPath="/health", matcher="200-299")
    assert made["targetGroupArn"].startswith("arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/")
    assert (made["deregistrationDelaySeconds"], made["healthCheckPath"]) == (300, "/health")
    (listener,) = made["listeners"]
    assert (listener["port"], listener["percent"]) == (port, {"web": 100})
    _, changed = await ask(plane, "PUT", "web", deregistrationDelaySeconds=5)
    assert (changed["deregistrationDelaySeconds"], changed["matcher"]) == (5, "200-299")
    await make(plane, "green")
    await ask(plane, "PUT", "green", listen=[port])
    assert (await ask(plane, "GET", "green"))[1]["listeners"][0]["port"] == port
    assert (await ask(plane, "DELETE", "web"))[0] == HTTP_OK
    assert [group["targetGroupName"] for group in (await ask(plane, "GET"))[1]["targetGroups"]] == ["green"]


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"name": "web"}, "A target group with the name 'web' exists."),
        ({"name": "a b"}, "The target group is not right"),
        ({"name": "x", "healthCheckPath": "/ }\nserver x"}, "healthCheckPath"),
        ({"name": "x", "matcher": "200\nbind :1"}, "matcher"),
        ({"name": "x", "deregistrationDelaySeconds": 3601}, "deregistrationDelaySeconds"),
        ({"name": "x", "what": 1}, "unknown field `what`"),
    ],
)
async def test_bad_groups_are_one_sentence(plane: ControlPlane, members: dict[str, Any], sentence: str) -> None:
    await make(plane)
    status, said = await ask(plane, "POST", **members)
    assert status == BAD
    assert sentence in said["message"]
    assert len((await ask(plane, "GET"))[1]["targetGroups"]) == 1
    assert (await ask(plane, "GET", "none"))[0] == MISSING


async def test_a_port_that_is_taken_is_refused_and_nothing_is_made(plane: ControlPlane) -> None:
    status, said = await ask(plane, "POST", name="web", listen=[plane.port])
    assert (status, said["message"]) == (BAD, f"Port {plane.port} of 127.0.0.1 is taken: listen on another one.")
    assert (await ask(plane, "GET"))[1]["targetGroups"] == []


async def test_a_service_shows_its_load_balancers_and_keeps_its_group(plane: ControlPlane, ecs: Ecs) -> None:
    group = await make(plane, listen=[free_port()])
    await ecs.register_task_definition(**definition(portMappings=[{"containerPort": 80}]))
    given = [balancer(group["targetGroupArn"])]
    made = await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=0, loadBalancers=given)
    assert made["service"]["loadBalancers"] == given
    assert made["service"]["healthCheckGracePeriodSeconds"] == 0
    revision = made["service"]["currentServiceRevisions"][0]["arn"]
    (shown,) = (await ecs.describe_service_revisions(serviceRevisionArns=[revision]))["serviceRevisions"]
    assert shown["resolvedConfiguration"]["loadBalancers"] == [{"targetGroupArn": group["targetGroupArn"]}]
    status, said = await ask(plane, "DELETE", "web")
    assert (status, said["message"]) == (BAD, "Target group 'web' is in use by service 'web'.")
    updated = await ecs.update_service(service="web", loadBalancers=[])
    assert updated["service"]["loadBalancers"] == []
    assert len(updated["service"]["deployments"]) > 1 or updated["service"]["deployments"][0]["status"] == "PRIMARY"
    assert (await ask(plane, "DELETE", "web"))[0] == HTTP_OK


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"targetGroupArn": "arn:none"}, "The target group arn:none does not exist."),
        ({"containerName": "other"}, "The container other does not exist in the task definition."),
        ({"containerPort": 81}, "The container main did not have a container port 81 defined."),
        ({"loadBalancerName": "classic"}, "Classic Load Balancers are not served"),
        ({"advancedConfiguration": {"alternateTargetGroupArn": "arn:none"}}, "needs alternateTargetGroupArn"),
    ],
)
async def test_services_name_what_there_is(
    plane: ControlPlane, ecs: Ecs, members: dict[str, Any], sentence: str
) -> None:
    group = await make(plane, listen=[free_port()])
    await ecs.register_task_definition(**definition(portMappings=[{"containerPort": 80}]))
    with pytest.raises(ClientError) as refused:
        await ecs.create_service(
            serviceName="web",
            taskDefinition="web",
            desiredCount=1,
            loadBalancers=[balancer(group["targetGroupArn"], **members)],
        )
    assert sentence in refused.value.response["Error"]["Message"]
    assert (await ecs.list_services())["serviceArns"] == []


@pytest.mark.parametrize(
    ("group", "sentence"),
    [
        ({}, "does not have an associated load balancer"),
        (
            {"targetType": "ip", "listen": True},
            "has target type ip, which is incompatible with the bridge",
        ),
    ],
)
async def test_groups_that_do_not_suit(plane: ControlPlane, ecs: Ecs, group: dict[str, Any], sentence: str) -> None:
    made = await make(plane, **{**group, **({"listen": [free_port()]} if group else {})})
    await ecs.register_task_definition(**definition(portMappings=[{"containerPort": 80}]))
    with pytest.raises(ClientError) as refused:
        await ecs.create_service(
            serviceName="web", taskDefinition="web", desiredCount=1, loadBalancers=[balancer(made["targetGroupArn"])]
        )
    assert sentence in refused.value.response["Error"]["Message"]


async def test_the_agent_hears_of_a_stop_when_the_delay_is_over(plane: ControlPlane, ecs: Ecs) -> None:
    group = await make(plane, listen=[free_port()], deregistrationDelaySeconds=1)
    registered = {**definition(portMappings=[{"containerPort": 80}]), "networkMode": "host"}
    await ecs.register_task_definition(**registered)
    async with ScriptedAgent(plane.url):
        await ecs.create_service(
            serviceName="web", taskDefinition="web", desiredCount=1, loadBalancers=[balancer(group["targetGroupArn"])]
        )
        await until(plane, lambda view: [t.last_status for t in view.records(Task)] == [TaskStatus.RUNNING])
        await ecs.update_service(service="web", desiredCount=0)
        await until(plane, lambda view: [t.last_status for t in view.records(Task)] == [TaskStatus.STOPPED])
    lines, _ = await plane.store.story(0, 1000)
    came = [line.data["last"] for _, line in lines if line.kind == Kind.TASK_STATUS]
    assert came == ["PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING", "STOPPED"]
    (deferred,) = [line.at for _, line in lines if line.data.get("state") == "draining"]
    told = [line.at for _, line in lines if line.kind == Kind.TASK_TOLD and line.data["desired"] == "STOPPED"]
    assert len(told) == 1
    assert told[0] - deferred >= 0.95, "a timer's clock and the story's"


async def test_a_service_follows_the_requests_that_its_targets_get() -> None:
    """HAProxy counts, CloudWatch's metrics say so each minute, target tracking adds a task; no requests are a 0 too."""
    async with (
        serving() as served,
        running(Config(port=0, healthy_after_seconds=0, time_scale=SCALE, haproxy=PROGRAM)) as plane,
        ScriptedAgent(plane.url, instance_id="i-1"),
        ScriptedAgent(plane.url, instance_id="i-2"),
    ):
        ecs, scaling = Ecs(plane.url), Client("application-autoscaling", plane.url)
        group = await make(plane, listen=[port := free_port()], healthCheckIntervalSeconds=1)
        (listener,) = group["listeners"]
        registered = {**definition(portMappings=[{"containerPort": served}]), "networkMode": "host"}
        await ecs.register_task_definition(**registered)
        given = [{"targetGroupArn": group["targetGroupArn"], "containerName": "main", "containerPort": served}]
        made = await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=1, loadBalancers=given)
        await register(scaling, most=2)
        await scaling.put_scaling_policy(
            **WEB,
            PolicyName="requests",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "TargetValue": PER_MINUTE / 10,
                "PredefinedMetricSpecification": {
                    "PredefinedMetricType": "ALBRequestCountPerTarget",
                    "ResourceLabel": listener["resourceLabel"],
                },
            },
        )
        load = asyncio.create_task(_ask_steadily(f"http://127.0.0.1:{port}/"))
        arn = made["service"]["serviceArn"]
        try:
            await until(plane, lambda view: (service := view.service(arn)) is not None and service.desired_count == 2)
        finally:
            load.cancel()
        _, _, label = listener["resourceLabel"].partition("/targetgroup/")
        of_group = metric(BALANCER_METRICS, "RequestCountPerTarget", {"TargetGroup": f"targetgroup/{label}"})
        newest = lambda: plane.minutes.book.datapoints(  # noqa: E731
            of_group, Statistic.SUM, newest=int(time.time() * SCALE // 60) - 1, count=15
        )
        seen = [value for value in newest() if value]
        assert PER_MINUTE / 10 < max(seen) < PER_MINUTE * 10, "minutes of a quarter of a second are counted unevenly"
        async with asyncio.timeout(60):
            while newest()[-1] != 0:  # noqa: ASYNC110 - the book tells nobody
                await asyncio.sleep(0.05)


async def _ask_steadily(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientConnectorError):  # the proxy may not listen yet
                async with session.get(url):
                    pass
            await asyncio.sleep(60 / PER_MINUTE)
