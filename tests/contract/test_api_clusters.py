"""Clusters with all that they carry, and capacity providers, as boto3 sees them."""

from typing import Any

import pytest
from apiside import Ecs, call, definition, make_group
from botocore.exceptions import ClientError
from scripted_agent import ScriptedAgent

from controlplane.core.plan import Conflict
from controlplane.core.view import Draft
from controlplane.server import ControlPlane

ACCOUNT = "arn:aws:ecs:us-east-1:123456789012"
ALL = ["ATTACHMENTS", "CONFIGURATIONS", "SETTINGS", "STATISTICS", "TAGS"]


async def one(ecs: Ecs, name: str, include: list[str]) -> dict[str, Any]:
    answer: dict[str, Any] = (await ecs.describe_clusters(clusters=[name], include=include))["clusters"][0]
    return answer


async def test_a_cluster_is_given_back_in_the_parts_that_are_asked_for(ecs: Ecs) -> None:
    settings = [{"name": "containerInsights", "value": "enhanced"}]
    logging = {"executeCommandConfiguration": {"logging": "NONE"}}
    await ecs.create_cluster(
        clusterName="prod",
        settings=settings,
        configuration=logging,
        serviceConnectDefaults={"namespace": "shop"},
        tags=[{"key": "team", "value": "x"}],
    )
    bare = await one(ecs, "prod", [])
    assert (bare["tags"], bare["settings"], bare["statistics"]) == ([], [], [])
    assert "configuration" not in bare
    whole = await one(ecs, "prod", ALL)
    assert (whole["settings"], whole["configuration"]) == (settings, logging)
    assert whole["serviceConnectDefaults"] == {"namespace": "shop"}
    counts = {statistic["name"]: statistic["value"] for statistic in whole["statistics"]}
    assert counts["runningEC2TasksCount"] == counts["drainingFargateServiceCount"] == "0"

    await ecs.update_cluster(cluster="prod", configuration={"executeCommandConfiguration": {"logging": "DEFAULT"}})
    changed = await ecs.update_cluster_settings(
        cluster="prod", settings=[{"name": "containerInsights", "value": "disabled"}]
    )
    assert changed["cluster"]["settings"][0]["value"] == "disabled"
    whole = await one(ecs, "prod", ALL)
    assert whole["configuration"]["executeCommandConfiguration"] == {"logging": "DEFAULT"}
    assert whole["tags"] == [{"key": "team", "value": "x"}], "what is not given stays"
    assert (await ecs.list_services_by_namespace(namespace="shop"))["serviceArns"] == []
    with pytest.raises(ecs.client.exceptions.NamespaceNotFoundException):
        await ecs.list_services_by_namespace(namespace="none")
    with pytest.raises(ClientError, match="should be one of"):
        await ecs.update_cluster_settings(cluster="prod", settings=[{"name": "containerInsights", "value": "loud"}])


async def test_a_cluster_that_was_deleted_is_inactive_and_not_found(ecs: Ecs) -> None:
    await ecs.create_cluster(clusterName="prod")
    await ecs.delete_cluster(cluster="prod")
    assert (await one(ecs, "prod", []))["status"] == "INACTIVE"
    with pytest.raises(ecs.client.exceptions.ClusterNotFoundException, match="The referenced cluster was inactive"):
        await ecs.list_tasks(cluster="prod")


@pytest.mark.parametrize("what", ["Services", "CapacityProvider"])
async def test_a_cluster_that_somebody_lives_in_is_not_deleted(plane: ControlPlane, ecs: Ecs, what: str) -> None:
    await ecs.register_task_definition(**definition())
    await ecs.create_cluster(clusterName="prod")
    async with ScriptedAgent(plane.url, cluster="prod") as agent:
        if what == "Services":
            await ecs.create_service(cluster="prod", serviceName="s", taskDefinition="web", desiredCount=0)
        else:
            group = {"autoScalingGroupArn": await make_group(plane.url, "web")}
            await ecs.create_capacity_provider(name="own", cluster="prod", autoScalingGroupProvider=group)
        with pytest.raises(ClientError) as refused:
            await ecs.delete_cluster(cluster="prod")
        assert refused.value.response["Error"]["Code"] == "ClusterContainsContainerInstancesException"
    await ecs.deregister_container_instance(cluster="prod", containerInstance=agent.arn)
    with pytest.raises(ClientError) as refused:
        await ecs.delete_cluster(cluster="prod")
    assert refused.value.response["Error"]["Code"] == f"ClusterContains{what}Exception"


