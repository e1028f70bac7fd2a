"""Events: shapes as EventBridge has them, each once and in order, replayable; and the ways out of the house."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from apiside import Ecs, definition, until
from scripted_agent import ScriptedAgent

from berth.client import EcsClient, EventsForgotten
from controlplane.config import Config, SetupError, check
from controlplane.events import sinks
from controlplane.server import ControlPlane, running
from wire import ecs_shapes
from wire.errors import AwsError
from wire.status import TaskStatus

ENVELOPE = {"version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"}
SHAPES = {
    "ECS Task State Change": ("Task", {"updatedAt"}),
    "ECS Container Instance State Change": ("ContainerInstance", {"updatedAt", "clusterArn"}),
}
"""The model's shape, and the members that only the event has."""
Event = dict[str, Any]


async def page(plane: ControlPlane, **params: Any) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"{plane.url}/events", params=params) as answer:
        return answer.status, await answer.json()


async def all_events(plane: ControlPlane, after: int = 0) -> list[Event]:
    status, body = await page(plane, after=after, limit=5000)
    assert status == 200
    return [row["event"] for row in body["events"]]


async def ran_and_stopped(plane: ControlPlane, ecs: Ecs) -> str:
    """One task from its start to its end."""
    await ecs.register_task_definition(**definition())
    arn: str = (await ecs.run_task(taskDefinition="web", startedBy="me"))["tasks"][0]["taskArn"]
    await until(plane, lambda view: view.task(arn).last_status is TaskStatus.RUNNING)
    await ecs.stop_task(task=arn, reason="done")
    await until(plane, lambda view: view.task(arn).last_status is TaskStatus.STOPPED)
    return arn


async def eventually(holds: Callable[[], bool]) -> None:
    for _ in range(3000):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to that")


def instant(text: str) -> datetime:
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


async def test_a_task_is_told_as_aws_tells_it(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url) as agent:
        arn = await ran_and_stopped(plane, ecs)
        events = [event for event in await all_events(plane) if event["resources"] == [arn]]
    assert all(set(event) == ENVELOPE for event in events)
    first, last = events[0], events[-1]
    assert (first["source"], first["detail-type"], first["version"]) == ("aws.ecs", "ECS Task State Change", "0")
    assert (first["account"], first["region"]) == ("123456789012", "us-east-1")
    versions = [event["detail"]["version"] for event in events]
    assert versions == sorted(set(versions))
    assert versions[0] == 1
    told = [(event["detail"]["lastStatus"], event["detail"]["desiredStatus"]) for event in events]
    assert told[0] == ("PENDING", "RUNNING")
    assert ("RUNNING", "STOPPED") in told
    assert told[-1] == ("STOPPED", "STOPPED")
    detail = last["detail"]
    for member in ("createdAt", "startedAt", "stoppingAt", "executionStoppedAt", "stoppedAt", "updatedAt"):
        instant(detail[member])
    assert (detail["stopCode"], detail["stoppedReason"], detail["startedBy"]) == ("UserInitiated", "done", "me")
    assert detail["containerInstanceArn"] == agent.arn
    (container,) = detail["containers"]
    assert container["lastStatus"] == "STOPPED"
    assert container["taskArn"] == arn
    assert not {"healthStatus", "networkBindings"} & set(container)
    assert not {"healthStatus", "tags"} & set(detail)


async def test_members_are_the_models_but_for_what_only_events_have(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url):
        await ran_and_stopped(plane, ecs)
        events = await all_events(plane)
    model = ecs_shapes.service_model()
    for kind, (shape, only_in_events) in SHAPES.items():
        details = [event["detail"] for event in events if event["detail-type"] == kind]
        assert details
        for detail in details:
            assert set(detail) - set(model.shape_for(shape).members) == only_in_events


async def test_an_instance_is_told_at_placement_and_at_the_release(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url) as agent:
        await ran_and_stopped(plane, ecs)
        await ecs.update_container_instances_state(containerInstances=[agent.arn], status="DRAINING")
        details = [e["detail"] for e in await all_events(plane) if e["resources"] == [agent.arn]]
        described = await ecs.describe_container_instances(containerInstances=[agent.arn])
    versions = [detail["version"] for detail in details]
    assert versions == sorted(set(versions))
    assert versions[-1] == described["containerInstances"][0]["version"]
    left = [{r["name"]: r.get("integerValue") for r in detail["remainingResources"]}["CPU"] for detail in details]
    assert [left[0], min(left), left[-1]] == [2048, 1024, 2048]
    assert [detail["agentConnected"] for detail in details][:2] == [False, True]
    assert (details[0]["status"], details[-1]["status"]) == ("ACTIVE", "DRAINING")
    assert set(details[0]["remainingResources"][0]) == {"name", "type", "integerValue"}
    assert set(details[0]["remainingResources"][2]) == {"name", "type", "stringSetValue"}


