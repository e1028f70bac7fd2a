"""ARNs of another region, account or cluster are refused wherever a request may name something by its ARN."""

from collections.abc import Awaitable
from typing import Any

import pytest
from apiside import Ecs, definition
from botocore.exceptions import ClientError

from controlplane.server import ControlPlane

ID = "0" * 32
CLUSTER = "cluster/default"
DEFINITION = "task-definition/web:1"
INSTANCE, TASK = f"container-instance/default/{ID}", f"task/default/{ID}"
SERVICE, TASK_SET = "service/default/web", "task-set/default/web/ecs-svc/1"
ROLLOUT, REVISION = "service-deployment/default/web/x", "service-revision/default/web/1"
PROVIDER = "capacity-provider/mine"
RUN: dict[str, Any] = {"cluster": "default", "taskDefinition": "web"}
OURS: dict[str, Any] = {"cluster": "default", "service": "web"}
SCALE = {"value": 1.0, "unit": "PERCENT"}
CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    # operation, member, what it names, the other members
    ("describe_clusters", "clusters[]", CLUSTER, {}),
    ("update_cluster", "cluster", CLUSTER, {}),
    ("delete_cluster", "cluster", CLUSTER, {}),
    ("list_services", "cluster", CLUSTER, {}),
    ("run_task", "cluster", CLUSTER, {"taskDefinition": "web"}),
    ("run_task", "taskDefinition", DEFINITION, {}),
    ("start_task", "containerInstances[]", INSTANCE, RUN),
    ("describe_task_definition", "taskDefinition", DEFINITION, {}),
    ("deregister_task_definition", "taskDefinition", DEFINITION, {}),
    ("delete_task_definitions", "taskDefinitions[]", DEFINITION, {}),
    ("create_service", "taskDefinition", DEFINITION, {"serviceName": "new", "desiredCount": 0}),
    ("update_service", "taskDefinition", DEFINITION, OURS),
    ("update_service", "service", SERVICE, {}),
    ("delete_service", "service", SERVICE, {}),
    ("describe_services", "services[]", SERVICE, {}),
    ("list_tasks", "serviceName", SERVICE, {}),
    ("list_tasks", "containerInstance", INSTANCE, {}),
    ("describe_tasks", "tasks[]", TASK, {}),
    ("stop_task", "task", TASK, {}),
    ("execute_command", "task", TASK, {"command": "sh", "interactive": True}),
    ("get_task_protection", "tasks[]", TASK, {"cluster": "default"}),
    ("update_task_protection", "tasks[]", TASK, {"cluster": "default", "protectionEnabled": True}),
    ("describe_container_instances", "containerInstances[]", INSTANCE, {}),
    ("update_container_instances_state", "containerInstances[]", INSTANCE, {"status": "DRAINING"}),
    ("deregister_container_instance", "containerInstance", INSTANCE, {}),
    ("update_container_agent", "containerInstance", INSTANCE, {}),
    ("list_service_deployments", "service", SERVICE, {}),
    ("describe_service_deployments", "serviceDeploymentArns[]", ROLLOUT, {}),
    ("stop_service_deployment", "serviceDeploymentArn", ROLLOUT, {}),
    ("continue_service_deployment", "serviceDeploymentArn", ROLLOUT, {"hookId": "x"}),
    ("describe_service_revisions", "serviceRevisionArns[]", REVISION, {}),
    ("create_task_set", "service", SERVICE, {**RUN}),
    ("describe_task_sets", "taskSets[]", TASK_SET, {**OURS, "service": "outside"}),
    ("update_task_set", "taskSet", TASK_SET, {**OURS, "service": "outside", "scale": SCALE}),
    ("delete_task_set", "taskSet", TASK_SET, {**OURS, "service": "outside"}),
    ("update_service_primary_task_set", "primaryTaskSet", TASK_SET, {**OURS, "service": "outside"}),
    ("describe_capacity_providers", "capacityProviders[]", PROVIDER, {}),
    ("delete_capacity_provider", "capacityProvider", PROVIDER, {}),
    ("list_tags_for_resource", "resourceArn", SERVICE, {}),
    ("tag_resource", "resourceArn", SERVICE, {"tags": []}),
    ("untag_resource", "resourceArn", SERVICE, {"tagKeys": ["a"]}),
]
PREFIXES = {
    "arn:aws:ecs:eu-west-1:{account}:": "Invalid Region in ARN",
    "arn:aws:ecs:us-east-1:999999999999:": (
        "Invalid identifier: Identifier is for 999999999999. Your accountId is {account}"
    ),
}


async def test_an_arn_of_another_region_or_account_is_refused_everywhere(plane: ControlPlane, ecs: Ecs) -> None:
    """All in one world that has everything by the same name, so that nothing else could be the reason."""
    await ecs.create_cluster()
    await ecs.register_task_definition(**definition())
    await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=0)
    external = {"serviceName": "outside", "deploymentController": {"type": "EXTERNAL"}}
    await ecs.create_service(**external, desiredCount=0)
    account = plane.account.names.arns.account
    before = plane.store.view().revision
    for operation, member, path, others in CASES:
        for prefix, sentence in PREFIXES.items():
            arn = prefix.format(account=account) + path
            value = {member[:-2]: [arn]} if member.endswith("[]") else {member: arn}
            said = await refusal(getattr(ecs, operation)(**{**others, **value}))
            assert said == ("InvalidParameterException", sentence.format(account=account)), (operation, member)
    assert plane.store.view().revision == before


async def refusal(answer: Awaitable[Any]) -> tuple[str, str]:
    """Code and message; the answer itself where it is none."""
    try:
        return "", str(await answer)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["Error"]["Message"]


@pytest.mark.parametrize(
    ("operation", "member", "path"),
    [
        ("describe_services", "services", "service/other/web"),
        ("describe_tasks", "tasks", f"task/other/{ID}"),
        ("describe_container_instances", "containerInstances", f"container-instance/other/{ID}"),
    ],
)
async def test_an_arn_of_another_cluster_is_refused(
    plane: ControlPlane, ecs: Ecs, operation: str, member: str, path: str
) -> None:
    await ecs.create_cluster()
    await ecs.create_cluster(clusterName="other")
    arn = f"arn:aws:ecs:us-east-1:{plane.account.names.arns.account}:{path}"
    with pytest.raises(ClientError, match=r"Identifier is for cluster other\. Your cluster is default"):
        await getattr(ecs, operation)(**{member: [arn]})
    assert (await getattr(ecs, operation)(cluster="other", **{member: [arn]}))["failures"][0]["reason"] == "MISSING"
