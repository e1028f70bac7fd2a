"""Tasks through the API and an agent: run, told, running, stopped; and what does not fit."""

from typing import Any

import pytest
from apiside import Ecs, call, definition, until
from botocore.exceptions import ClientError
from scripted_agent import ScriptedAgent

from controlplane.server import ControlPlane
from wire.status import TaskStatus


async def resources(ecs: Ecs, instance: str) -> tuple[int, int]:
    described = await ecs.describe_container_instances(containerInstances=[instance])
    by_name = {r["name"]: r["integerValue"] for r in described["containerInstances"][0]["remainingResources"]}
    return by_name["CPU"], by_name["MEMORY"]


async def described(ecs: Ecs, task: str) -> dict[str, Any]:
    answer: dict[str, Any] = (await ecs.describe_tasks(tasks=[task]))["tasks"][0]
    return answer


async def test_a_task_runs_and_stops(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition())
    async with ScriptedAgent(plane.url, obedient=False) as agent:
        ran = await ecs.run_task(taskDefinition="web", startedBy="me", tags=[{"key": "a", "value": "b"}])
        assert ran["failures"] == []
        task = ran["tasks"][0]
        arn = task["taskArn"]
        assert (task["lastStatus"], task["desiredStatus"], task["version"]) == ("PENDING", "RUNNING", 1)
        assert (task["cpu"], task["memory"], task["group"]) == ("1024", "7372", "family:web")
        assert (task["containerInstanceArn"], task["availabilityZone"]) == (agent.arn, "us-east-1a")
        assert task["overrides"]["containerOverrides"] == [{"name": "main"}]
        assert await resources(ecs, agent.arn) == (1024, 8359)

        await agent.is_told(arn, "RUNNING")
        payload = agent.tasks[arn]["containers"][0]
        assert (payload["name"], payload["image"], payload["memory"]) == ("main", "berth/stubborn:latest", 7372)
        binding = {"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 32768, "protocol": "tcp"}
        running = {"containerName": "main", "status": "RUNNING", "runtimeId": "c0ffee", "networkBindings": [binding]}
        await agent.call("SubmitTaskStateChange", task=arn, status="RUNNING", containers=[running])
        task = await described(ecs, arn)
        assert (task["lastStatus"], task["containers"][0]["networkBindings"]) == ("RUNNING", [binding])
        assert task["startedAt"] >= task["createdAt"]

        stopped = (await ecs.stop_task(task=arn, reason="enough"))["task"]
        assert (stopped["lastStatus"], stopped["desiredStatus"]) == ("RUNNING", "STOPPED")
        assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "enough")
        await agent.is_told(arn, "STOPPED")
        await until(plane, lambda view: view.task(arn).last_status is TaskStatus.STOPPING)  # type: ignore[union-attr]
        assert (await ecs.list_tasks())["taskArns"] == []
        assert (await ecs.list_tasks(desiredStatus="STOPPED"))["taskArns"] == [arn]
        assert await resources(ecs, agent.arn) == (1024, 8359), "the agent has not released it yet"

        await agent.call(
            "SubmitTaskResourceRelease",
            cluster="default",
            task=arn,
            containerInstance=agent.arn,
            resources=[],
            releasedAt=1.0,
            proof="STOP_REQUESTED",
        )
        assert await resources(ecs, agent.arn) == (2048, 15731)
        await agent.report(arn, "STOPPED", exit_code=143, executionStoppedAt=1795285890.25)
        task = await described(ecs, arn)
        assert (task["lastStatus"], task["containers"][0]["exitCode"]) == ("STOPPED", 143)
        assert (await ecs.stop_task(task=arn))["task"]["stoppedReason"] == "enough"
        await ecs.wait("tasks_stopped", cluster="default", tasks=[arn])


async def test_an_agent_without_releases_frees_at_the_stop_request(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition())
    async with ScriptedAgent(plane.url, release=None, obedient=False) as agent:
        arn = (await ecs.run_task(taskDefinition="web"))["tasks"][0]["taskArn"]
        await agent.is_told(arn, "RUNNING")
        await agent.report(arn, "RUNNING")
        await ecs.stop_task(task=arn.rpartition("/")[2])
        assert await resources(ecs, agent.arn) == (2048, 15731)


async def test_what_does_not_fit_is_a_failure_for_each_instance(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition("big", memory=20000))
    await ecs.register_task_definition(**definition("wide", cpu=4096, memory=10))
    async with ScriptedAgent(plane.url) as one, ScriptedAgent(plane.url) as two:
        for family, reason in (("big", "RESOURCE:MEMORY"), ("wide", "RESOURCE:CPU")):
            answer = await ecs.run_task(taskDefinition=family)
            assert answer["tasks"] == []
            assert {failure["arn"] for failure in answer["failures"]} == {one.arn, two.arn}
            assert {failure["reason"] for failure in answer["failures"]} == {reason}
        started = await ecs.start_task(taskDefinition="big", containerInstances=[one.arn, "0" * 32])
        assert [failure["reason"] for failure in started["failures"]] == ["RESOURCE:MEMORY", "MISSING"]


