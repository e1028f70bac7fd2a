"""All operations that ECS has, by boto3 against the program itself: each answers, and as the model says.

boto3 checks what it sends, `apiside` every answer that it gets, and the program its own answers.
"""

from collections.abc import Callable
from typing import Any

import pytest
from apiside import Ecs, definition, make_group
from botocore import xform_name
from botocore.exceptions import ClientError
from scripted_agent import ScriptedAgent
from subprocesses import Program

from controlplane.api.refusals import REFUSED
from wire import ecs_shapes

Seen = dict[str, Any]
"""What was learnt on the way: ARNs by noun."""
GROUP = {"autoScalingGroupArn": "arn:aws:autoscaling:us-east-1:1:autoScalingGroup:u:autoScalingGroupName/g"}
SMALL = definition("web", cpu=10, memory=10)
RACK = {"name": "rack", "targetType": "container-instance"}
RESOURCES = [
    {"name": "CPU", "type": "INTEGER", "integerValue": 8},
    {"name": "MEMORY", "type": "INTEGER", "integerValue": 8},
]
INSIGHTS = "containerInsights"
X = {"cluster": "default", "service": "x"}

WALK: list[tuple[str, Callable[[Seen], dict[str, Any]]]] = [
    ("CreateCluster", lambda _: {"clusterName": "prod", "tags": [{"key": "a", "value": "b"}]}),
    ("ListClusters", lambda _: {}),
    ("DescribeClusters", lambda _: {"clusters": ["prod"], "include": ["STATISTICS", "SETTINGS", "TAGS"]}),
    ("UpdateCluster", lambda _: {"cluster": "prod", "serviceConnectDefaults": {"namespace": "shop"}}),
    ("UpdateClusterSettings", lambda _: {"cluster": "prod", "settings": [{"name": INSIGHTS, "value": "enabled"}]}),
    ("CreateCapacityProvider", lambda _: {"name": "p", "autoScalingGroupProvider": GROUP}),
    ("UpdateCapacityProvider", lambda _: {"name": "p", "autoScalingGroupProvider": {"managedDraining": "DISABLED"}}),
    ("DescribeCapacityProviders", lambda _: {"include": ["TAGS"]}),
    (
        "PutClusterCapacityProviders",
        lambda _: {"cluster": "prod", "capacityProviders": ["FARGATE"], "defaultCapacityProviderStrategy": []},
    ),
    ("DeleteCapacityProvider", lambda _: {"capacityProvider": "p"}),
    ("PutAccountSetting", lambda _: {"name": INSIGHTS, "value": "enabled"}),
    ("PutAccountSettingDefault", lambda _: {"name": INSIGHTS, "value": "enabled"}),
    ("ListAccountSettings", lambda _: {"effectiveSettings": True}),
    ("DeleteAccountSetting", lambda _: {"name": INSIGHTS}),
    ("ListServicesByNamespace", lambda _: {"namespace": "shop"}),
    ("RegisterTaskDefinition", lambda _: SMALL),
    ("RegisterTaskDefinition", lambda _: SMALL),
    ("DescribeTaskDefinition", lambda _: {"taskDefinition": "web", "include": ["TAGS"]}),
    ("ListTaskDefinitions", lambda _: {"familyPrefix": "web"}),
    ("ListTaskDefinitionFamilies", lambda _: {}),
    ("RegisterContainerInstance", lambda _: {"totalResources": RESOURCES}),
    ("DiscoverPollEndpoint", lambda _: {}),
    ("ListContainerInstances", lambda _: {}),
    ("DescribeContainerInstances", lambda s: {"containerInstances": [s["instance"]], "include": ["TAGS"]}),
    ("PutAttributes", lambda s: {"attributes": [{**RACK, "value": "r1", "targetId": s["instance"]}]}),
    ("ListAttributes", lambda _: {"targetType": "container-instance"}),
    ("DeleteAttributes", lambda s: {"attributes": [{**RACK, "targetId": s["instance"]}]}),
    ("StartTask", lambda s: {"taskDefinition": "web", "containerInstances": [s["instance"]]}),
    ("RunTask", lambda _: {"taskDefinition": "web", "tags": [{"key": "a", "value": "b"}]}),
    ("ListTasks", lambda _: {}),
    ("DescribeTasks", lambda s: {"tasks": [s["task"], "0" * 32], "include": ["TAGS"]}),
    ("SubmitContainerStateChange", lambda s: {"task": s["task"], "containerName": "main", "status": "RUNNING"}),
    ("SubmitTaskStateChange", lambda s: {"task": s["task"], "status": "RUNNING"}),
    ("SubmitAttachmentStateChanges", lambda _: {"attachments": [{"attachmentArn": "a", "status": "ATTACHED"}]}),
    ("StopTask", lambda s: {"task": s["task"]}),
    ("CreateService", lambda _: {"serviceName": "s", "taskDefinition": "web", "desiredCount": 1}),
    ("CreateService", lambda _: {"serviceName": "x", "desiredCount": 1, "deploymentController": {"type": "EXTERNAL"}}),
    ("CreateTaskSet", lambda _: {"cluster": "default", "service": "x", "taskDefinition": "web"}),
    ("UpdateTaskSet", lambda s: {**X, "taskSet": s["taskset"], "scale": {"value": 50.0, "unit": "PERCENT"}}),
    ("UpdateServicePrimaryTaskSet", lambda s: {**X, "primaryTaskSet": s["taskset"]}),
    ("DescribeTaskSets", lambda _: X),
    ("DeleteTaskSet", lambda s: {**X, "taskSet": s["taskset"], "force": True}),
    ("DeleteService", lambda _: {"service": "x", "force": True}),
    ("ListServiceDeployments", lambda _: {"service": "s"}),
    ("DescribeServiceDeployments", lambda s: {"serviceDeploymentArns": [s["rollout"]]}),
    ("DescribeServiceRevisions", lambda s: {"serviceRevisionArns": [s["revision"]]}),
    ("StopServiceDeployment", lambda s: {"serviceDeploymentArn": s["rollout"]}),
    ("ListServices", lambda _: {}),
    ("DescribeServices", lambda _: {"services": ["s"], "include": ["TAGS"]}),
    ("UpdateService", lambda _: {"service": "s", "desiredCount": 0}),
    ("UpdateTaskProtection", lambda s: {"cluster": "default", "tasks": [s["task"]], "protectionEnabled": True}),
    ("GetTaskProtection", lambda s: {"cluster": "default", "tasks": [s["task"]]}),
    ("TagResource", lambda s: {"resourceArn": s["instance"], "tags": [{"key": "a", "value": "b"}]}),
    ("ListTagsForResource", lambda s: {"resourceArn": s["instance"]}),
    ("UntagResource", lambda s: {"resourceArn": s["instance"], "tagKeys": ["a"]}),
    ("DeleteService", lambda _: {"service": "s", "force": True}),
    ("UpdateContainerInstancesState", lambda s: {"containerInstances": [s["instance"]], "status": "DRAINING"}),
    ("DeregisterContainerInstance", lambda s: {"containerInstance": s["instance"], "force": True}),
    ("DeregisterTaskDefinition", lambda _: {"taskDefinition": "web:1"}),
    ("DeleteTaskDefinitions", lambda _: {"taskDefinitions": ["web:1", "web:9"]}),
    ("DeleteCluster", lambda _: {"cluster": "prod"}),
]
"""Operations that answer 200, in an order in which they do."""