async def test_a_service_tells_actions_and_deployments(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url):
        await ecs.register_task_definition(**definition())
        made = await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=1)
        arn = made["service"]["serviceArn"]
        steady = "has reached a steady state."
        await until(
            plane,
            lambda view: (
                [d.rollout_state for d in view.service(arn).deployments] == ["COMPLETED"]
                and any(e.message.endswith(steady) for e in view.service(arn).events)
            ),
        )
        await ecs.update_service(service="web", desiredCount=9)
        await until(plane, lambda view: any("unable to place" in e.message for e in view.service(arn).events))
        events = [event for event in await all_events(plane) if event["resources"] == [arn]]
    deployments = [e["detail"] for e in events if e["detail-type"] == "ECS Deployment State Change"]
    assert [d["eventName"] for d in deployments][:2] == [
        "SERVICE_DEPLOYMENT_IN_PROGRESS",
        "SERVICE_DEPLOYMENT_COMPLETED",
    ]
    id_ = made["service"]["deployments"][0]["id"]
    assert {d["deploymentId"] for d in deployments} == {id_}
    assert deployments[1]["reason"] == f"ECS deployment {id_} completed."
    assert set(deployments[0]) == {"eventType", "eventName", "deploymentId", "updatedAt", "reason"}
    actions = [e["detail"] for e in events if e["detail-type"] == "ECS Service Action"]
    named = [(a["eventType"], a["eventName"]) for a in actions]
    assert named[0] == ("INFO", "SERVICE_STEADY_STATE")
    assert named[-1] == ("ERROR", "SERVICE_TASK_PLACEMENT_FAILURE")
    assert actions[-1]["reason"] in {"RESOURCE:CPU", "RESOURCE:MEMORY"}
    assert actions[-1]["containerInstanceArns"]
    assert all({"eventType", "eventName", "clusterArn", "createdAt"} <= set(a) and "version" not in a for a in actions)


