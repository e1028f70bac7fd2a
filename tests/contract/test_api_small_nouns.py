"""Attributes, account settings, tags, deleted task definitions, and operations that are refused."""

from typing import Any

import pytest
from apiside import Ecs, call, definition, make_group
from botocore.exceptions import ClientError
from scripted_agent import ScriptedAgent

from controlplane.api.refusals import REFUSED
from controlplane.server import ControlPlane
from wire import ecs_shapes

ROOT = "arn:aws:iam::123456789012:root"
USER = "arn:aws:iam::123456789012:user/ann"


async def test_attributes_are_put_listed_seen_and_deleted(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url) as agent, ScriptedAgent(plane.url):
        short = {
            "name": "rack",
            "value": "r1",
            "targetId": agent.arn.rpartition("/")[2],
            "targetType": "container-instance",
        }
        assert (await ecs.put_attributes(attributes=[short]))["attributes"] == [short]
        whole = {**short, "targetId": agent.arn}
        listed = await ecs.list_attributes(targetType="container-instance", attributeName="rack")
        assert listed["attributes"] == [whole]
        await ecs.put_attributes(attributes=[{**whole, "value": "r2"}])
        by_value = await ecs.list_attributes(targetType="container-instance", attributeName="rack", attributeValue="r1")
        assert by_value["attributes"] == []
        await agent.register()
        instance = (await ecs.describe_container_instances(containerInstances=[agent.arn]))["containerInstances"][0]
        assert {"name": "rack", "value": "r2"} in instance["attributes"], "it outlives a registration"

        first = await ecs.list_attributes(targetType="container-instance", maxResults=3)
        rest = await ecs.list_attributes(targetType="container-instance", nextToken=first["nextToken"])
        everything = [(a["targetId"], a["name"]) for page in (first, rest) for a in page["attributes"]]
        assert everything == sorted(set(everything))

        ten = [{"name": f"a{n}", "targetId": agent.arn} for n in range(10)]
        with pytest.raises(ecs.client.exceptions.AttributeLimitExceededException):
            await ecs.put_attributes(attributes=ten)
        listed = await ecs.list_attributes(targetType="container-instance", attributeName="a0")
        assert listed["attributes"] == [], "all or none"
        with pytest.raises(ecs.client.exceptions.TargetNotFoundException, match="Could not find nowhere"):
            await ecs.put_attributes(
                attributes=[{"name": "x", "targetId": "nowhere", "targetType": "container-instance"}]
            )
        await ecs.delete_attributes(attributes=[{"name": "rack", "targetId": agent.arn}])
        listed = await ecs.list_attributes(targetType="container-instance", attributeName="rack")
        assert listed["attributes"] == []


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ([], "attributes can not be empty"),
        ([{"name": "a b", "targetId": "x"}], "attribute name should be"),
        ([{"name": "ecs.mine", "targetId": "x"}], "reserved"),
        ([{"name": "a", "value": " x", "targetId": "x"}], "attribute value should be"),
        ([{"name": "a"}], "targetId can not be empty"),
        ([{"name": "a", "targetId": "x"}], "targetType is required"),
        ([{"name": "a", "targetId": "x", "targetType": "task"}], "targetType must be container-instance"),
        ([{"name": "a", "targetId": "x"}] * 11, "more than 10"),
    ],
)
async def test_a_bad_attribute_is_one_sentence(
    plane: ControlPlane, attributes: list[dict[str, str]], sentence: str
) -> None:
    status, answer = await call(plane.url, "PutAttributes", attributes=attributes)
    assert (status, answer["__type"]) == (400, "InvalidParameterException")
    assert sentence in answer["message"]


async def test_account_settings_have_three_layers(ecs: Ecs) -> None:
    async def value(principal: str) -> tuple[str, str]:
        listed = await ecs.list_account_settings(
            effectiveSettings=True, name="containerInsights", principalArn=principal
        )
        (setting,) = listed["settings"]
        return setting["value"], setting["principalArn"]

    assert await value(USER) == ("disabled", ROOT)
    assert (await ecs.list_account_settings())["settings"] == []
    await ecs.put_account_setting_default(name="containerInsights", value="enabled")
    assert await value(USER) == ("enabled", ROOT)
    own = await ecs.put_account_setting(name="containerInsights", value="enhanced", principalArn=USER)
    assert own["setting"] == {
        "name": "containerInsights",
        "value": "enhanced",
        "principalArn": USER,
        "type": "user",
    }
    assert await value(USER) == ("enhanced", USER)
    made = (await ecs.create_cluster(clusterName="new"))["cluster"]
    assert made["settings"] == [{"name": "containerInsights", "value": "enabled"}]
    after = await ecs.delete_account_setting(name="containerInsights", principalArn=USER)
    assert after["setting"]["value"] == "enabled"
    everything = [s async for s in _settings(ecs)]
    assert len(everything) == len(set(everything)) == 11


