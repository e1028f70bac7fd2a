"""What a RunTask or a StartTask may ask for besides a task definition: overrides, tags, words, a launch type."""

import json
from typing import Any

import pytest
from apiside import Ecs, call, definition, make_group, until
from botocore.exceptions import ClientError
from scripted_agent import ScriptedAgent

from controlplane.server import ControlPlane


async def test_every_override_reaches_the_agent(plane: ControlPlane, ecs: Ecs) -> None:
    own = {"command": ["a"], "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
    await ecs.register_task_definition(**definition(**own))
    file = {"value": "arn:aws:s3:::bucket/web.env", "type": "s3"}
    override = {
        "name": "main",
        "command": ["b", "c"],
        "environment": [{"name": "B", "value": "3"}],
        "environmentFiles": [file],
        "cpu": 64,
        "memory": 200,
        "memoryReservation": 100,
    }
    overrides = {
        "containerOverrides": [override],
        "cpu": "128",
        "memory": "256",
        "taskRoleArn": "arn:aws:iam::1:role/r",
    }
    async with ScriptedAgent(plane.url) as agent:
        ran = await ecs.run_task(taskDefinition="web", overrides=overrides)
        started = await ecs.start_task(taskDefinition="web", overrides=overrides, containerInstances=[agent.arn])
        for answer in (ran, started):
            task = answer["tasks"][0]
            assert {name: task["overrides"][name] for name in overrides} == overrides
            assert (task["cpu"], task["memory"]) == ("128", "256")
            shown = task["containers"][0]
            assert (shown["cpu"], shown["memory"], shown["memoryReservation"]) == ("64", "200", "100")
            await agent.is_told(task["taskArn"], "RUNNING")
            told = agent.tasks[task["taskArn"]]
            container = told["containers"][0]
            assert (told["cpu"], told["memory"]) == (0.125, 256)
            assert (container["command"], container["cpu"], container["memory"]) == (["b", "c"], 64, 200)
            assert {name: container["environment"][name] for name in "AB"} == {"A": "1", "B": "3"}
            assert container["environmentFiles"] == [file]
            assert json.loads(container["dockerConfig"]["hostConfig"])["MemoryReservation"] == 100 * 2**20
            assert told["roleCredentials"]["roleArn"] == "arn:aws:iam::1:role/r"


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"containerOverrides": [{"name": "main", "command": ["x" * 8192]}]}, "Container Overrides length must be at"),
        ({"containerOverrides": [{"command": ["x"]}]}, "Override for container named None is not a container"),
        ({"containerOverrides": [{"name": "main"}] * 2}, "overridden more than once"),
        ({"containerOverrides": [{"name": "main", "cpu": -1}]}, "Sizes must not be negative"),
        ({"containerOverrides": [{"name": "main", "memoryReservation": 9000}]}, "'memory' must cover"),
        ({"memory": "100"}, "less than the container's"),
        ({"cpu": "much"}, "neither CPU units nor a number of vCPU"),
        ({"cpu": "0"}, "cpu must be more than 0"),
    ],
)
async def test_a_bad_override_starts_nothing(
    plane: ControlPlane, ecs: Ecs, members: dict[str, Any], sentence: str
) -> None:
    await ecs.register_task_definition(**definition())
    async with ScriptedAgent(plane.url):
        status, answer = await call(plane.url, "RunTask", taskDefinition="web", overrides=members)
        assert (status, answer["__type"]) == (400, "InvalidParameterException")
        assert sentence in answer["message"]
        assert (await ecs.list_tasks())["taskArns"] == []


async def test_overrides_may_be_as_long_as_aws_says(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition())
    frame = len(json.dumps({"containerOverrides": [{"name": "main", "command": [""]}]}, separators=(",", ":")))
    override = {"name": "main", "command": ["\u00e9" * (8192 - frame)]}
    async with ScriptedAgent(plane.url):
        assert (await ecs.run_task(taskDefinition="web", overrides={"containerOverrides": [override]}))["tasks"]


