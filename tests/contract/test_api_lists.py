"""Lists in pages that stay right while things come and go, their filters, waiters, and the forms of an ARN."""

import asyncio
from typing import Any

import pytest
from apiside import Ecs, definition
from botocore import xform_name
from botocore.exceptions import ClientError, WaiterError
from scripted_agent import ScriptedAgent

from berth.client import EcsClient
from berth.logreader import LogReader
from controlplane.server import ControlPlane
from wire import ecs_shapes

PAGED: dict[str, tuple[dict[str, Any], str]] = {
    "ListAccountSettings": ({"effectiveSettings": True}, "settings"),
    "ListAttributes": ({"targetType": "container-instance"}, "attributes"),
    "ListClusters": ({}, "clusterArns"),
    "ListContainerInstances": ({}, "containerInstanceArns"),
    "ListServices": ({}, "serviceArns"),
    "ListServicesByNamespace": ({"namespace": "shop"}, "serviceArns"),
    "ListTaskDefinitionFamilies": ({}, "families"),
    "ListTaskDefinitions": ({}, "taskDefinitionArns"),
    "ListTasks": ({}, "taskArns"),
}
"""Every paginator that botocore has, of operations that are not refused."""


async def test_paginators_walk_to_the_end(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.update_cluster(cluster="default", serviceConnectDefaults={"namespace": "shop"})
    for name in ("a", "b", "c"):
        await ecs.create_cluster(clusterName=name)
        await ecs.register_task_definition(**definition(name, cpu=1, memory=10))
        await ecs.create_service(serviceName=name, taskDefinition=name, desiredCount=0)
    async with ScriptedAgent(plane.url), ScriptedAgent(plane.url), ScriptedAgent(plane.url):
        await ecs.run_task(taskDefinition="a", count=3)
        for operation, (members, noun) in PAGED.items():
            assert ecs.client.can_paginate(xform_name(operation))
            paginator = ecs.client.get_paginator(xform_name(operation))
            pages = await asyncio.to_thread(
                lambda p=paginator, m=members: list(p.paginate(**m, PaginationConfig={"PageSize": 1}))
            )
            found = [str(item) for page in pages for item in page[noun]]
            whole = await getattr(ecs, xform_name(operation))(**members)
            assert len(found) == len(set(found))
            assert all(len(page[noun]) <= 1 for page in pages)
            if "nextToken" not in whole:
                assert found == [str(item) for item in whole[noun]]
            with pytest.raises(ClientError, match="Invalid token"):
                await getattr(ecs, xform_name(operation))(**members, nextToken="no token of ours")


def test_no_paginator_is_forgotten() -> None:
    from controlplane.api.refusals import REFUSED

    for operation in ecs_shapes.operations() - set(REFUSED):
        pages = "nextToken" in ecs_shapes.service_model().operation_model(operation).input_shape.members
        others = {"DescribeCapacityProviders", "ListServiceDeployments"}
        assert not pages or operation in PAGED.keys() | others


async def test_a_token_stays_valid_while_things_come_and_go(ecs: Ecs) -> None:
    for name in ("b", "d", "f", "h"):
        await ecs.create_cluster(clusterName=name)
    first = await ecs.list_clusters(maxResults=2)
    await ecs.delete_cluster(cluster="d")  # what the token stands on
    await ecs.create_cluster(clusterName="a")
    await ecs.create_cluster(clusterName="e")
    await ecs.delete_cluster(cluster="f")
    seen = [arn.rpartition("/")[2] for arn in first["clusterArns"]]
    while "nextToken" in first:
        first = await ecs.list_clusters(maxResults=2, nextToken=first["nextToken"])
        seen += [arn.rpartition("/")[2] for arn in first["clusterArns"]]
    assert seen == ["b", "d", "default", "e", "h"]


async def test_instances_are_filtered_by_the_query_language(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition())
    async with ScriptedAgent(plane.url, zone="us-east-1a") as one, ScriptedAgent(plane.url, zone="us-east-1b") as two:
        await ecs.put_attributes(attributes=[{"name": "rack", "value": "r2", "targetId": two.arn}])
        await ecs.start_task(taskDefinition="web", containerInstances=[one.arn], group="mine")
        for text, found in {
            "attribute:ecs.availability-zone == us-east-1a": [one.arn],
            "attribute:rack =~ r.*": [two.arn],
            "task:group == mine": [one.arn],
            "not(task:group == mine) and agentConnected == true": [two.arn],
        }.items():
            assert (await ecs.list_container_instances(filter=text))["containerInstanceArns"] == found, text
        with pytest.raises(ecs.client.exceptions.InvalidParameterException):
            await ecs.list_container_instances(filter="attribute:rack == ")


async def test_arns_without_a_cluster_still_work(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition())
    async with ScriptedAgent(plane.url) as agent:
        task = (await ecs.run_task(taskDefinition="web"))["tasks"][0]
        assert task["connectivityAt"] >= task["createdAt"]
        for whole, describe, member in (
            (task["taskArn"], ecs.describe_tasks, "tasks"),
            (agent.arn, ecs.describe_container_instances, "containerInstances"),
        ):
            short = whole.replace("/default/", "/")
            assert len((await describe(**{member: [short]}))[member]) == 1
            with pytest.raises(ecs.client.exceptions.InvalidParameterException, match="Invalid identifier"):
                await describe(**{member: [whole.replace(":task/", ":x/").replace(":container-instance/", ":x/")]})


async def test_waiters_end_as_they_should(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(cpu=1, memory=10))
    async with ScriptedAgent(plane.url) as agent:
        arns = [task["taskArn"] for task in (await ecs.run_task(taskDefinition="web", count=2))["tasks"]]
        await ecs.wait("tasks_running", cluster="default", tasks=arns)
        await ecs.create_service(serviceName="s", taskDefinition="web", desiredCount=1)
        await ecs.wait("services_stable", cluster="default", services=["s"])
        await ecs.stop_task(task=arns[0])
        await agent.is_told(arns[0], "STOPPED")
        with pytest.raises(WaiterError):
            await ecs.wait("tasks_running", cluster="default", tasks=arns)
        with pytest.raises(WaiterError):
            await ecs.wait("services_stable", cluster="default", services=["none"])
        await ecs.stop_task(task=arns[1])
        await ecs.wait("tasks_stopped", cluster="default", tasks=arns)
        await ecs.delete_service(service="s", force=True)
        await ecs.wait("services_inactive", cluster="default", services=["s"])


async def test_berth_logs_takes_what_a_person_names(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(cpu=1, memory=10))
    async with ScriptedAgent(plane.url), EcsClient(plane.url) as client:
        made = await ecs.create_service(serviceName="s", taskDefinition="web", desiredCount=1)
        await ecs.wait("services_stable", cluster="default", services=["s"])
        [task] = (await ecs.list_tasks(serviceName="s"))["taskArns"]
        for target in ("s", made["service"]["serviceArn"], task, task.rpartition("/")[2]):
            assert [found["taskArn"] for found in await LogReader(client, "default", target).tasks()] == [task]