async def _settings(ecs: Ecs) -> Any:
    token: dict[str, Any] = {}
    while True:
        answer = await ecs.list_account_settings(effectiveSettings=True, maxResults=4, **token)
        for setting in answer["settings"]:
            yield setting["name"]
        if "nextToken" not in answer:
            return
        token = {"nextToken": answer["nextToken"]}


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("taskLongArnFormat", "disabled", "can no longer be turned off"),
        ("containerInsights", "on", "containerInsights should be one of [disabled,enabled,enhanced]"),
        ("fargateTaskRetirementWaitPeriod", "8", "should be one of [0,14,7]"),
        ("guardDutyActivate", "on", "managed by AWS"),
        ("unknown", "on", "unknown should be one of [serviceLongArnFormat,"),
    ],
)
async def test_a_bad_account_setting_is_one_sentence(plane: ControlPlane, name: str, value: str, sentence: str) -> None:
    status, answer = await call(plane.url, "PutAccountSetting", name=name, value=value)
    assert (status, answer["__type"]) == (400, "InvalidParameterException")
    assert sentence in answer["message"]


async def test_every_kind_of_resource_takes_tags(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url) as agent:
        definition_arn = (await ecs.register_task_definition(**definition(cpu=1, memory=10)))["taskDefinition"][
            "taskDefinitionArn"
        ]
        group = {"autoScalingGroupArn": await make_group(plane.url, "g")}
        provider = await ecs.create_capacity_provider(name="p", autoScalingGroupProvider=group)
        arns = [
            definition_arn,
            agent.arn,
            plane.account.names.arns.cluster("default"),
            provider["capacityProvider"]["capacityProviderArn"],
            (await ecs.run_task(taskDefinition="web"))["tasks"][0]["taskArn"],
            (await ecs.create_service(serviceName="s", taskDefinition="web", desiredCount=0))["service"]["serviceArn"],
        ]
        for arn in arns:
            tags = [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
            await ecs.tag_resource(resourceArn=arn, tags=tags)
            await ecs.tag_resource(resourceArn=arn, tags=[{"key": "a", "value": "3"}])
            await ecs.untag_resource(resourceArn=arn, tagKeys=["b", "never"])
            assert (await ecs.list_tags_for_resource(resourceArn=arn))["tags"] == [{"key": "a", "value": "3"}]
            many = [{"key": f"k{n}", "value": ""} for n in range(50)]
            with pytest.raises(ecs.client.exceptions.LimitExceededException):
                await ecs.tag_resource(resourceArn=arn, tags=many)
            with pytest.raises(ClientError, match="reserved"):
                await ecs.tag_resource(resourceArn=arn, tags=[{"key": "AWS:x", "value": ""}])
        with pytest.raises(ecs.client.exceptions.ResourceNotFoundException):
            await ecs.tag_resource(resourceArn=arns[0].replace("web:1", "web:9"), tags=[{"key": "a", "value": ""}])
        with pytest.raises(ClientError, match="The ARN provided is invalid"):
            await ecs.list_tags_for_resource(resourceArn="arn:aws:ecs:us-east-1:1:gateway/x")


async def test_a_deleted_revision_goes_when_nothing_needs_it_and_never_comes_back(
    plane: ControlPlane, ecs: Ecs
) -> None:
    for _ in range(2):
        await ecs.register_task_definition(**definition(cpu=1, memory=10))
    async with ScriptedAgent(plane.url):
        task = (await ecs.run_task(taskDefinition="web:2"))["tasks"][0]["taskArn"]
        await ecs.deregister_task_definition(taskDefinition="web:2")
        answer = await ecs.delete_task_definitions(taskDefinitions=["web:1", "web:2", "web:9", "web"])
        assert [d["status"] for d in answer["taskDefinitions"]] == ["DELETE_IN_PROGRESS"]
        assert [failure["reason"].split(".")[0] for failure in answer["failures"]] == [
            "The specified task definition is still in ACTIVE status",
            "The specified task definition does not exist",
            "The specified task definition identifier is invalid",
        ]
        with pytest.raises(ClientError, match="TaskDefinition is inactive"):
            await ecs.run_task(taskDefinition="web:2")
        listed = await ecs.list_task_definitions(status="DELETE_IN_PROGRESS")
        assert len(listed["taskDefinitionArns"]) == 1
        assert (await ecs.describe_tasks(tasks=[task]))["tasks"][0]["taskDefinitionArn"].endswith("web:2")
    await ecs.register_task_definition(**definition())
    for reference in ("web:3", "web:1"):
        await ecs.deregister_task_definition(taskDefinition=reference)
    await ecs.delete_task_definitions(taskDefinitions=["web:3"])
    await plane.sweeper._drop_old()
    with pytest.raises(ClientError, match="Unable to describe"):
        await ecs.describe_task_definition(taskDefinition="web:3")
    assert (await ecs.describe_task_definition(taskDefinition="web:2"))["taskDefinition"]["deleteRequestedAt"]
    assert (await ecs.register_task_definition(**definition()))["taskDefinition"]["revision"] == 4


@pytest.mark.parametrize("operation", sorted(REFUSED))
async def test_what_makes_no_sense_here_is_refused_by_the_models_own_exception(
    plane: ControlPlane, operation: str
) -> None:
    status, answer = await call(plane.url, operation)
    modelled = "UnsupportedFeatureException" in ecs_shapes.error_names(operation)
    assert (status, answer["__type"]) == (400, "UnsupportedFeatureException" if modelled else "ClientException")
    assert answer["message"].startswith(f"{operation} is for ")
    assert answer["message"].endswith(".")


async def test_an_agent_is_updated_on_its_host(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url) as agent:
        with pytest.raises(ecs.client.exceptions.NoUpdateAvailableException):
            await ecs.update_container_agent(containerInstance=agent.arn)