@pytest.mark.parametrize(
    ("operation", "members", "sentence"),
    [
        ("RunTask", {"startedBy": "x" * 129}, "startedBy should be up to 128"),
        ("RunTask", {"startedBy": "a b"}, "startedBy should be up to 128"),
        ("StartTask", {"startedBy": "x" * 37, "containerInstances": ["x"]}, "startedBy should be up to 36"),
        ("RunTask", {"clientToken": "\u00e9"}, "clientToken should be up to 64"),
        ("RunTask", {"referenceId": "x" * 1025}, "referenceId should have at most 1024"),
        ("RunTask", {"propagateTags": "SERVICE"}, "propagateTags SERVICE is for the tasks of services"),
        ("RunTask", {"tags": [{"key": "a", "value": ""}] * 2}, "Duplicate tag keys"),
        ("RunTask", {"tags": [{"key": "k" * 129}]}, "length of at most 128"),
        (
            "RunTask",
            {"launchType": "EC2", "capacityProviderStrategy": [{"capacityProvider": "p"}]},
            "Specify either Launch Type or Capacity Provider Strategy, but not both.",
        ),
        ("RunTask", {"capacityProviderStrategy": [{"capacityProvider": "p"}]}, "not associated with the cluster"),
        ("RunTask", {"launchType": "MOON"}, "launch type should be one of [EC2,FARGATE,EXTERNAL"),
        ("ListTasks", {"startedBy": "a", "family": "b"}, "startedBy cannot be combined"),
    ],
)
async def test_words_have_limits(
    plane: ControlPlane, ecs: Ecs, *, operation: str, members: dict[str, Any], sentence: str
) -> None:
    await ecs.register_task_definition(**definition())
    status, answer = await call(plane.url, operation, taskDefinition="web", **members)
    assert (status, answer["__type"]) == (400, "InvalidParameterException")
    assert sentence in answer["message"]


async def test_a_default_strategy_is_not_passed_over(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition())
    group = {"autoScalingGroupArn": await make_group(plane.url, "g")}
    await ecs.create_capacity_provider(name="p", autoScalingGroupProvider=group)
    strategy = [{"capacityProvider": "p", "weight": 1}]
    await ecs.put_cluster_capacity_providers(
        cluster="default", capacityProviders=["p"], defaultCapacityProviderStrategy=strategy
    )
    async with ScriptedAgent(plane.url) as agent:
        for members in ({}, {"capacityProviderStrategy": strategy}):
            refused = await ecs.run_task(taskDefinition="web", **members)
            assert refused["tasks"] == [], "the host is not the provider's, and without managed scaling nobody waits"
        answer = await ecs.run_task(taskDefinition="web", launchType="EC2")
        assert [task["containerInstanceArn"] for task in answer["tasks"]] == [agent.arn], answer


async def test_tags_are_handed_on(plane: ControlPlane, ecs: Ecs) -> None:
    of_definition = [{"key": "from", "value": "definition"}, {"key": "tier", "value": "web"}]
    small = definition(cpu=1, memory=10)
    await ecs.register_task_definition(**small, tags=of_definition)

    async def tags_of(arn: str) -> dict[str, str]:
        described = (await ecs.describe_tasks(tasks=[arn], include=["TAGS"]))["tasks"][0]
        assert described["tags"] == (await ecs.list_tags_for_resource(resourceArn=arn))["tags"]
        return {tag["key"]: tag["value"] for tag in described["tags"]}

    async with ScriptedAgent(plane.url, obedient=False):
        ran = await ecs.run_task(
            taskDefinition="web",
            tags=[{"key": "from", "value": "me"}],
            propagateTags="TASK_DEFINITION",
            enableECSManagedTags=True,
        )
        arn = ran["tasks"][0]["taskArn"]
        assert await tags_of(arn) == {"from": "me", "tier": "web", "aws:ecs:clusterName": "default"}
        assert (await ecs.describe_tasks(tasks=[arn]))["tasks"][0]["tags"] == []
        await ecs.stop_task(task=arn)
        assert await tags_of(arn) == {}, "StopTask takes them away"

        of_service = [{"key": "from", "value": "service"}]
        expected = {
            "SERVICE": {"from": "service"},
            "TASK_DEFINITION": {"from": "definition", "tier": "web"},
            "NONE": {},
        }
        for source, tags in expected.items():
            name = f"s-{source.lower()}"
            await ecs.create_service(
                serviceName=name,
                taskDefinition="web",
                desiredCount=1,
                tags=of_service,
                propagateTags=source,
                enableECSManagedTags=True,
            )
            arn = plane.account.names.arns.service("default", name)
            await until(plane, lambda view, arn=arn: bool(view.tasks_of(arn)))
            task = plane.store.view().tasks_of(arn)[0].arn
            managed = {"aws:ecs:clusterName": "default", "aws:ecs:serviceName": name}
            assert await tags_of(task) == {**tags, **managed}
            with pytest.raises(ClientError, match="reserved"):
                await ecs.untag_resource(resourceArn=task, tagKeys=["aws:ecs:clusterName"])


