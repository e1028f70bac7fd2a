"""ExecuteCommand: who is refused, and how; and a session, spoken by a client and an agent that know only the layout."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from apiside import Ecs, definition, until
from botocore.exceptions import ClientError
from public_client import WAIT_SECONDS, Client, token
from scripted_agent import ScriptedAgent

from controlplane.agents import executing
from controlplane.server import ControlPlane


async def opened(ecs: Ecs, **more: Any) -> tuple[str, dict[str, Any]]:
    """A task that runs with the command agent, and the answer of ExecuteCommand for it."""
    await ecs.register_task_definition(**definition(cpu=1, memory=8))
    task = (await ecs.run_task(taskDefinition="web", enableExecuteCommand=True))["tasks"][0]["taskArn"]
    await ecs.wait("tasks_running", tasks=[task])
    return task, await ecs.execute_command(task=task, command="sh -c 'echo hi'", interactive=True, **more)


async def test_a_session_from_the_token_to_the_end(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url, executes=True) as agent, aiohttp.ClientSession() as http:
        task, answer = await opened(ecs)
        shown = (await ecs.describe_tasks(tasks=[task]))["tasks"][0]
        assert shown["enableExecuteCommand"]
        (managed,) = shown["containers"][0]["managedAgents"]
        assert (managed["name"], managed["lastStatus"]) == ("ExecuteCommandAgent", "RUNNING")
        assert answer["session"]["sessionId"].startswith("ecs-execute-command-")
        async with http.ws_connect(answer["session"]["streamUrl"]) as socket:
            await socket.send_str(token(answer))
            asked = await asyncio.wait_for(agent.executions.get(), WAIT_SECONDS)
            assert (asked["taskArn"], asked["container"], asked["command"]) == (task, "main", ["sh", "-c", "echo hi"])
            url = f"{plane.url}/_berth/exec/{asked['sessionId']}"
            async with http.get(url, params={"token": "guess"}) as refused:
                assert refused.status == 404
            async with http.ws_connect(url, params={"token": asked["token"]}) as host:
                client = Client(socket)
                await client.shake_hands()
                await client.say(3, b'{"cols":120,"rows":40}')
                assert json.loads(await host.receive_str(timeout=WAIT_SECONDS)) == {"size": [120, 40]}
                # Out of order and twice on the way in: once and in order at the other end.
                await client.say(1, b"second\r", number=3)
                await client.say(1, b"first\r", number=2)
                await client.say(1, b"first\r", number=2)
                assert await host.receive_bytes(timeout=WAIT_SECONDS) == b"\x00first\r"
                assert await host.receive_bytes(timeout=WAIT_SECONDS) == b"\x00second\r"
                # What is not acknowledged comes again; long output comes in pieces.
                await host.send_bytes(b"\x01" + b"x" * 2500)
                pieces = [await client.hear(acknowledges=False) for _ in range(3)]
                assert [len(piece[3]) for piece in pieces] == [1024, 1024, 452]
                numbers, again = [piece[1] for piece in pieces], []
                while set(again) != set(numbers):
                    again.append((await client.hear())[1])
                    assert again[-1] in numbers
                await host.send_str('{"exit_code": 3}')
                while (heard := await client.hear())[0] == "output_stream_data":
                    assert heard[1] in numbers, "once more: the acknowledgement was late"
                kind, _, _, payload = heard
                assert kind == "channel_closed"
                assert json.loads(payload)["SessionId"] == answer["session"]["sessionId"]
                assert client.acknowledged[:4] == [0, 1, 3, 2]
            assert (await socket.receive(timeout=WAIT_SECONDS)).type in (
                aiohttp.WSMsgType.CLOSE,
                aiohttp.WSMsgType.CLOSED,
            )
        async with http.get(answer["session"]["streamUrl"].replace("ws", "http", 1)) as gone:
            assert gone.status == 404


async def test_a_wrong_token_opens_nothing(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url, executes=True) as agent, aiohttp.ClientSession() as http:
        _, answer = await opened(ecs)
        async with http.ws_connect(answer["session"]["streamUrl"]) as socket:
            await socket.send_str(token(answer, TokenValue="guess"))
            assert (await socket.receive(timeout=WAIT_SECONDS)).type in (
                aiohttp.WSMsgType.CLOSE,
                aiohttp.WSMsgType.CLOSED,
            )
        assert agent.executions.empty()


async def test_a_session_that_nobody_joins_in_time_is_gone(
    plane: ControlPlane, ecs: Ecs, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ScriptedAgent(plane.url, executes=True), aiohttp.ClientSession() as http:
        _, answer = await opened(ecs)
        monkeypatch.setattr(executing, "JOIN_SECONDS", -1)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(answer["session"]["streamUrl"])
        assert refused.value.status == 404


async def test_who_is_refused_and_how(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url, executes=True) as agent:
        task, _ = await opened(ecs)
        plain = (await ecs.run_task(taskDefinition="web"))["tasks"][0]["taskArn"]
        refusals = [
            (
                {"task": task, "interactive": False},
                "InvalidParameterException",
                "Interactive is the only mode",
            ),
            ({"task": task, "container": "nobody"}, "InvalidParameterException", "no container nobody"),
            ({"task": task, "command": "'"}, "InvalidParameterException", "can not be read"),
            ({"task": "0" * 32}, "InvalidParameterException", "The referenced task was not found."),
            ({"task": plain}, "InvalidParameterException", "execute command was not enabled when the task was run"),
        ]
        for members, code, sentence in refusals:
            with pytest.raises(ClientError, match=rf"\({code}\).*{sentence}"):
                await ecs.execute_command(**{"command": "sh", "interactive": True} | members)
        await agent.disconnect()
        await until(plane, lambda state: not any(i.agent_connected for i in state.instances("default")))
        with pytest.raises(
            ClientError,
            match=r"\(TargetNotConnectedException\).*internal error. Try again later. \(The agent .* not connected",
        ):
            await ecs.execute_command(task=task, command="sh", interactive=True)


async def test_an_agent_that_cannot_execute_is_never_asked(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url):
        with pytest.raises(ClientError, match=r"TargetNotConnectedException.*runs no commands"):
            await opened(ecs)


async def test_a_handshake_that_nobody_answers_ends_the_session(
    plane: ControlPlane, ecs: Ecs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executing, "HANDSHAKE_SECONDS", 0.2)
    async with ScriptedAgent(plane.url, executes=True) as agent, aiohttp.ClientSession() as http:
        _, answer = await opened(ecs)
        async with http.ws_connect(answer["session"]["streamUrl"]) as socket:
            await socket.send_str(token(answer))
            asked = await asyncio.wait_for(agent.executions.get(), WAIT_SECONDS)
            url = f"{plane.url}/_berth/exec/{asked['sessionId']}"
            async with http.ws_connect(url, params={"token": asked["token"]}):
                client = Client(socket)
                assert (await client.hear())[2] == 5
                kind, _, _, payload = await client.hear()
                assert (kind, json.loads(payload)["Output"]) == ("channel_closed", "The handshake was not answered.")
