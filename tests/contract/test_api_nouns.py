"""Clusters, task definitions and container instances, as boto3 sees them."""

from typing import Any

import pytest
from apiside import Ecs, call, definition
from botocore.exceptions import ClientError
from scripted_agent import CAPABILITIES, ScriptedAgent

from controlplane.server import ControlPlane

ACCOUNT = "arn:aws:ecs:us-east-1:123456789012"


async def test_the_default_cluster_is_there(ecs: Ecs) -> None:
    assert (await ecs.list_clusters())["clusterArns"] == [f"{ACCOUNT}:cluster/default"]
    described = await ecs.describe_clusters()
    assert described["clusters"][0]["clusterName"] == "default"
    assert described["clusters"][0]["status"] == "ACTIVE"


async def test_a_cluster_lives_and_dies(ecs: Ecs) -> None:
    tags = [{"key": "team", "value": "x"}]
    made = (await ecs.create_cluster(clusterName="prod", tags=tags))["cluster"]
    assert made["clusterArn"] == f"{ACCOUNT}:cluster/prod"
    assert (await ecs.create_cluster(clusterName="prod"))["cluster"]["clusterArn"] == made["clusterArn"]
    described = await ecs.describe_clusters(clusters=["prod", made["clusterArn"], "none"], include=["TAGS"])
    assert [cluster["tags"] for cluster in described["clusters"]] == [tags, tags]
    assert described["failures"] == [{"arn": f"{ACCOUNT}:cluster/none", "reason": "MISSING"}]
    assert (await ecs.delete_cluster(cluster="prod"))["cluster"]["status"] == "INACTIVE"
    assert (await ecs.list_clusters())["clusterArns"] == [f"{ACCOUNT}:cluster/default"]
    assert (await ecs.create_cluster(clusterName="prod"))["cluster"]["status"] == "ACTIVE"


async def test_a_cluster_with_an_instance_is_not_deleted(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url):
        with pytest.raises(ecs.client.exceptions.ClusterContainsContainerInstancesException):
            await ecs.delete_cluster(cluster="default")


async def test_task_definitions_count_their_revisions(ecs: Ecs) -> None:
    first = (await ecs.register_task_definition(**definition(stopTimeout=7)))["taskDefinition"]
    second = (await ecs.register_task_definition(**definition(), tags=[{"key": "a", "value": "b"}]))["taskDefinition"]
    assert (first["revision"], second["revision"]) == (1, 2)
    assert first["taskDefinitionArn"] == f"{ACCOUNT}:task-definition/web:1"
    main = first["containerDefinitions"][0]
    assert (main["stopTimeout"], main["essential"], main["environment"]) == (7, True, [])

    latest = await ecs.describe_task_definition(taskDefinition="web", include=["TAGS"])
    assert (latest["taskDefinition"]["revision"], latest["tags"]) == (2, [{"key": "a", "value": "b"}])
    assert (await ecs.deregister_task_definition(taskDefinition="web:2"))["taskDefinition"]["status"] == "INACTIVE"
    assert (await ecs.describe_task_definition(taskDefinition="web"))["taskDefinition"]["revision"] == 1
    assert (await ecs.register_task_definition(**definition()))["taskDefinition"]["revision"] == 3


async def test_task_definitions_are_listed_in_order(ecs: Ecs) -> None:
    for family in ["web", *["db"] * 11]:
        await ecs.register_task_definition(**definition(family))
    await ecs.deregister_task_definition(taskDefinition="web:1")
    pages = [page async for page in _pages(ecs, familyPrefix="db", sort="DESC", maxResults=4)]
    revisions = [int(arn.rpartition(":")[2]) for page in pages for arn in page]
    assert revisions == list(range(11, 0, -1))
    assert [len(page) for page in pages] == [4, 4, 3]
    assert (await ecs.list_task_definitions(familyPrefix="d"))["taskDefinitionArns"] == []
    assert len((await ecs.list_task_definitions(status="INACTIVE"))["taskDefinitionArns"]) == 1
    assert (await ecs.list_task_definition_families(familyPrefix="d"))["families"] == ["db"]
    assert (await ecs.list_task_definition_families(status="ACTIVE"))["families"] == ["db"]
    assert (await ecs.list_task_definition_families(status="INACTIVE"))["families"] == ["web"]


async def _pages(ecs: Ecs, **members: Any) -> Any:
    while True:
        answer = await ecs.list_task_definitions(**members)
        yield answer["taskDefinitionArns"]
        if "nextToken" not in answer:
            return
        members["nextToken"] = answer["nextToken"]