async def test_as_many_as_fit_are_started(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition())
    async with ScriptedAgent(plane.url) as agent:
        answer = await ecs.run_task(taskDefinition="web", count=3)
        assert len(answer["tasks"]) == 2
        why = "1 of 1 instance lacks CPU."
        assert answer["failures"] == [{"arn": agent.arn, "reason": "RESOURCE:CPU", "detail": why}]
        await ecs.wait("tasks_running", cluster="default", tasks=[task["taskArn"] for task in answer["tasks"]])


async def test_start_task_puts_it_where_it_is_told(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition())
    async with ScriptedAgent(plane.url), ScriptedAgent(plane.url) as two:
        answer = await ecs.start_task(taskDefinition="web:1", containerInstances=[two.arn])
        assert [task["containerInstanceArn"] for task in answer["tasks"]] == [two.arn]
        await two.is_told(answer["tasks"][0]["taskArn"], "RUNNING")


async def test_a_client_token_starts_things_once(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition())
    async with ScriptedAgent(plane.url):
        first = await ecs.run_task(taskDefinition="web", clientToken="once")
        again = await ecs.run_task(taskDefinition="web", clientToken="once")
        assert [task["taskArn"] for task in again["tasks"]] == [task["taskArn"] for task in first["tasks"]]
        with pytest.raises(ecs.client.exceptions.ConflictException) as refused:
            await ecs.run_task(taskDefinition="web", count=2, clientToken="once")
        assert refused.value.response["resourceIds"] == [first["tasks"][0]["taskArn"]]
        assert len((await ecs.list_tasks())["taskArns"]) == 1


async def test_overrides_are_given_back_and_acted_on(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition())
    override = {"name": "main", "memory": 100, "command": ["x"], "environment": [{"name": "A", "value": "1"}]}
    async with ScriptedAgent(plane.url) as agent:
        ran = await ecs.run_task(taskDefinition="web", overrides={"containerOverrides": [override]})
        task = ran["tasks"][0]
        assert task["overrides"]["containerOverrides"] == [override]
        assert task["memory"] == "100"
        await agent.is_told(task["taskArn"], "RUNNING")
        payload = agent.tasks[task["taskArn"]]["containers"][0]
        assert (payload["memory"], payload["command"], payload["environment"]["A"]) == (100, ["x"], "1")
        with pytest.raises(ClientError, match="Override for container named none is not a container"):
            await ecs.run_task(taskDefinition="web", overrides={"containerOverrides": [{"name": "none"}]})


