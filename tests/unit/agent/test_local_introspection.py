"""The introspection port, the notice of an interruption, and how the agent leaves."""

import asyncio

import msgspec
import pytest
from local_world import ARN, OTHER_ARN, Facts, FakeLooks, books, docker_id, inspected, served, task

from agent.backend.ecsclient import BackendUnreachableError
from agent.core.ladder import Known
from agent.core.queueing import Host
from agent.core.reporting import StateReport
from agent.departure import Departure, Leaving, Way
from agent.local import gauges, interruption
from agent.local.interruption import Interruption, Notice, set_draining
from agent.local.introspection import Introspection, no_web_pages
from agent.local.recent import KEPT_MAX, Recent
from agent.runtime.port import Listed, NoAnswerError
from wire.errors import AwsError
from wire.resources import Amounts
from wire.story import Kind

NOW = 1_800_000_000.0


def introspection(tasks=(), looks=None, **parts):
    known = {
        "host": Host(Amounts(2048, 15731)),
        "recent": Recent(),
        "interruption": Interruption(Facts(), is_draining=True),
        **parts,
    }
    return Introspection(
        books(list(tasks), looks or FakeLooks()),
        known["host"],
        known["recent"],
        known["interruption"],
        cluster="default",
        instance="arn:i",
        version="1.2",
        clock=lambda: NOW,
    ).routes()


async def test_metadata_and_commands():
    async with served(introspection()) as ask:
        about = {"Cluster": "default", "ContainerInstanceArn": "arn:i", "Version": "berth agent - v1.2"}
        assert await ask("/v1/metadata") == (200, about)
        assert "/v1/tasks" in (await ask("/"))[1]["AvailableCommands"]
        assert (await ask("/license"))[0] == 200


async def test_tasks_and_one_of_them():
    tasks = [task(), task(OTHER_ARN, known=Known.STOPPED)]
    async with served(introspection(tasks, FakeLooks(inspected()))) as ask:
        shown = (await ask("/v1/tasks"))[1]["Tasks"]
        assert [(each["Arn"], each["KnownStatus"]) for each in shown] == [(ARN, "RUNNING"), (OTHER_ARN, "STOPPED")]
        assert shown[0]["Containers"][0]["Networks"] == [{"NetworkMode": "bridge", "IPv4Addresses": ["172.17.0.2"]}]
        for query in (f"taskarn={ARN}", f"dockerid={docker_id(ARN)}", f"dockerid={docker_id(ARN)[:12]}"):
            assert (await ask(f"/v1/tasks?{query}"))[1] == shown[0]
        for query in ("taskarn=x", "dockerid=0", "dockerid="):
            status, nothing = await ask(f"/v1/tasks?{query}")
            assert (status, nothing["Arn"]) == (404, "")


async def test_the_newest_of_the_story_and_no_more_than_is_kept():
    recent = Recent()
    for number in range(KEPT_MAX + 5):
        recent.tell(NOW, f"task-{number}", Kind.TASK_KNOWN, "", {"known": "RUNNING"})
    async with served(introspection(recent=recent)) as ask:
        lines = (await ask("/v1/story"))[1]["lines"]
        assert (len(lines), lines[-1]["subject"]) == (KEPT_MAX, f"task-{KEPT_MAX + 4}")
        assert [line["subject"] for line in (await ask("/v1/story?limit=1"))[1]["lines"]] == [f"task-{KEPT_MAX + 4}"]
        assert (await ask("/v1/story?limit=-1"))[0] == 400


async def test_metrics_are_prometheus_text():
    host, recent = Host(Amounts(2048, 15731)), Recent()
    host.ask("a", Amounts(1024, 1000), NOW)
    host.ask("b", Amounts(2048, 1000), NOW)
    recent.tell(NOW, "a", Kind.HOST_HELD, "", {})
    async with served(introspection([task()], host=host, recent=recent)) as ask:
        lines = (await ask("/metrics"))[1].splitlines()
    assert 'berth_agent_tasks{known="RUNNING"} 1' in lines
    assert "berth_agent_queued_tasks 1" in lines
    assert 'berth_agent_host_held{resource="cpu"} 1024' in lines
    assert 'berth_agent_host_registered{resource="memory_mib"} 15731' in lines
    assert 'berth_agent_story_lines_total{kind="host.held"} 1' in lines
    assert "# TYPE berth_agent_story_lines_total counter" in lines
    odd = gauges.text([], host, {'a"b\\c\nd': 1}, instance="i")
    assert r'{kind="a\"b\\c\nd"} 1' in odd


async def test_a_notice_is_taken_once_and_pages_are_refused():
    notices = Interruption(Facts(), is_draining=True)
    async with served(introspection(interruption=notices), [no_web_pages]) as ask:
        assert (await ask("/v1/interruption"))[0] == 404
        status, _ = await ask("/v1/interruption", "POST", headers={"Origin": "http://evil"})
        assert status == 403
        assert notices.notice is None
        for wrong in ({"action": "explode"}, {"time": "soon"}, {"time": "2027-01-15T08:02:00"}):
            assert (await ask("/v1/interruption", "POST", json=wrong))[0] == 400
        assert notices.notice is None
        first = {"action": "stop", "time": "2027-01-15T08:02:00Z"}
        assert await ask("/v1/interruption", "POST", json={"action": "stop"}) == (202, first)
        assert await ask("/v1/interruption", "POST", json={"action": "terminate"}) == (202, first)
        assert await ask("/v1/interruption") == (200, first)


class Plane:
    """A control plane that answers in turn as told."""

    def __init__(self, *said):
        self.said, self.asked = list(said), []

    async def call(self, operation, body):
        self.asked.append((operation, body))
        said = self.said.pop(0)
        if isinstance(said, Exception):
            raise said
        return said