async def test_what_moves_in_while_a_cluster_is_deleted_is_not_lost(plane: ControlPlane, ecs: Ecs) -> None:
    """Both decided on one view: whichever is committed second is decided anew."""
    from controlplane.api.call import Call
    from controlplane.api.clusters import delete_cluster
    from controlplane.api.services import create_service

    await ecs.register_task_definition(**definition())
    await ecs.create_cluster(clusterName="prod")

    def call_of(operation: str, **body: Any) -> Call:
        return Call(operation, {"cluster": "prod", **body}, "id", 1.0, plane.account, plane.url)

    for first_deletes in (False, True):
        deleting = Draft(plane.store.view(), now=1.0, cause="a")
        moving_in = Draft(plane.store.view(), now=1.0, cause="b")
        delete_cluster(deleting, call_of("DeleteCluster"))
        create_service(moving_in, call_of("CreateService", serviceName="s", taskDefinition="web", desiredCount=0))
        drafts = [deleting, moving_in] if first_deletes else [moving_in, deleting]
        await plane.store.commit(drafts[0].plan())
        with pytest.raises(Conflict):
            await plane.store.commit(drafts[1].plan())
        if not first_deletes:
            await ecs.delete_service(cluster="prod", service="s")
            await ecs.wait("services_inactive", cluster="prod", services=["s"])


async def test_a_capacity_provider_lives_and_dies(plane: ControlPlane, ecs: Ecs) -> None:
    arn = await make_group(plane.url, "web")
    group = {"autoScalingGroupArn": arn, "managedScaling": {"status": "ENABLED", "targetCapacity": 67}}
    tags = [{"key": "team", "value": "x"}]
    made = (await ecs.create_capacity_provider(name="web", autoScalingGroupProvider=group, tags=tags))[
        "capacityProvider"
    ]
    assert made["capacityProviderArn"] == f"{ACCOUNT}:capacity-provider/web"
    assert (made["status"], made["type"], made["tags"]) == ("ACTIVE", "EC2_AUTOSCALING", tags)
    scaling = made["autoScalingGroupProvider"]["managedScaling"]
    assert (scaling["targetCapacity"], scaling["maximumScalingStepSize"]) == (67, 10000)
    again = await ecs.create_capacity_provider(name="web", autoScalingGroupProvider=group, tags=tags)
    assert again["capacityProvider"] == made
    with pytest.raises(ClientError, match="already being used by another capacity provider"):
        await ecs.create_capacity_provider(name="other", autoScalingGroupProvider=group)

    changed = {"managedScaling": {"targetCapacity": 100}, "managedTerminationProtection": "ENABLED"}
    updated = (await ecs.update_capacity_provider(name="web", autoScalingGroupProvider=changed))["capacityProvider"]
    shown = updated["autoScalingGroupProvider"]
    assert (shown["managedScaling"]["status"], shown["managedScaling"]["targetCapacity"]) == ("ENABLED", 100)
    assert (shown["managedTerminationProtection"], updated["updateStatus"]) == ("ENABLED", "UPDATE_COMPLETE")

    strategy = [{"capacityProvider": "web", "weight": 1, "base": 2}]
    cluster = await ecs.put_cluster_capacity_providers(
        cluster="default", capacityProviders=["web", "FARGATE"], defaultCapacityProviderStrategy=strategy
    )
    assert cluster["cluster"]["capacityProviders"] == ["web", "FARGATE"]
    assert (await one(ecs, "default", []))["defaultCapacityProviderStrategy"] == strategy
    with pytest.raises(ClientError, match="associated with cluster: default"):
        await ecs.delete_capacity_provider(capacityProvider="web")
    await ecs.put_cluster_capacity_providers(
        cluster="default", capacityProviders=[], defaultCapacityProviderStrategy=[]
    )
    gone = (await ecs.delete_capacity_provider(capacityProvider=made["capacityProviderArn"]))["capacityProvider"]
    assert (gone["status"], gone["updateStatus"]) == ("ACTIVE", "DELETE_IN_PROGRESS")
    described = await ecs.describe_capacity_providers(capacityProviders=["web", "FARGATE", "none"])
    seen = {shape["name"]: (shape["status"], shape.get("updateStatus")) for shape in described["capacityProviders"]}
    assert seen == {"FARGATE": ("ACTIVE", None), "web": ("INACTIVE", "DELETE_COMPLETE")}
    assert described["failures"] == [{"arn": f"{ACCOUNT}:capacity-provider/none", "reason": "MISSING"}]
    assert (await ecs.create_capacity_provider(name="web", autoScalingGroupProvider=group))["capacityProvider"]


