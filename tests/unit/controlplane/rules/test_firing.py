"""Rules start tasks: each tick and each event once, whatever breaks in between. The clock is held."""

import asyncio
import json
from typing import Any

import pytest
from rules_world import EVENT, World

from controlplane.committing import ATTEMPTS_MAX
from controlplane.core.plan import Conflict, Plan
from controlplane.core.rules import Rule
from controlplane.rules import firing as module
from controlplane.store.memory import MemoryStore


async def test_a_tick_starts_what_the_target_says(world: World) -> None:
    await world.rule("rate(5 minutes)", count=2, Group="night", ReferenceId="r")
    assert await world.look() == world.now + 300
    assert world.tasks() == []
    world.now += 300
    assert await world.look() == world.now + 300
    tasks = world.tasks()
    assert len(tasks) == 2
    assert {(t.started_by, t.group) for t in tasks} == {("events-rule/nightly", "night")}
    assert len({t.client_token for t in tasks}) == 1
    (line,) = await world.told()
    assert sorted(line.data["tasks"]) == sorted(t.arn for t in tasks)
    assert all(task.cause == line.id for task in tasks)


async def test_overrides_come_from_the_input(world: World) -> None:
    given = {"containerOverrides": [{"name": "main", "command": ["echo"]}], "somethingElse": 1}
    await world.rule("rate(1 minute)", given=given)
    world.now += 60
    await world.look()
    assert world.tasks()[0].body["overrides"] == {"containerOverrides": given["containerOverrides"]}


async def test_a_tick_is_once_also_where_the_process_dies_in_between(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the tasks are durable and before the rule has its next time: the look comes again."""
    await world.rule("rate(5 minutes)")
    world.now += 301

    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module.timing, "next_after", die)
        with pytest.raises(Killed):
            await world.ticker.look()
    assert len(world.tasks()) == 1
    world.now += 20
    await world.look()
    await world.look()
    assert len(world.tasks()) == 1
    assert len(await world.told()) == 1
    world.now += 300
    await world.look()
    assert len(world.tasks()) == 2


async def test_ticks_that_came_too_late_are_missed_and_said(world: World) -> None:
    await world.rule("rate(5 minutes)")
    first = world.now + 300
    world.now += 3000 + 61
    due = await world.look()
    assert world.tasks() == []
    (line,) = await world.told()
    assert line.data == {"missed": first}
    assert due == first + 3000
    world.now = due + 59
    await world.look()
    assert len(world.tasks()) == 1, "a little late is not too late"


async def test_no_room_and_no_definition_are_told_and_not_tried_again(world: World) -> None:
    await world.rule("rate(1 minute)", count=10)
    world.now += 60
    await world.look()
    assert len(world.tasks()) == 4
    (line,) = await world.told()
    assert {failure["reason"] for failure in line.data["failures"]} <= {"RESOURCE:CPU", "RESOURCE:MEMORY"}
    await world.rule("rate(1 minute)", TaskDefinitionArn="gone")
    world.now += 60
    await world.look()
    assert "error" in (await world.told())[-1].data
    assert len(world.tasks()) == 4


async def test_a_disabled_rule_is_silent_and_counts_anew_when_enabled(world: World) -> None:
    await world.rule("rate(5 minutes)")
    await world.api.serve("DisableRule", {"Name": "nightly"})
    world.now += 1000
    assert await world.look() is None
    await world.api.serve("EnableRule", {"Name": "nightly"})
    assert await world.look() == world.now + 300
    assert world.tasks() == []


async def test_an_event_starts_a_task_once(world: World) -> None:
    await world.rule("", wanted={"source": ["aws.ecs"], "detail": {"lastStatus": ["STOPPED"]}})
    other = {**EVENT, "id": "2", "detail": {"lastStatus": "RUNNING"}}
    for event in (EVENT, EVENT, other):
        await world.events.deliver(9, json.dumps(event).encode())
    assert len(world.tasks()) == 1
    assert isinstance(world.store, MemoryStore)
    await world.events.deliver(10, json.dumps({**EVENT, "id": "3"}).encode())
    assert len(world.tasks()) == 2


async def test_a_rule_does_not_wait_for_what_was_before_it(world: World) -> None:
    assert world.events.is_idle()
    await world.rule("", wanted={"source": ["aws.ecs"]})
    assert not world.events.is_idle()
    await world.events.deliver(world.store.view().revision - 1, json.dumps(EVENT).encode())
    assert world.tasks() == []


async def test_a_tick_does_not_make_the_same_rule_deaf(world: World) -> None:
    """An event that was committed before a tick and is delivered after it."""
    await world.rule("rate(5 minutes)", wanted={"source": ["aws.ecs"]})
    sequence = world.store.view().revision + 1
    world.now += 300
    await world.look()
    await world.events.deliver(sequence, json.dumps(EVENT).encode())
    assert len(world.tasks()) == 2, "one by the clock, one by the event"


async def test_a_rule_that_breaks_keeps_no_other_waiting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("broken", "whole"):
        await world.rule("rate(5 minutes)", name=name, wanted={"source": ["aws.ecs"]})
    fire = world.firing.fire

    async def breaks(rule: Rule, occasion: str) -> None:
        if rule.name == "broken":
            raise RuntimeError
        await fire(rule, occasion)

    monkeypatch.setattr(world.firing, "fire", breaks)
    world.now += 300
    await world.look()
    await world.events.deliver(world.store.view().revision, json.dumps(EVENT).encode())
    assert [task.started_by for task in world.tasks()] == ["events-rule/whole"] * 2
    assert world.slept == []


async def test_an_event_outlasts_a_busy_store(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.rule("", wanted={"source": ["aws.ecs"]})
    offer, refusals = world.store.offer, [Conflict("busy")] * ATTEMPTS_MAX

    def busy(plan: Plan, done: asyncio.Future[int]) -> None:
        if refusals:
            done.set_exception(refusals.pop())
        else:
            offer(plan, done)

    monkeypatch.setattr(world.store, "offer", busy)
    await world.events.deliver(world.store.view().revision + 1, json.dumps(EVENT).encode())
    assert len(world.tasks()) == 1
    assert len(world.slept) == 1


@pytest.fixture
async def world() -> World:
    return await World.made()