def least(shape: Any) -> Any:
    """The least value of a shape of the model that boto3 lets pass."""
    if shape.type_name == "structure":
        needed = shape.required_members or (list(shape.members)[:1] if shape.is_tagged_union else [])
        return {name: least(shape.members[name]) for name in needed}
    values = {"list": [], "map": {}, "boolean": False, "integer": 1, "long": 1, "double": 1.0, "timestamp": 0}
    return shape.enum[0] if getattr(shape, "enum", None) else values.get(shape.type_name, "x")


@pytest.fixture
async def ecs() -> Any:
    async with Program("--check-answers") as program:
        yield Ecs(program.url)


async def test_all_operations_answer(ecs: Ecs) -> None:
    url = ecs.client.meta.endpoint_url
    walked = set(REFUSED)
    await make_group(url, "g")
    async with ScriptedAgent(url) as agent:
        seen: Seen = {"instance": agent.arn}
        for operation, members in WALK:
            answer = await getattr(ecs, xform_name(operation))(**members(seen))
            walked.add(operation)
            if operation == "RunTask":
                seen["task"] = answer["tasks"][0]["taskArn"]
            if operation == "CreateTaskSet":
                seen["taskset"] = answer["taskSet"]["id"]
            if operation == "CreateService" and "currentServiceDeployment" in answer["service"]:
                seen["rollout"] = answer["service"]["currentServiceDeployment"]
                seen["revision"] = answer["service"]["currentServiceRevisions"][0]["arn"]
    refused = {**dict.fromkeys(REFUSED, " is for "), "ExecuteCommand": "Interactive is the only mode"}
    refused["UpdateContainerAgent"] = refused["ContinueServiceDeployment"] = "not found"
    for operation, sentence in refused.items():
        shape = ecs_shapes.service_model().operation_model(operation).input_shape
        with pytest.raises(ClientError, match=sentence) as error:
            await getattr(ecs, xform_name(operation))(**least(shape))
        codes = {*ecs_shapes.error_names(operation), "ClientException"}
        assert error.value.response["Error"]["Code"] in codes
        walked.add(operation)
    assert walked == ecs_shapes.operations()