@pytest.mark.parametrize(
    ("body", "member"),
    [
        ({"volumes": [{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]}, "volumes"),
        (
            {"container": {"resourceRequirements": [{"type": "InferenceAccelerator", "value": "a"}]}},
            "resourceRequirements",
        ),
        ({"container": {"logConfiguration": {"logDriver": "awsfirelens"}}}, "logConfiguration"),
    ],
)
async def test_what_agents_cannot_do_yet_is_kept_but_not_run(
    plane: ControlPlane, ecs: Ecs, body: dict[str, Any], member: str
) -> None:
    container = body.pop("container", {})
    registered = await ecs.register_task_definition(**{**definition(**container), **body})
    for kept, shape in ((body, registered["taskDefinition"]), (container, registered["taskDefinition"])):
        shown = shape if kept is body else shape["containerDefinitions"][0]
        assert {name: shown[name] for name in kept} == kept
    async with ScriptedAgent(plane.url):
        for start in (
            ecs.run_task(taskDefinition="web"),
            ecs.create_service(serviceName="s", taskDefinition="web", desiredCount=1),
        ):
            with pytest.raises(ecs.client.exceptions.ClientException) as refused:
                await start
            sentence = refused.value.response["Error"]["Message"]
            assert f"asks for {member}" in sentence
            assert "not served yet" in sentence
        assert (await ecs.list_tasks())["taskArns"] == []


async def test_lists_are_filtered(plane: ControlPlane, ecs: Ecs) -> None:
    for family in ("web", "db"):
        await ecs.register_task_definition(**definition(family, cpu=10, memory=10))
    async with ScriptedAgent(plane.url) as one, ScriptedAgent(plane.url) as two:
        a = await ecs.start_task(taskDefinition="web", containerInstances=[one.arn], startedBy="me")
        b = await ecs.start_task(taskDefinition="db", containerInstances=[two.arn], group="mine")
        web, db = a["tasks"][0]["taskArn"], b["tasks"][0]["taskArn"]
        assert b["tasks"][0]["group"] == "mine"
        assert (await ecs.list_tasks())["taskArns"] == [web, db]
        assert (await ecs.list_tasks(family="web"))["taskArns"] == [web]
        assert (await ecs.list_tasks(containerInstance=two.arn))["taskArns"] == [db]
        assert (await ecs.list_tasks(startedBy="me"))["taskArns"] == [web]
        with pytest.raises(ecs.client.exceptions.ServiceNotFoundException):
            await ecs.list_tasks(serviceName="none")
        assert (await ecs.list_tasks(launchType="FARGATE"))["taskArns"] == []
        assert (await ecs.list_tasks(desiredStatus="PENDING"))["taskArns"] == []
        first = await ecs.list_tasks(maxResults=1)
        assert first["taskArns"] == [web]
        assert (await ecs.list_tasks(maxResults=1, nextToken=first["nextToken"]))["taskArns"] == [db]


@pytest.mark.parametrize(
    ("operation", "members", "code", "sentence"),
    [
        ("RunTask", {"taskDefinition": "none"}, "ClientException", "TaskDefinition not found."),
        ("RunTask", {"taskDefinition": "web:1"}, "InvalidParameterException", "TaskDefinition is inactive"),
        (
            "CreateService",
            {"serviceName": "s", "taskDefinition": "web:1", "desiredCount": 1},
            "ClientException",
            "TaskDefinition is inactive",
        ),
        ("RunTask", {"taskDefinition": "web", "count": 11}, "InvalidParameterException", "between 1 and 10"),
        ("RunTask", {"taskDefinition": "web", "cluster": "none"}, "ClusterNotFoundException", "Cluster not found."),
        ("RunTask", {"taskDefinition": "web", "launchType": "FARGATE"}, "ClientException", "launchType (FARGATE)"),
        ("RunTask", {"taskDefinition": "web"}, "InvalidParameterException", "No Container Instances were found"),
        (
            "RunTask",
            {"taskDefinition": "web", "placementStrategy": [{"type": "binpack", "field": "disk"}]},
            "InvalidParameterException",
            "binpack takes the field cpu or memory",
        ),
        ("StopTask", {"task": "0" * 32}, "InvalidParameterException", "The referenced task was not found."),
        ("DescribeTasks", {"tasks": []}, "InvalidParameterException", "Tasks cannot be empty."),
        ("DescribeTasks", {"tasks": ["x"] * 101}, "InvalidParameterException", "more than 100"),
        ("DescribeContainerInstances", {"containerInstances": []}, "ClientException", "cannot be empty"),
        ("SubmitTaskStateChange", {"task": "x", "status": "RUNNING"}, "InvalidParameterException", "ARN of a task"),
        ("SubmitTaskResourceRelease", {"task": 1}, "SerializationException", "can not be read"),
    ],
)
async def test_bad_requests_are_one_sentence(
    plane: ControlPlane, ecs: Ecs, *, operation: str, members: dict[str, Any], code: str, sentence: str
) -> None:
    await ecs.register_task_definition(**definition())
    await ecs.deregister_task_definition(taskDefinition="web:1")
    await ecs.register_task_definition(**definition())
    revision = plane.store.view().revision
    status, answer = await call(plane.url, operation, **members)
    assert (status, answer["__type"]) == (400, code)
    assert sentence in answer["message"]
    assert plane.store.view().revision == revision


async def test_forced_deregistration_loses_the_tasks(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition())
    async with ScriptedAgent(plane.url) as agent:
        arn = (await ecs.run_task(taskDefinition="web"))["tasks"][0]["taskArn"]
        await agent.is_told(arn, "RUNNING")
        with pytest.raises(ClientError, match="Found running tasks on the instance"):
            await ecs.deregister_container_instance(containerInstance=agent.arn)
        await ecs.deregister_container_instance(containerInstance=agent.arn, force=True)
        task = await described(ecs, arn)
        assert (task["lastStatus"], task["stoppedReason"]) == (
            "STOPPED",
            "Container instance deregistration forced by user",
        )


async def test_a_report_about_a_forgotten_task_is_acknowledged(plane: ControlPlane) -> None:
    arn = plane.account.names.arns.task("default", "0" * 32)
    assert await call(plane.url, "SubmitTaskStateChange", task=arn, status="STOPPED") == (200, {"acknowledgment": "ok"})


async def test_a_gpu_is_refused_by_its_name_where_there_is_none(plane: ControlPlane, ecs: Ecs) -> None:
    wanted = [{"type": "GPU", "value": "1"}]
    await ecs.register_task_definition(**definition(resourceRequirements=wanted))
    async with ScriptedAgent(plane.url):
        ran = await ecs.run_task(taskDefinition="web")
        assert (ran["tasks"], [failure["reason"] for failure in ran["failures"]]) == ([], ["RESOURCE:GPU"])