async def test_a_task_definition_says_what_it_requires(ecs: Ecs) -> None:
    logs = {"logDriver": "awslogs", "options": {"awslogs-group": "g", "awslogs-region": "us-east-1"}}
    container = {
        "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/web:1",
        "logConfiguration": logs,
        "memoryReservation": 100,
        "privileged": True,
        "healthCheck": {"command": ["CMD", "x"]},
        "secrets": [{"name": "S", "valueFrom": "arn:aws:secretsmanager:us-east-1:1:secret:x"}],
    }
    whole = {**definition(**container), "executionRoleArn": "r", "taskRoleArn": "arn:aws:iam::1:role/r"}
    made = (await ecs.register_task_definition(**whole))["taskDefinition"]
    assert {attribute["name"] for attribute in made["requiresAttributes"]} == {
        "com.amazonaws.ecs.capability.task-iam-role",
        "com.amazonaws.ecs.capability.logging-driver.awslogs",
        "ecs.capability.execution-role-awslogs",
        "com.amazonaws.ecs.capability.docker-remote-api.1.19",
        "com.amazonaws.ecs.capability.docker-remote-api.1.21",
        "com.amazonaws.ecs.capability.ecr-auth",
        "ecs.capability.execution-role-ecr-pull",
        "ecs.capability.secrets.asm.environment-variables",
        "com.amazonaws.ecs.capability.privileged-container",
        "ecs.capability.container-health-check",
    }
    assert made["compatibilities"] == ["EC2", "EXTERNAL"]
    plain = (await ecs.register_task_definition(**definition("plain")))["taskDefinition"]
    assert plain["requiresAttributes"] == []


async def test_a_service_is_made_once(ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition())
    request = {"serviceName": "s", "taskDefinition": "web", "desiredCount": 0}
    made = await ecs.create_service(**request, clientToken="one")
    again = await ecs.create_service(**request, clientToken="two", cluster="default")
    assert again["service"]["createdAt"] == made["service"]["createdAt"]
    with pytest.raises(ClientError, match="Creation of service was not idempotent"):
        await ecs.create_service(**{**request, "desiredCount": 1})
    assert made["service"]["roleArn"].endswith("AWSServiceRoleForECS")


async def test_a_task_goes_only_where_an_agent_can_do_what_it_requires(plane: ControlPlane, ecs: Ecs) -> None:
    log = {"logConfiguration": {"logDriver": "gelf"}}
    await ecs.register_task_definition(**definition("odd", cpu=1, memory=10, **log))
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/web:1"
    await ecs.register_task_definition(**definition("ecr", cpu=1, memory=10, image=image))
    async with ScriptedAgent(plane.url) as agent:
        refused = [
            await ecs.run_task(taskDefinition="odd"),
            await ecs.start_task(taskDefinition="odd", containerInstances=[agent.arn]),
        ]
        for answer in refused:
            assert answer["tasks"] == []
            assert [(failure["arn"], failure["reason"]) for failure in answer["failures"]] == [(agent.arn, "ATTRIBUTE")]
        assert (await ecs.run_task(taskDefinition="ecr"))["tasks"], "its image may be there already"
        capable = {"name": "com.amazonaws.ecs.capability.logging-driver.gelf", "targetId": agent.arn}
        with pytest.raises(ClientError, match="reserved by ECS"):
            await ecs.put_attributes(attributes=[capable])