async def test_draining_is_asked_for_until_it_is_done(monkeypatch):
    monkeypatch.setattr(interruption, "RETRY_SECONDS", 0)
    plane = Plane(BackendUnreachableError("x"), AwsError("no"), {"failures": [{"reason": "MISSING"}]}, {"failures": []})
    await set_draining(plane, "default", "arn:i")
    body = {"cluster": "default", "containerInstances": ["arn:i"], "status": "DRAINING"}
    assert plane.asked == [("UpdateContainerInstancesState", body)] * 4


@pytest.mark.parametrize(("is_draining", "calls"), [(True, 1), (False, 0)])
async def test_a_notice_drains_where_that_is_on(is_draining, calls):
    notices, plane = Interruption(Facts(), is_draining=is_draining), Plane({"failures": []})
    running = asyncio.create_task(notices.run(plane, "default", "arn:i"))
    await asyncio.sleep(0)
    assert plane.asked == []
    notices.give(Notice(), NOW)
    await running
    assert len(plane.asked) == calls


class Ship:
    """A container runtime with two of our containers, one of which has ended; `holds` calls are refused first."""

    def __init__(self, holds=0):
        self.holds, self.deeds = holds, []
        self.rows = {
            name: Listed(docker_id=name, task=ARN, container="main", is_running=name == "up") for name in ("up", "down")
        }

    async def containers(self):
        if self.holds:
            self.holds -= 1
            raise NoAnswerError("CannotListContainersError", "away")
        return list(self.rows.values())

    async def signal(self, docker_id, signal):
        self.deeds.append((signal, docker_id))
        self.rows[docker_id] = msgspec.structs.replace(self.rows[docker_id], is_running=False)

    async def remove(self, docker_id, *, force):
        self.deeds.append(("force" if force else "rm", docker_id))
        del self.rows[docker_id]


@pytest.mark.parametrize(
    ("action", "deeds"), [("terminate", [("force", "up"), ("force", "down")]), ("stop", [("SIGKILL", "up")])]
)
async def test_at_the_end_of_the_notice_the_host_goes_and_says_so_until_it_is_heard(monkeypatch, action, deeds):
    monkeypatch.setattr(interruption, "RETRY_SECONDS", 0)
    monkeypatch.setattr(interruption, "LOOK_SECONDS", 0.001)
    facts, now = Facts(), [NOW]
    notices = Interruption(facts, is_draining=False)
    notices.give(Notice(action), NOW)
    assert Interruption(facts, is_draining=False).notice == notices.notice, "an agent that is killed keeps it"
    over = asyncio.create_task(notices.over(lambda: now[0]))
    await asyncio.sleep(0.01)
    assert not over.done()
    assert not notices.has_ended(now[0])
    now[0] += 120
    await asyncio.wait_for(over, 60)
    assert notices.has_ended(now[0])
    ship, plane = Ship(holds=1), Plane(BackendUnreachableError("x"), AwsError("no", status=503), {})
    await notices.take_away(ship, plane, "default", "arn:i")
    assert ship.deeds == deeds
    said = {"cluster": "default", "containerInstance": "arn:i", "action": action}
    assert plane.asked == [("SubmitInstanceInterruption", said)] * 3
    assert Interruption(facts, is_draining=False).notice is None, "it is over"


# ---- leaving -------------------------------------------------------------------------------------------------------


async def leaving(tasks, *, limit_seconds=60.0):
    """A departure that is at work: (departure, what waits for an empty host, what was drained)."""
    departure, drained = Departure(Leaving(on_term=Way.EMPTIED, limit_seconds=limit_seconds)), []

    async def drain():
        drained.append(True)

    emptied = asyncio.create_task(departure.emptied(drain, lambda: tasks))
    await asyncio.sleep(0)
    return departure, emptied, drained


async def test_it_leaves_when_the_last_end_is_told(monkeypatch):
    monkeypatch.setattr("agent.departure.LOOK_SECONDS", 0.001)
    tasks = [task()]
    departure, emptied, drained = await leaving(tasks)
    assert not drained
    departure.ask(Way.EMPTIED)
    async with asyncio.timeout(60):
        while not drained:  # noqa: ASYNC110 - it is told to nobody
            await asyncio.sleep(0.01)
    assert drained == [True]
    assert not emptied.done()
    tasks[0].known = Known.STOPPED
    tasks[0].outbox = [StateReport(number=0, cause="", status="STOPPED", reason="", containers=())]
    await asyncio.sleep(0.01)
    assert not emptied.done(), "the control plane has not heard of it"
    tasks[0].outbox = []
    await asyncio.wait_for(emptied, 60)


async def test_it_leaves_at_the_limit_all_the_same(caplog):
    departure, emptied, _ = await leaving([task()], limit_seconds=0.01)
    departure.ask(Way.EMPTIED)
    await asyncio.wait_for(emptied, 60)
    assert "1 tasks are left" in caplog.text


async def test_at_once_without_drain_at_the_second_signal_and_before_it_is_at_work():
    departure, emptied, drained = await leaving([task()])
    departure.ask(Way.AT_ONCE)
    await asyncio.wait_for(departure.at_once(), 60)
    assert not drained
    emptied.cancel()
    departure, emptied, _ = await leaving([task()])
    departure.ask(Way.EMPTIED)
    departure.ask(Way.EMPTIED)
    await asyncio.wait_for(departure.at_once(), 60)
    emptied.cancel()
    early = Departure(Leaving(on_term=Way.EMPTIED))
    early.ask(Way.EMPTIED)
    await asyncio.wait_for(early.at_once(), 60)