@pytest.mark.parametrize(
    ("container", "sentence"),
    [
        ({"name": "a b"}, "Invalid container name 'a b'"),
        ({"name": "-/x"}, "Invalid container name '-/x'"),
        ({"name": "x" * 256}, "Invalid container name"),
        ({"name": ""}, "Container.name should not be null or empty."),
        ({"image": ""}, "Container.image should not be null or empty."),
        (
            {"memory": 0},
            "Invalid setting for container 'main'. At least one of 'memory' or 'memoryReservation' must be",
        ),
        ({"memory": 5}, "at least 6 MiB"),
        ({"memoryReservation": 9000}, "'memory' must cover 'memoryReservation'"),
        ({"essential": False}, "at least one essential container"),
        ({"portMappings": [{"containerPort": 70000}]}, "'containerPort' must be between 0 and 65535"),
        ({"portMappings": [{"hostPort": 80}]}, "A port mapping needs a 'containerPort'"),
        ({"stopTimeout": -1}, "'stopTimeout' must not be negative"),
    ],
)
async def test_a_bad_container_is_one_sentence_and_registers_nothing(
    ecs: Ecs, container: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ecs.client.exceptions.ClientException) as refused:
        await ecs.register_task_definition(**definition(**container))
    assert sentence in refused.value.response["Error"]["Message"]
    assert (await ecs.list_task_definition_families())["families"] == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"containerDefinitions": []}, "1 to 10 container definitions"),
        ({"containerDefinitions": definition()["containerDefinitions"] * 2}, "'main' is used 2 times"),
        ({"family": "a/b"}, "Family should be"),
        ({"cpu": "many"}, "many"),
        (
            {"containerDefinitions": definition(command=["x" * 65536])["containerDefinitions"]},
            "Max allowed length is '6",
        ),
        (
            {
                "networkMode": "host",
                "containerDefinitions": definition(portMappings=[{"containerPort": 1, "hostPort": 2}])[
                    "containerDefinitions"
                ],
            },
            "When networkMode=host, the host ports and container ports in port mappings must match.",
        ),
        ({"memory": "100"}, "less than the container's"),
    ],
)
async def test_a_bad_definition_is_one_sentence(ecs: Ecs, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ecs.client.exceptions.ClientException) as refused:
        await ecs.register_task_definition(**{**definition(), **changes})
    assert sentence in refused.value.response["Error"]["Message"]


async def test_unknown_task_definitions(ecs: Ecs) -> None:
    for operation in (ecs.describe_task_definition, ecs.deregister_task_definition):
        with pytest.raises(ClientError, match="Unable to describe task definition"):
            await operation(taskDefinition="none:1")
    with pytest.raises(ClientError, match="Revision is missing"):
        await ecs.deregister_task_definition(taskDefinition="none")
    with pytest.raises(ClientError, match="Invalid revision number"):
        await ecs.describe_task_definition(taskDefinition="none:x")


async def test_an_instance_registers_with_all_that_it_said(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url, release="on-exit") as agent:
        assert (await ecs.list_container_instances())["containerInstanceArns"] == [agent.arn]
        short = agent.arn.rpartition("/")[2]
        described = await ecs.describe_container_instances(containerInstances=[agent.arn, short, "0" * 32])
        assert described["failures"] == [
            {"arn": f"{ACCOUNT}:container-instance/default/{'0' * 32}", "reason": "MISSING"}
        ]
        instance, same = described["containerInstances"]
        assert instance == same
        assert (instance["status"], instance["agentConnected"]) == ("ACTIVE", True)
        assert instance["ec2InstanceId"] == "i-0123456789abcdef0"
        assert instance["versionInfo"] == {"agentVersion": "1.105.1", "dockerVersion": "DockerVersion: 20.10.24"}
        attributes = {attribute["name"]: attribute.get("value") for attribute in instance["attributes"]}
        assert attributes == {
            "ecs.instance-type": "r5.large",
            "ecs.availability-zone": "us-east-1a",
            "ecs.os-type": "linux",
            **dict.fromkeys(CAPABILITIES),
            "berth.resource-release": "on-exit",
        }
        free = {r["name"]: r.get("stringSetValue") or r["integerValue"] for r in instance["remainingResources"]}
        assert free == {"CPU": 2048, "MEMORY": 15731, "PORTS": ["22", "2375", "2376"], "PORTS_UDP": 0}


async def test_an_agent_that_registers_again_is_the_same_instance(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url) as agent:
        first = agent.arn
        await agent.disconnect()
        again = await agent.register()
        assert again["containerInstance"]["containerInstanceArn"] == first
        agent.arn = ""
        await agent.register()
        assert agent.arn == first, "the same client token is the same request"
        assert (await ecs.list_container_instances())["containerInstanceArns"] == [first]


