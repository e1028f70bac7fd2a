"""Telemetry and the manifest, where they meet what no agent of Amazon's was seen to send."""

import json
from typing import Any

import aiohttp
import pytest
from apiside import Ecs, definition, until
from scripted_agent import ScriptedAgent
from wire_player import Inbox

from controlplane.agents.tcs import Newest
from controlplane.api import limits
from controlplane.config import Config
from controlplane.server import ControlPlane, running
from wire.status import HealthStatus, TaskStatus

CHECK = {"command": ["CMD-SHELL", "true"]}


async def ran(ecs: Ecs, agent: ScriptedAgent, **container: Any) -> str:
    await ecs.register_task_definition(**definition(**container))
    arn: str = (await ecs.run_task(taskDefinition="web"))["tasks"][0]["taskArn"]
    await agent.is_told(arn, "RUNNING")
    return arn


def health(arn: str, outcome: str, name: str = "main") -> str:
    tasks = [{"taskArn": arn, "containers": [{"containerName": name, "healthStatus": outcome}]}]
    return json.dumps({"type": "PublishHealthRequest", "message": {"metadata": {"messageId": "h"}, "tasks": tasks}})


def metrics(arn: str) -> str:
    message = {"metadata": {"idle": False}, "taskMetrics": [{"taskArn": arn, "containerMetrics": []}]}
    return json.dumps({"type": "PublishMetricsRequest", "message": message})


async def connect(session: aiohttp.ClientSession, plane: ControlPlane, arn: str) -> Inbox:
    return Inbox(await session.ws_connect(f"{plane.url}/tcs/ws", params={"containerInstance": arn}), None)


async def test_health_goes_up_and_down_and_what_makes_no_sense_changes_nothing(
    plane: ControlPlane, ecs: Ecs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONTAINER", {})
    async with ScriptedAgent(plane.url) as agent, aiohttp.ClientSession() as session:
        arn = await ran(ecs, agent, healthCheck=CHECK)
        assert (await ecs.describe_tasks(tasks=[arn]))["tasks"][0]["healthStatus"] == "UNKNOWN"
        inbox = await connect(session, plane, agent.arn)
        for frame in ("", "{", "Host: h\r\n\r\n", '{"type":"PublishHealthRequest","message":{"tasks":3}}'):
            await inbox.socket.send_str(frame)
        seen = []
        for number, outcome in enumerate(("HEALTHY", "SPLENDID", "UNHEALTHY", "HEALTHY"), start=1):
            await inbox.socket.send_str(f"Host: h\r\n\r\n{health(arn, outcome)}")
            answers = lambda: [f for f in inbox.frames if f["type"] == "AckPublishHealth"]  # noqa: E731
            await inbox.get(lambda _, wanted=number, answers=answers: len(answers()) == wanted)
            seen.append((await ecs.describe_tasks(tasks=[arn]))["tasks"][0]["healthStatus"])
        assert seen == ["HEALTHY", "HEALTHY", "UNHEALTHY", "HEALTHY"]
        await inbox.close()


async def test_an_instance_speaks_of_its_own_tasks_only(
    plane: ControlPlane, ecs: Ecs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONTAINER", {})
    async with ScriptedAgent(plane.url) as agent, aiohttp.ClientSession() as session:
        arn = await ran(ecs, agent, healthCheck=CHECK)
        async with ScriptedAgent(plane.url) as stranger:
            inbox = await connect(session, plane, stranger.arn)
            await inbox.socket.send_str(metrics(arn))
            await inbox.socket.send_str(health(arn, "UNHEALTHY"))
            await inbox.get(lambda frame: frame["type"] == "AckPublishHealth")
            await inbox.close()
        assert plane.telemetry.metrics.get(arn) is None
        task = plane.store.view().task(arn)
        assert task is not None
        assert task.containers[0].health_status is HealthStatus.UNKNOWN


async def test_a_check_that_the_definition_has_not_does_not_count(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url) as agent, aiohttp.ClientSession() as session:
        arn = await ran(ecs, agent)
        inbox = await connect(session, plane, agent.arn)
        await inbox.socket.send_str(health(arn, "UNHEALTHY"))
        await inbox.get(lambda frame: frame["type"] == "AckPublishHealth")
        assert (await ecs.describe_tasks(tasks=[arn]))["tasks"][0]["healthStatus"] == "UNKNOWN"
        await inbox.close()


async def test_a_second_connection_replaces_the_first_and_a_deregistered_instance_has_none(
    plane: ControlPlane, ecs: Ecs
) -> None:
    async with ScriptedAgent(plane.url) as agent, aiohttp.ClientSession() as session:
        first = await connect(session, plane, agent.arn)
        await first.get(lambda frame: frame["type"] == "HeartbeatMessage")
        second = await connect(session, plane, agent.arn)
        await second.get(lambda frame: frame["type"] == "HeartbeatMessage")
        await first.close()
        assert first.socket.close_code == 1000
        await ecs.deregister_container_instance(containerInstance=agent.arn, force=True)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await connect(session, plane, agent.arn)
        assert refused.value.status == 400
        await second.close()


def test_the_newest_of_so_many() -> None:
    newest: Newest[int] = Newest(2)
    for key, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        newest.put(key, value)
    assert (newest.get("a"), newest.get("b"), newest.get("c"), len(newest)) == (3, None, 4, 2)


def manifest_of(agent: ScriptedAgent) -> dict[str, Any]:
    return agent.manifests[-1]


async def test_each_connection_begins_with_a_manifest_above_all_before(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url, obedient=False) as agent:
        assert manifest_of(agent).get("tasks", []) == []
        first = manifest_of(agent)["timeline"]
        arn = await ran(ecs, agent)
        assert agent.sequence_numbers[-1] < first, "payloads count far below manifests"
        await agent.disconnect()
        await agent.connect()
        assert manifest_of(agent)["timeline"] > first
        assert [(task["taskArn"], task["desiredStatus"]) for task in manifest_of(agent)["tasks"]] == [(arn, "RUNNING")]
        await ecs.stop_task(task=arn)
        await agent.disconnect()
        await agent.connect()
        assert manifest_of(agent)["tasks"][0]["desiredStatus"] == "STOPPED"


async def test_a_manifest_after_the_loss_of_all_state_is_still_above_those_before(plane: ControlPlane) -> None:
    async with ScriptedAgent(plane.url) as agent:
        before = manifest_of(agent)["timeline"]
    async with running(Config(port=0)) as other, ScriptedAgent(other.url) as agent:
        assert manifest_of(agent)["timeline"] > before


async def test_a_question_about_wanted_tasks_alone_gets_no_answer(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url) as agent:
        arn = await ran(ecs, agent)
        await until(plane, lambda view: view.task(arn).last_status is TaskStatus.RUNNING)  # type: ignore[union-attr]
        await agent.ask(manifest_of(agent)["messageId"], arn)
        await agent.ask(manifest_of(agent)["messageId"], f"{arn[:-4]}beef")
        [verdict] = await agent.verdicts_of(1)
        assert [task["taskArn"] for task in verdict["stopTasks"]] == [f"{arn[:-4]}beef"]
