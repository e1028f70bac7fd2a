"""kill -9 of the control plane at the worst moments of a rule: what its tick or its event leads to happens once."""

import json
from pathlib import Path
from typing import Any

import pytest
from apiside import Ecs, call, definition, post
from scripted_agent import ScriptedAgent
from subprocesses import Program

from wire import envelope
from wire.events import TARGET_PREFIX

CLUSTER = "arn:aws:ecs:us-east-1:123456789012:cluster/default"
ENDED = json.dumps({"detail": {"group": ["family:web"], "lastStatus": ["STOPPED"]}})
PROGRAM = """
import os, sys
from controlplane.rules import timing
from controlplane.rules.firing import Firing
when, fire = sys.argv.pop(1), Firing.fire
async def deadly(self, rule, occasion):
    if when == "before":
        os.kill(os.getpid(), 9)
    await fire(self, rule, occasion)
    if when == "after":
        os.kill(os.getpid(), 9)
    print("fired", flush=True)
Firing.fire = deadly
if when != "never":
    timing._UNIT_SECONDS["minute"] = 2
from controlplane.__main__ import main
sys.exit(main())
"""
"""The program as it is but for this: it dies before or after a rule's tasks are durable, and its minutes are short."""


def program(when: str) -> tuple[str, ...]:
    return ("-c", PROGRAM, when)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("how", [{"ScheduleExpression": "rate(1 minute)"}, {"EventPattern": ENDED}])
async def test_what_a_rule_starts_is_started_once(tmp_path: Path, when: str, how: dict[str, Any]) -> None:
    async with Program("--data-dir", str(tmp_path), program=program(when)) as plane:
        ecs = Ecs(plane.url)
        for family in ("web", "job"):
            await ecs.register_task_definition(**definition(family, cpu=1, memory=8))
        async with ScriptedAgent(plane.url) as agent:
            arn = (await ecs.run_task(taskDefinition="web"))["tasks"][0]["taskArn"]
            await _events(plane.url, "PutRule", Name="once", State="DISABLED", **how)
            target = {"Id": "1", "Arn": CLUSTER, "EcsParameters": {"TaskDefinitionArn": "job"}}
            await _events(plane.url, "PutTargets", Rule="once", Targets=[target])
            await _events(plane.url, "EnableRule", Name="once")
            if "EventPattern" in how:
                await call(plane.url, "StopTask", task=arn)
            assert await plane.ended() == -9
            await agent.closed()

        plane.program = program("never")
        await plane.start()
        assert await plane.line() == "fired\n", "the same tick or event is looked at again"
        assert len((await ecs.list_tasks(startedBy="events-rule/once"))["taskArns"]) == 1


async def _events(url: str, operation: str, **members: Any) -> None:
    status, answer, _ = await post(
        url, json.dumps(members).encode(), **envelope.request_headers(operation, TARGET_PREFIX)
    )
    assert status == 200, answer