async def test_an_agent_that_we_have_forgotten_keeps_its_arn(plane: ControlPlane) -> None:
    arn = f"{ACCOUNT}:container-instance/default/{'a' * 32}"
    resources = [{"name": "CPU", "integerValue": 1024}, {"name": "MEMORY", "integerValue": 1024}]
    members = {"containerInstanceArn": arn, "totalResources": resources}
    _, answer = await call(plane.url, "RegisterContainerInstance", **members)
    assert answer["containerInstance"]["containerInstanceArn"] == arn


@pytest.mark.parametrize(
    ("members", "code", "sentence"),
    [
        ({"cluster": "none"}, "ClusterNotFoundException", "Cluster not found."),
        ({"totalResources": []}, "InvalidParameterException", "a CPU and a MEMORY of more than 0"),
        ({"instanceIdentityDocument": "{"}, "ClientException", "no JSON object"),
        ({"attributes": [{"name": "berth.resource-release", "value": "late"}]}, "InvalidParameterException", "eager"),
    ],
)
async def test_a_bad_registration_makes_no_instance(
    plane: ControlPlane, ecs: Ecs, members: dict[str, Any], code: str, sentence: str
) -> None:
    resources = [{"name": "CPU", "integerValue": 1024}, {"name": "MEMORY", "integerValue": 1024}]
    status, answer = await call(plane.url, "RegisterContainerInstance", **{"totalResources": resources, **members})
    assert (status, answer["__type"]) == (400, code)
    assert sentence in answer["message"]
    assert (await ecs.list_container_instances())["containerInstanceArns"] == []


async def test_an_instance_drains_and_goes(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url) as agent:
        drained = await ecs.update_container_instances_state(containerInstances=[agent.arn], status="DRAINING")
        assert drained["containerInstances"][0]["status"] == "DRAINING"
        listed = await ecs.list_container_instances(status="DRAINING")
        assert listed["containerInstanceArns"] == [agent.arn]
        with pytest.raises(ClientError, match=r"should be one of \[ACTIVE, DRAINING\]"):
            await ecs.update_container_instances_state(containerInstances=[agent.arn], status="REGISTERING")
        gone = (await ecs.deregister_container_instance(containerInstance=agent.arn))["containerInstance"]
        assert (gone["status"], gone["agentConnected"]) == ("INACTIVE", False)
        await agent.closed()
        assert (await ecs.list_container_instances())["containerInstanceArns"] == []
        with pytest.raises(Exception, match="400"):
            await agent.connect()
        with pytest.raises(Exception, match="has been deregistered"):
            await agent.register()


@pytest.mark.parametrize(
    ("action", "word", "status"), [("terminate", "terminated", "INACTIVE"), ("stop", "stopped", "ACTIVE")]
)
async def test_a_host_that_is_taken_away_takes_its_tasks_with_it(
    plane: ControlPlane, ecs: Ecs, action: str, word: str, status: str
) -> None:
    """What ECS says when EC2 has taken an instance: TerminationNotice; a stopped instance stays in the books."""
    async with ScriptedAgent(plane.url, obedient=False) as agent:
        await ecs.register_task_definition(**definition())
        going, stopping = [(await ecs.run_task(taskDefinition="web"))["tasks"][0]["taskArn"] for _ in range(2)]
        await ecs.stop_task(task=stopping, reason="because")
        gone = {"cluster": "default", "containerInstance": agent.arn, "action": action}
        for _ in range(2):
            assert await call(plane.url, "SubmitInstanceInterruption", **gone) == (200, {})
        tasks = (await ecs.describe_tasks(tasks=[going, stopping]))["tasks"]
        assert [(t["lastStatus"], t["stopCode"], t["stoppedReason"]) for t in tasks] == [
            ("STOPPED", "TerminationNotice", f"Host EC2 (instance i-0123456789abcdef0) {word}."),
            ("STOPPED", "UserInitiated", "because"),
        ]
        instance = plane.store.view().instance(agent.arn)
        assert instance is not None
        assert (instance.status, instance.agent_connected) == (status, False)
        assert plane.store.view().free(agent.arn).cpu == instance.registered.cpu
    answered, body = await call(plane.url, "SubmitInstanceInterruption", **{**gone, "action": "explode"})
    assert (answered, body["__type"]) == (400, "SerializationException")
    nobody = {**gone, "containerInstance": "arn:aws:ecs:us-east-1:123456789012:container-instance/default/none"}
    assert await call(plane.url, "SubmitInstanceInterruption", **nobody) == (200, {})
