"""The ACS sessions: told once, told again where it was not acknowledged; who is gone is noticed."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from apiside import Ecs, definition, until
from scripted_agent import ScriptedAgent

from berth.client import EcsClient
from controlplane.agents import acs_session
from controlplane.core.state import State
from controlplane.server import ControlPlane
from wire.errors import AwsError
from wire.extensions import FORCE_STOP_TASK
from wire.status import DesiredStatus, TaskStatus


def connected(arn: str, *, is_so: bool) -> Callable[[State], bool]:
    def holds(view: State) -> bool:
        instance = view.instance(arn)
        return instance is not None and instance.agent_connected is is_so

    return holds


async def ran(ecs: Ecs, agent: ScriptedAgent) -> str:
    """A task that its agent was told of; what it acknowledges is up to it."""
    await ecs.register_task_definition(**definition())
    arn: str = (await ecs.run_task(taskDefinition="web"))["tasks"][0]["taskArn"]
    await agent.is_told(arn, "RUNNING")
    return arn


async def test_the_first_word_is_a_heartbeat(plane: ControlPlane) -> None:
    async with ScriptedAgent(plane.url) as agent:
        assert agent.heartbeats == 1
        assert plane.store.view().instance(agent.arn).agent_connected  # type: ignore[union-attr]
        await agent.disconnect()
        await until(plane, connected(agent.arn, is_so=False))


async def test_what_was_acknowledged_is_not_said_again(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url, obedient=False) as agent:
        arn = await ran(ecs, agent)
        await agent.disconnect()
        await agent.connect()
        await ecs.stop_task(task=arn)
        await agent.is_told(arn, "STOPPED")
        assert agent.told == [(arn, "RUNNING"), (arn, "STOPPED")]


async def test_what_was_not_acknowledged_is_said_again(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url, obedient=False) as agent:
        agent.acknowledges = False
        arn = await ran(ecs, agent)
        await agent.disconnect()
        await agent.connect()
        await agent.is_told_of(2)
        assert agent.told == [(arn, "RUNNING"), (arn, "RUNNING")]


async def test_what_is_not_acknowledged_for_long_is_said_again(
    plane: ControlPlane, ecs: Ecs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acs_session, "RETELL_SECONDS", 0)
    monkeypatch.setattr(acs_session, "HEARTBEAT_SECONDS", 0.05)
    async with ScriptedAgent(plane.url, obedient=False) as agent:
        agent.acknowledges = False
        await ran(ecs, agent)
        await agent.is_told_of(3)


async def test_starts_of_one_commit_are_one_message_and_told_again_each_by_itself(
    plane: ControlPlane, ecs: Ecs
) -> None:
    """An agent that cannot take one of several tasks acknowledges none of them: then it hears of each alone."""
    async with ScriptedAgent(plane.url, obedient=False) as agent:
        agent.acknowledges = False
        await ecs.register_task_definition(**definition())
        answer = await ecs.run_task(taskDefinition="web", count=2)
        arns = [task["taskArn"] for task in answer["tasks"]]
        await agent.is_told_of(2)
        assert [arn for arn, _ in agent.told] == arns
        assert len(agent.sequence_numbers) == 1
        agent.acknowledges = True
        await agent.disconnect()
        await agent.connect()
        await agent.is_told_of(4)
        assert [arn for arn, _ in agent.told[2:]] == arns
        assert len(agent.sequence_numbers) == 1 + 2


async def test_one_ack_is_of_every_task_in_the_message(
    plane: ControlPlane, ecs: Ecs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acs_session, "HEARTBEAT_SECONDS", 0.05)
    async with ScriptedAgent(plane.url, obedient=False) as agent:
        await ecs.register_task_definition(**definition())
        arns = [task["taskArn"] for task in (await ecs.run_task(taskDefinition="web", count=2))["tasks"]]
        await agent.is_told_of(2)
        heartbeats = agent.heartbeats
        monkeypatch.setattr(acs_session, "RETELL_SECONDS", 0)
        await agent.beats(heartbeats + 3)
        assert agent.told == [(arn, "RUNNING") for arn in arns]


async def test_the_ack_of_a_stop_makes_it_stopping(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url, obedient=False) as agent:
        arn = await ran(ecs, agent)
        await agent.report(arn, "RUNNING")
        agent.acknowledges = False
        await ecs.stop_task(task=arn)
        await agent.is_told(arn, "STOPPED")
        task = plane.store.view().task(arn)
        assert task is not None
        assert (task.desired_status, task.last_status) == (DesiredStatus.STOPPED, TaskStatus.RUNNING)
        agent.acknowledges = True
        await agent.disconnect()
        await agent.connect()
        await until(plane, lambda view: view.task(arn).last_status is TaskStatus.STOPPING)  # type: ignore[union-attr]


async def test_a_forced_stop_is_told_once_more_after_an_ordinary_one_and_also_to_who_was_away(
    plane: ControlPlane, ecs: Ecs
) -> None:
    async with ScriptedAgent(plane.url, obedient=False) as agent, EcsClient(plane.url) as ours:
        arn = await ran(ecs, agent)
        await agent.report(arn, "RUNNING")
        await ecs.stop_task(task=arn, reason="because")
        await agent.is_told_of(2)
        await until(plane, lambda view: view.task(arn).last_status is TaskStatus.STOPPING)  # type: ignore[union-attr]
        await agent.disconnect()
        answer = await ours.call(FORCE_STOP_TASK, task=arn)
        assert answer["task"]["stoppedReason"] == "because"
        await agent.connect()
        await agent.is_told_of(3)
        assert agent.told[-1] == (arn, "STOPPED")
        assert agent.forced == [arn]
        again = await ours.call(FORCE_STOP_TASK, task=arn)
        assert again["task"]["version"] == answer["task"]["version"], "asking twice changes nothing"
        with pytest.raises(AwsError, match="The referenced task was not found"):
            await ours.call(FORCE_STOP_TASK, task="none")


async def test_a_stop_while_the_agent_is_away_reaches_it_later(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url, obedient=False) as agent:
        arn = await ran(ecs, agent)
        await agent.report(arn, "RUNNING")
        await agent.disconnect()
        await ecs.stop_task(task=arn)
        await agent.connect()
        await agent.is_told(arn, "STOPPED")


async def test_a_second_connection_replaces_the_first(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url, obedient=False) as agent:
        first = agent._reader
        await agent.connect()
        assert first is not None
        async with asyncio.timeout(60):
            await first
        await ran(ecs, agent)
        assert plane.store.view().instance(agent.arn).agent_connected  # type: ignore[union-attr]


async def test_a_silent_agent_is_noticed(plane: ControlPlane, ecs: Ecs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acs_session, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(acs_session, "SILENCE_SECONDS_MAX", 1)
    await ecs.register_task_definition(**definition())
    async with ScriptedAgent(plane.url) as agent:
        await agent.disconnect()
        async with aiohttp.ClientSession() as session:
            url = f"{plane.url}/acs/ws?containerInstanceArn={agent.arn}"
            async with session.ws_connect(url, autoclose=False):
                await until(plane, connected(agent.arn, is_so=True))
                await until(plane, connected(agent.arn, is_so=False))
        answer = await ecs.run_task(taskDefinition="web")
        why = "1 of 1 instance lacks a connected agent."
        assert answer["failures"] == [{"arn": agent.arn, "reason": "AGENT", "detail": why}]


async def test_strange_frames_are_passed_over(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url, obedient=False) as agent:
        assert agent._socket is not None
        for frame in ("", "[]", "{", '{"type":"AckRequest"}', '{"type":"AckRequest","message":[]}', '{"type":"X"}'):
            await agent._socket.send_str(frame)
        await agent._socket.send_bytes(b"\xff")
        unknown = {"cluster": "c", "containerInstance": "i", "messageId": "none"}
        await agent._socket.send_str(json.dumps({"type": "AckRequest", "message": unknown}))
        await ran(ecs, agent)


@pytest.mark.parametrize("query", ["", "?containerInstanceArn=none"])
async def test_an_unknown_instance_does_not_get_in(plane: ControlPlane, query: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{plane.url}/acs/ws{query}") as answer:
        assert answer.status == 400
        assert (await answer.json())["type"] == "InvalidInstanceException"


async def test_a_deregistered_instance_is_told_so(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url) as agent:
        await ecs.deregister_container_instance(containerInstance=agent.arn)
        await agent.closed()
        url = f"{plane.url}/acs/ws?containerInstanceArn={agent.arn}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert (await answer.json())["type"] == "InactiveInstanceException"


async def test_what_is_known_of_an_instance_goes_with_it(plane: ControlPlane, ecs: Ecs) -> None:
    """An instance that is away is remembered, one that is deregistered is not, whichever comes first."""
    known = plane.sessions._known
    async with ScriptedAgent(plane.url) as agent, ScriptedAgent(plane.url) as other:
        await other.disconnect()
        await until(plane, connected(other.arn, is_so=False))
        assert set(known) == {agent.arn, other.arn}
        for each in (agent, other):
            await ecs.deregister_container_instance(containerInstance=each.arn, force=True)
        await agent.closed()
        for _ in range(5000):
            if not known:
                break
            await asyncio.sleep(0.01)
        assert not known


async def test_an_agent_that_has_not_taken_all_yet_is_told_all_the_same(
    plane: ControlPlane, ecs: Ecs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the turn of the commit then but in its own session's, which does not wait for the next heartbeat."""
    monkeypatch.setattr(acs_session, "HEARTBEAT_SECONDS", 3600)
    await ecs.register_task_definition(**definition())
    async with ScriptedAgent(plane.url) as agent:
        first = await ran(ecs, agent)
        plane.sessions._open[agent.arn]._waits_to_go = lambda: 1
        second = await ran(ecs, agent)
        await agent.is_told(second, "RUNNING")
        assert [arn for arn, _ in agent.told] == [first, second]


async def test_an_instance_that_cannot_be_told_is_let_go_and_the_others_are_told(
    plane: ControlPlane, ecs: Ecs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Agents are told in the turn of a commit, one after the other: what goes wrong with one is its own."""
    await ecs.register_task_definition(**definition())
    async with ScriptedAgent(plane.url) as broken, ScriptedAgent(plane.url) as sound:
        payload_of = acs_session.payload_of

        def payload(view: State, assignment: Any, **more: Any) -> Any:
            if assignment.task.instance == broken.arn:
                raise TimeoutError
            return payload_of(view, assignment, **more)

        monkeypatch.setattr(acs_session, "payload_of", payload)
        await ecs.start_task(taskDefinition="web", containerInstances=[broken.arn])
        assert await broken.closed() == aiohttp.WSCloseCode.INTERNAL_ERROR
        started = await ecs.start_task(taskDefinition="web", containerInstances=[sound.arn])
        await sound.is_told(started["tasks"][0]["taskArn"], "RUNNING")