async def test_capacity_providers_are_described_in_pages(plane: ControlPlane, ecs: Ecs) -> None:
    for number in range(11):
        group = {"autoScalingGroupArn": await make_group(plane.url, f"group-{number}")}
        await ecs.create_capacity_provider(name=f"p{number:02}", autoScalingGroupProvider=group)
    first = await ecs.describe_capacity_providers()
    rest = await ecs.describe_capacity_providers(nextToken=first["nextToken"])
    names = [shape["name"] for page in (first, rest) for shape in page["capacityProviders"]]
    assert names == ["FARGATE", "FARGATE_SPOT", *(f"p{number:02}" for number in range(11))]
    assert "nextToken" not in rest


GROUPED = {"autoScalingGroupArn": "g"}
LAUNCH = {"ec2InstanceProfileArn": "p", "networkConfiguration": {}}
MANAGED = {"infrastructureRoleArn": "r", "instanceLaunchTemplate": LAUNCH}
CODES = {"parameter": "InvalidParameterException", "client": "ClientException"}


def put(providers: list[str], strategy: list[dict[str, Any]]) -> dict[str, Any]:
    return {"cluster": "default", "capacityProviders": providers, "defaultCapacityProviderStrategy": strategy}


@pytest.mark.parametrize(
    ("operation", "members", "code", "sentence"),
    [
        (
            "CreateCapacityProvider",
            {"name": "awsome", "autoScalingGroupProvider": GROUPED},
            "parameter",
            "cannot be prefixed",
        ),
        (
            "CreateCapacityProvider",
            {"name": "p", "managedInstancesProvider": MANAGED},
            "UnsupportedFeatureException",
            "Managed Instances",
        ),
        (
            "CreateCapacityProvider",
            {"name": "p", "autoScalingGroupProvider": {**GROUPED, "managedTerminationProtection": "ENABLED"}},
            "parameter",
            "managed scaling must be enabled",
        ),
        (
            "CreateCapacityProvider",
            {"name": "p", "autoScalingGroupProvider": {"autoScalingGroupArn": "none"}},
            "client",
            "there are: g",
        ),
        ("DeleteCapacityProvider", {"capacityProvider": "FARGATE"}, "parameter", "cannot be deleted"),
        ("DeleteCapacityProvider", {"capacityProvider": "none"}, "client", "does not exist"),
        ("PutClusterCapacityProviders", put(["none"], []), "parameter", "'none' was not found"),
        (
            "PutClusterCapacityProviders",
            put(["FARGATE"], [{"capacityProvider": "FARGATE_SPOT"}]),
            "parameter",
            "not associated with the cluster",
        ),
        (
            "PutClusterCapacityProviders",
            put(
                ["FARGATE", "FARGATE_SPOT"],
                [
                    {"capacityProvider": "FARGATE", "base": 1, "weight": 1},
                    {"capacityProvider": "FARGATE_SPOT", "base": 1},
                ],
            ),
            "parameter",
            "Only one capacity provider",
        ),
        ("UpdateCluster", {"cluster": "none"}, "ClusterNotFoundException", "Cluster not found."),
        ("CreateCluster", {"clusterName": "a b"}, "parameter", "Cluster name should be"),
        ("CreateCluster", {"clusterName": "x", "tags": [{"key": "aws:x", "value": "y"}]}, "parameter", "reserved"),
        ("UpdateContainerAgent", {"containerInstance": "none"}, "parameter", "not found"),
    ],
)
async def test_bad_requests_change_nothing(
    plane: ControlPlane, *, operation: str, members: dict[str, Any], code: str, sentence: str
) -> None:
    await make_group(plane.url, "g")
    revision = plane.store.view().revision
    status, answer = await call(plane.url, operation, **members)
    assert (status, answer["__type"]) == (400, CODES.get(code, code))
    assert sentence in answer["message"]
    assert plane.store.view().revision == revision
