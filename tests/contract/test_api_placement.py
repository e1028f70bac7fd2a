"""Placement through the API: constraints with expressions, failures that say why, and the verdict on every instance."""

from typing import Any

import aiohttp
import pytest
from apiside import Ecs, definition
from botocore.exceptions import ClientError
from scripted_agent import ScriptedAgent

from controlplane.server import ControlPlane

SMALL = {"cpu": 128, "memory": 128}


def member_of(expression: str) -> list[dict[str, str]]:
    return [{"type": "memberOf", "expression": expression}]


async def get(url: str, **query: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(url, params=query) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_constraints_bind_and_failures_say_why(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(
        **definition(**SMALL), placementConstraints=member_of("attribute:ecs.os-type exists")
    )
    async with ScriptedAgent(plane.url, zone="us-east-1a") as one, ScriptedAgent(plane.url, zone="us-east-1b") as two:
        zone = member_of("attribute:ecs.availability-zone in [us-east-1b]")
        ran = await ecs.run_task(taskDefinition="web", count=3, placementConstraints=zone)
        assert {task["containerInstanceArn"] for task in ran["tasks"]} == {two.arn}
        nowhere = await ecs.run_task(taskDefinition="web", placementConstraints=member_of("runningTasksCount > 99"))
        assert nowhere["tasks"] == []
        why = "2 of 2 instances lack what the constraint 'runningTasksCount > 99' asks for."
        reason = "MemberOf placement constraint unsatisfied."
        assert sorted(nowhere["failures"], key=lambda failure: failure["arn"]) == [
            {"arn": arn, "reason": reason, "detail": why} for arn in sorted([one.arn, two.arn])
        ]
        story = await plane.store.story(0, 1000)
        assert [line.data["why"] for _, line in story[0] if line.kind == "placement.failed"] == [why]
        apart = [{"type": "distinctInstance"}]
        spread = await ecs.run_task(taskDefinition="web", group="g", count=3, placementConstraints=apart)
        assert {task["containerInstanceArn"] for task in spread["tasks"]} == {one.arn, two.arn}
        assert {failure["reason"] for failure in spread["failures"]} == {
            "DistinctInstance placement constraint unsatisfied."
        }


@pytest.mark.parametrize(
    ("constraints", "sentence"),
    [
        (member_of("attribute:x == "), "a value was expected at character 16"),
        (member_of("x" * 2001), "at most 2000 characters"),
        ([{"type": "memberOf"}], "needs an expression"),
        ([{"type": "distinctInstance"}] * 11, "at most 10 placement constraints"),
        ([{"type": "near"}], "should be one of [distinctInstance,memberOf]"),
    ],
)
async def test_bad_constraints_are_one_sentence(ecs: Ecs, constraints: list[dict[str, str]], sentence: str) -> None:
    await ecs.register_task_definition(**definition())
    with pytest.raises(ClientError, match="InvalidParameterException") as refused:
        await ecs.run_task(taskDefinition="web", placementConstraints=constraints)
    assert sentence in refused.value.response["Error"]["Message"]


async def test_a_task_definition_takes_member_of_only(ecs: Ecs) -> None:
    with pytest.raises(ClientError, match=r"should be one of \[memberOf\]"):
        await ecs.register_task_definition(**definition(), placementConstraints=[{"type": "distinctInstance"}])
    with pytest.raises(ClientError, match="an operator was expected at character 12"):
        await ecs.register_task_definition(**definition(), placementConstraints=member_of("attribute:x"))


async def test_explain_says_what_becomes_of_every_instance(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition())
    zone = member_of("attribute:ecs.availability-zone != us-east-1c")
    await ecs.register_task_definition(**definition("picky", cpu=1500, memory=100), placementConstraints=zone)
    async with (
        ScriptedAgent(plane.url, zone="us-east-1a") as full,
        ScriptedAgent(plane.url, zone="us-east-1b") as free,
        ScriptedAgent(plane.url, zone="us-east-1c") as outside,
    ):
        ran = await ecs.start_task(taskDefinition="web", containerInstances=[full.arn])
        status, answer = await get(f"{plane.url}/_berth/explain", subject="picky")
        assert status == 200
        verdicts = {verdict["instance"]: verdict for verdict in answer["instances"]}
        assert verdicts[free.arn] == {"instance": free.arn, "place": 1}
        assert verdicts[full.arn] == {
            "instance": full.arn, "reason": "RESOURCE:CPU", "lacks": "CPU", "missing": 476,
        }  # fmt: skip
        assert verdicts[outside.arn]["reason"] == "MemberOf placement constraint unsatisfied."
        assert answer["sentence"] == "1 of 3 instances take it; 1 of them come first."

        packed = [{"type": "binpack", "field": "memory"}]
        await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=0, placementStrategy=packed)
        _, answer = await get(f"{plane.url}/_berth/explain", subject="web", cluster="default")
        assert answer["group"] == "service:web"
        ranked = [(verdict["instance"], verdict["place"], verdict["scores"]) for verdict in answer["instances"]]
        assert ranked[0] == (full.arn, 1, {"binpack memory": 8359})
        assert {place for _, place, _ in ranked[1:]} == {2}

        task = ran["tasks"][0]["taskArn"]
        assert (await get(f"{plane.url}/_berth/explain", subject=task))[1]["group"] == "family:web"
        status, answer = await get(f"{plane.url}/_berth/explain", subject="nothing")
        assert (status, answer["message"]) == (
            400, "Cluster default knows no service, task or task definition 'nothing'.",
        )  # fmt: skip
