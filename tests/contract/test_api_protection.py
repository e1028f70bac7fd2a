"""Scale-in protection and tags through the API: what is answered, and what cannot be protected."""

import pytest
from apiside import Ecs, definition, until
from botocore.exceptions import ClientError
from scripted_agent import ScriptedAgent

from controlplane.core.model import Task
from controlplane.server import ControlPlane
from wire.status import TaskStatus


async def test_a_services_task_is_protected_until_then_and_no_longer(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(cpu=100, memory=100))
    async with ScriptedAgent(plane.url):
        await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=1)
        view = await until(plane, lambda v: any(t.last_status is TaskStatus.RUNNING for t in v.records(Task)))
        arn = next(view.records(Task)).arn
        unprotected = {"taskArn": arn, "protectionEnabled": False}
        got = await ecs.get_task_protection(cluster="default", tasks=[arn])
        assert (got["protectedTasks"], got["failures"]) == ([unprotected], [])

        put = await ecs.update_task_protection(cluster="default", tasks=[arn], protectionEnabled=True)
        protected = put["protectedTasks"][0]
        now = view.task(arn).started_at  # type: ignore[union-attr]
        assert protected["protectionEnabled"]
        assert 7195 < protected["expirationDate"].timestamp() - now < 7300, "two hours, where nothing is said"
        task = plane.store.view().task(arn)
        assert task is not None
        assert task.protected_until is not None
        assert task.is_protected(task.protected_until - 1)
        assert not task.is_protected(task.protected_until)
        again = await ecs.update_task_protection(
            cluster="default", tasks=[arn], protectionEnabled=True, expiresInMinutes=2880
        )
        assert again["protectedTasks"][0]["expirationDate"] > protected["expirationDate"]
        assert (await ecs.get_task_protection(cluster="default"))["protectedTasks"] == again["protectedTasks"]
        ended = await ecs.update_task_protection(cluster="default", tasks=[arn], protectionEnabled=False)
        assert ended["protectedTasks"] == [unprotected]


async def test_what_cannot_be_protected(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(cpu=100, memory=100))
    async with ScriptedAgent(plane.url):
        alone = (await ecs.run_task(taskDefinition="web"))["tasks"][0]["taskArn"]
        got = await ecs.update_task_protection(cluster="default", tasks=[alone, "0" * 32], protectionEnabled=True)
        assert got["protectedTasks"] == []
        assert [failure["reason"] for failure in got["failures"]] == ["TASK_NOT_VALID", "MISSING"]
    for members in ({"tasks": ["a"] * 11}, {"tasks": []}, {"tasks": ["a"], "expiresInMinutes": 2881}):
        with pytest.raises(ClientError) as refused:
            await ecs.update_task_protection(cluster="default", protectionEnabled=True, **members)
        assert refused.value.response["Error"]["Code"] == "InvalidParameterException"
    with pytest.raises(ClientError) as refused:
        await ecs.get_task_protection(cluster="nowhere", tasks=["a"])
    assert refused.value.response["Error"]["Code"] == "ClusterNotFoundException"


async def test_tags_of_a_resource(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(cpu=100, memory=100), tags=[{"key": "d", "value": "1"}])
    async with ScriptedAgent(plane.url) as agent:
        tags = [{"key": "a", "value": "b"}]
        task = (await ecs.run_task(taskDefinition="web", tags=tags))["tasks"][0]
        assert (await ecs.list_tags_for_resource(resourceArn=task["taskArn"]))["tags"] == tags
        of_definition = await ecs.list_tags_for_resource(resourceArn=task["taskDefinitionArn"])
        assert of_definition["tags"] == [{"key": "d", "value": "1"}]
        assert (await ecs.list_tags_for_resource(resourceArn=agent.arn))["tags"] == []
        with pytest.raises(ClientError):
            await ecs.list_tags_for_resource(resourceArn=task["taskArn"] + "x")


async def test_more_protected_tasks_than_desired_are_refused_while_a_deployment_rolls(
    plane: ControlPlane, ecs: Ecs
) -> None:
    await ecs.register_task_definition(**definition(cpu=100, memory=100))
    async with ScriptedAgent(plane.url) as agent:
        await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=1)
        view = await until(plane, lambda v: any(t.last_status is TaskStatus.RUNNING for t in v.records(Task)))
        old = next(view.records(Task)).arn
        agent.obedient = False
        await ecs.update_service(service="web", forceNewDeployment=True)
        view = await until(plane, lambda v: sum(t.is_live for t in v.records(Task)) == 2)
        new = next(task.arn for task in view.records(Task) if task.arn != old)
        both = await ecs.update_task_protection(cluster="default", tasks=[old, new], protectionEnabled=True)
        assert [task["taskArn"] for task in both["protectedTasks"]] == [old]
        assert [(one["arn"], one["reason"]) for one in both["failures"]] == [(new, "DEPLOYMENT_BLOCKED")]
        await ecs.update_service(service="web", desiredCount=2)
        both = await ecs.update_task_protection(cluster="default", tasks=[new], protectionEnabled=True)
        assert both["failures"] == []
