"""The story over HTTP: pages, the live stream, who asked for what."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from apiside import Ecs, call, definition, post
from scripted_agent import ScriptedAgent

from controlplane import server
from controlplane.config import Config
from controlplane.events import feed
from controlplane.server import ControlPlane, running
from wire.envelope import CAUSE_HEADER, request_headers


async def story(plane: ControlPlane, **query: int) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"{plane.url}/_berth/story", params=query) as answer:
        page: dict[str, Any] = await answer.json()
        return page


async def events(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[int, dict[str, Any]]]:
    number = 0
    async for line in answer.content:
        if line.startswith(b"id: "):
            number = int(line[4:])
        elif line.startswith(b"data: "):
            yield number, json.loads(line[6:])


async def test_a_task_can_be_walked_back_to_its_request(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition())
    async with ScriptedAgent(plane.url, obedient=False) as agent:
        answer = await ecs.run_task(taskDefinition="web")
        arn = answer["tasks"][0]["taskArn"]
        await agent.is_told(arn, "RUNNING")
        lines = [line for _, line in (await story(plane))["lines"]]
    request = next(line for line in lines if line.get("id") == answer["ResponseMetadata"]["RequestId"])
    assert (request["kind"], request["data"]) == ("request", {"operation": "RunTask"})
    caused = [line["kind"] for line in lines if line.get("cause") == request["id"] and line["subject"] == arn]
    assert caused == ["task.desired", "placement.held", "task.status", "task.told"]
    kinds = [line["kind"] for line in lines if line["subject"] == agent.arn]
    assert kinds == ["instance.registered", "instance.status"]


async def test_a_member_that_the_operation_does_not_have_is_no_subject(plane: ControlPlane, ecs: Ecs) -> None:
    arn = (await ecs.create_cluster(clusterName="c"))["cluster"]["clusterArn"]
    status, _ = await call(plane.url, "TagResource", resourceArn=arn, tags=[{"key": "a", "value": "b"}], cluster=5)
    assert status == 200
    requests = [line for _, line in (await story(plane))["lines"] if line["kind"] == "request"]
    assert [line["subject"] for line in requests] == [arn, "default"]


async def test_pages_follow_each_other(plane: ControlPlane, ecs: Ecs) -> None:
    for number in range(5):
        await ecs.create_cluster(clusterName=f"c{number}")
    first = await story(plane, limit=2)
    assert [number for number, _ in first["lines"]] == [1, 2]
    assert first["newest"] == 5
    rest = await story(plane, after=2)
    assert [number for number, _ in rest["lines"]] == [3, 4, 5]
    assert (await story(plane, after=5))["lines"] == []


async def test_the_stream_goes_on_live_and_resumes(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.create_cluster(clusterName="c1")
    accept = {"Accept": "text/event-stream"}
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        async with session.get(f"{plane.url}/_berth/story?after=0", headers=accept) as answer:
            stream = events(answer)
            number, line = await anext(stream)
            assert (number, line["data"]) == (1, {"operation": "CreateCluster"})
            await ecs.create_cluster(clusterName="c2")
            assert (await anext(stream))[0] == 2
            line = {"at": 1.5, "actor": "agent/x", "subject": "t", "kind": "container.started", "data": {"a": 1}}
            report = {"cluster": "default", "containerInstance": "x", "lines": [line]}
            assert await call(plane.url, "SubmitStory", **report) == (200, {})
            assert await anext(stream) == (3, line)
        async with session.get(f"{plane.url}/_berth/story?stream=1", headers={"Last-Event-ID": "2"}) as answer:
            assert await anext(events(answer)) == (3, line)


async def test_an_agents_event_is_the_cause_of_what_it_reports(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition())
    async with ScriptedAgent(plane.url, obedient=False) as agent:
        arn = (await ecs.run_task(taskDefinition="web"))["tasks"][0]["taskArn"]
        await agent.is_told(arn, "RUNNING")
        headers = request_headers("SubmitTaskStateChange") | {CAUSE_HEADER: "event-7"}
        await post(plane.url, json.dumps({"task": arn, "status": "RUNNING"}).encode(), **headers)
    caused = [line for _, line in (await story(plane))["lines"] if line.get("cause") == "event-7"]
    assert [(line["kind"], line["data"]["last"]) for line in caused] == [("task.status", "RUNNING")]


async def test_readers_do_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SHUTDOWN_SECONDS", 60)
    async with aiohttp.ClientSession() as session:
        async with running(Config(port=0)) as plane:
            answer = await session.get(f"{plane.url}/_berth/story?stream=1")
            began = time.monotonic()
        assert time.monotonic() - began < 30
        assert await answer.content.read() == b""


async def test_a_quiet_stream_shows_that_it_lives(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "COMMENT_SECONDS", 0.01)
    async with aiohttp.ClientSession() as session, session.get(f"{plane.url}/_berth/story?stream=1") as answer:
        assert (await answer.content.readline()).startswith(b":")


async def test_a_slow_reader_is_cut_off(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "WRITE_SECONDS_MAX", 0.2)
    line = {"at": 1.0, "actor": "a", "subject": "s", "kind": "k", "data": {"x": "y" * 4000}}
    report = {"cluster": "default", "containerInstance": "x", "lines": [line] * 200}
    for _ in range(20):
        await call(plane.url, "SubmitStory", **report)
    reader, writer = await asyncio.open_connection("127.0.0.1", plane.port, limit=1024)
    writer.write(b"GET /_berth/story?stream=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    await writer.drain()
    async with asyncio.timeout(60):
        while not plane.metrics.readers_cut._value.get():  # noqa: ASYNC110 - a counter has no event
            await asyncio.sleep(0.05)
    writer.close()
    assert reader.at_eof() is False


@pytest.mark.parametrize("query", ["after=x", "limit=0", "limit=99999", "after=-1"])
async def test_a_bad_question_is_one_sentence(plane: ControlPlane, query: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{plane.url}/_berth/story?{query}") as answer:
        assert answer.status == 400
        assert (await answer.json())["message"]


async def test_too_long_a_report_is_refused(plane: ControlPlane) -> None:
    line = {"at": 1.0, "actor": "a", "subject": "s", "kind": "k"}
    report = {"cluster": "default", "containerInstance": "x", "lines": [line] * 501}
    status, answer = await call(plane.url, "SubmitStory", **report)
    assert (status, answer["__type"]) == (400, "InvalidParameterException")
    assert (await story(plane))["newest"] == 0