async def test_events_can_be_replayed_from_any_number(plane: ControlPlane, ecs: Ecs) -> None:
    async with ScriptedAgent(plane.url):
        await ran_and_stopped(plane, ecs)
    _, whole = await page(plane)
    numbers = [row["sequence"] for row in whole["events"]]
    assert numbers == sorted(numbers)
    middle = numbers[len(numbers) // 2]
    _, rest = await page(plane, after=middle)
    assert rest["events"] == [row for row in whole["events"] if row["sequence"] > middle]
    paged: list[Event] = []
    while (part := (await page(plane, after=paged[-1]["sequence"] if paged else 0, limit=1))[1])["events"]:
        paged += part["events"]
    assert paged == whole["events"]
    assert (await page(plane, after="x"))[0] == 400


async def test_the_stream_goes_on_where_it_was(plane: ControlPlane, ecs: Ecs) -> None:
    headers = {"Accept": "text/event-stream"}
    async with (
        ScriptedAgent(plane.url),
        aiohttp.ClientSession() as session,
        session.get(f"{plane.url}/events", headers=headers) as stream,
    ):
        await ran_and_stopped(plane, ecs)
        rows = (await page(plane))[1]["events"]
        heard, last = [], ""
        async with asyncio.timeout(60):
            while len(heard) < len(rows):
                field, _, value = (await stream.content.readline()).decode().strip().partition(": ")
                if field == "id":
                    last = value
                elif field == "data":
                    heard.append(json.loads(value))
    assert heard == [row["event"] for row in rows]
    assert int(last) == rows[-1]["sequence"]


async def test_what_is_no_longer_kept_is_said(plane: ControlPlane, ecs: Ecs) -> None:
    plane.store._events_kept = 3  # type: ignore[attr-defined]
    async with ScriptedAgent(plane.url):
        await ran_and_stopped(plane, ecs)
    status, body = await page(plane, after=0)
    assert status == 410
    forgotten = int(body["message"].split()[3])
    assert "are no longer kept" in body["message"]
    assert (await page(plane, after=forgotten))[0] == 200
    assert (await page(plane))[1]["events"][0]["sequence"] > forgotten


async def test_who_follows_and_falls_behind_is_told_what_is_missing_and_goes_on(plane: ControlPlane, ecs: Ecs) -> None:
    plane.store._events_kept = 3  # type: ignore[attr-defined]
    async with ScriptedAgent(plane.url), EcsClient(plane.url) as client:
        await ran_and_stopped(plane, ecs)
        forgotten = (await plane.store.events(0, 0)).forgotten
        with pytest.raises(EventsForgotten, match=f"Events up to {forgotten} are no longer kept") as gap:
            await anext(client.events(0))
        assert gap.value.upto == forgotten
        first = (await page(plane))[1]["events"][0]["sequence"]
        async with asyncio.timeout(60):
            assert (await anext(client.events(gap.value.upto)))[0] <= first


async def test_who_may_not_follow_is_told_so_at_once(plane: ControlPlane) -> None:
    async with EcsClient(plane.url) as client, asyncio.timeout(60):
        with pytest.raises(AwsError, match="after is 0 or more"):
            await anext(client.events(-1))


class Hook:
    """A webhook that fails as often as it is told to."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.tried: list[tuple[int, Event]] = []
        self.taken: list[Event] = []
        self.news = asyncio.Condition()

    async def handle(self, request: web.Request) -> web.Response:
        event = await request.json()
        status = self.statuses.pop(0) if self.statuses else 200
        async with self.news:
            self.tried.append((int(request.headers[sinks.SEQUENCE_HEADER]), event))
            if status == 200:
                self.taken.append(event)
            self.news.notify_all()
        return web.Response(status=status)

    async def has_taken(self, count: int) -> None:
        async with self.news, asyncio.timeout(60):
            await self.news.wait_for(lambda: len(self.taken) >= count)

    async def has_been_tried(self, count: int) -> None:
        async with self.news, asyncio.timeout(60):
            await self.news.wait_for(lambda: len(self.tried) >= count)


@pytest.fixture
async def hook(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Hook, str]]:
    monkeypatch.setattr(sinks, "FIRST_WAIT_SECONDS", 0.01)
    hook, app = Hook(), web.Application()
    app.router.add_post("/hook", hook.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield hook, f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    await runner.cleanup()


async def test_a_webhook_gets_every_event_in_order_also_after_failures(hook: tuple[Hook, str]) -> None:
    heard, url = hook
    heard.statuses = [500, 200, 429, 503, 200]
    async with running(Config(port=0, events_webhook=url)) as plane, ScriptedAgent(plane.url):
        await ran_and_stopped(plane, Ecs(plane.url))
        known = (await all_events(plane))[:]
        await heard.has_taken(len(known))
    assert heard.taken[: len(known)] == known
    numbers = [number for number, _ in heard.tried]
    assert numbers == sorted(numbers), "the next one waits while one is tried again"


async def test_a_webhook_that_refuses_makes_a_dead_letter_and_goes_on(
    hook: tuple[Hook, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sinks, "TRIES_MAX", 2)
    slept: list[float] = []
    sleep = asyncio.sleep
    monkeypatch.setattr(sinks.asyncio, "sleep", lambda seconds: slept.append(seconds) or sleep(0))
    heard, url = hook
    heard.statuses = [400, 500, 500, 200]
    async with running(Config(port=0, events_webhook=url)) as plane, ScriptedAgent(plane.url):
        await ran_and_stopped(plane, Ecs(plane.url))
        known = await all_events(plane)
        await heard.has_taken(len(known) - 2)
    assert heard.taken[: len(known) - 2] == known[2:]
    assert capsys.readouterr().out.count("an event is a dead letter") == 2
    assert len([seconds for seconds in slept if 0 < seconds <= sinks.FIRST_WAIT_SECONDS]) == 1, "only between two tries"


async def test_after_a_restart_a_sink_goes_on_where_it_was(
    hook: tuple[Hook, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "FIRST_WAIT_SECONDS", 60)
    heard, url = hook
    heard.statuses = [200, 500]
    config = Config(port=0, data_dir=tmp_path, events_webhook=url)
    async with running(config) as plane, ScriptedAgent(plane.url):
        await ran_and_stopped(plane, Ecs(plane.url))
        known = await all_events(plane)
        await heard.has_been_tried(2)
    assert len(heard.taken) <= 1, "the second one waits to be tried again"
    async with running(config):
        await heard.has_taken(len(known) + 1)
    told = list({event["id"]: event for event in heard.taken}.values())
    assert told[: len(known)] == known


async def test_a_file_gets_every_event_and_is_moved_aside_when_full(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    async with running(Config(port=0, events_file=path)) as plane, ScriptedAgent(plane.url):
        await ran_and_stopped(plane, Ecs(plane.url))
        known = await all_events(plane)
        await eventually(lambda: path.exists() and len(path.read_text().splitlines()) >= len(known))
    assert [json.loads(line) for line in path.read_text().splitlines()][: len(known)] == known
    small = sinks.EventFile(tmp_path / "small", bytes_max=10)
    for nth in range(8):
        await small.deliver(nth, b"event %d" % nth)
    names = await asyncio.to_thread(lambda: sorted(file.name for file in tmp_path.iterdir() if "small" in file.name))
    assert names == ["small", "small.1", "small.2", "small.3"]
    assert (tmp_path / "small").read_text() == "event 7\n"
    assert (tmp_path / "small.3").read_text() == "event 4\n"


def test_settings_that_cannot_work_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="must be an http or https URL"):
        check(Config(events_webhook="ftp://x"))
    with pytest.raises(SetupError, match="is not there"):
        check(Config(events_file=tmp_path / "no" / "file"))
