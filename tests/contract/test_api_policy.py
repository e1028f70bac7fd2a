"""A cluster's policy at run time: set by name or by switch, durable, told to our agents and to no other."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from apiside import Ecs, call, definition, until
from scripted_agent import ScriptedAgent

from controlplane.config import Config
from controlplane.core.model import Release
from controlplane.core.policy import PRESETS
from controlplane.server import ControlPlane, running


async def put(url: str, **members: Any) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.put(f"{url}/_berth/policy", json=members) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_presets_and_switches(plane: ControlPlane) -> None:
    status, first = await call(plane.url, "GetClusterPolicy")
    assert (status, first["preset"], first["agent"]) == (200, "ecs-2026", None)
    for name, preset in PRESETS.items():
        status, answer = await put(plane.url, cluster="default", preset=name)
        assert (status, answer["preset"], answer["agent"]["release"]) == (200, name, preset.agent.release)
        assert answer["policy"]["healthy-after-seconds"] == 0, "a preset is not about the pace of tests"
    switches = {"hold-ends": "reported-exit", "counts_stopping": "for", "counts-stopping-seconds": "12.5"}
    status, answer = await put(plane.url, preset="lease", switches=switches | {"pending-lease-seconds": "none"})
    assert (status, answer["preset"]) == (200, None)
    assert answer["policy"] == {
        **answer["policy"], "hold-ends": "reported-exit", "counts-stopping": "for", "counts-stopping-seconds": 12.5,
        "pending-lease-seconds": None,
    }  # fmt: skip
    async with aiohttp.ClientSession() as session, session.get(f"{plane.url}/_berth/policy?cluster=default") as got:
        assert await got.json(content_type=None) == answer
    told = [line for _, line in (await plane.store.story(0, 1000))[0] if line.kind == "policy.set"]
    assert told[-1].data["policy"]["counts-stopping"] == "for"


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"preset": "ecs-1999"}, "'ecs-1999' is no policy preset; there are ecs-2026"),
        ({"switches": {"colour": "red"}}, "There is no switch 'colour'; there are abort-stops, "),
        ({"switches": {"hold-ends": "never"}}, "hold-ends does not take 'never'"),
        ({"switches": {"task-queue": "greedy:soon"}}, "task-queue does not take 'greedy:soon'"),
        ({"switches": {"pending-lease-seconds": "-1"}}, "pending-lease-seconds takes 0 or more"),
        ({"switches": ["hold-ends"]}, "Expected object, got array (switches)"),
        ({"cluster": "none", "preset": "lease"}, "Cluster not found."),
    ],
)
async def test_bad_policies_change_nothing(plane: ControlPlane, members: dict[str, Any], sentence: str) -> None:
    before = plane.store.view().cluster("default")
    status, answer = await put(plane.url, **members)
    assert (status, sentence in answer["message"]) == (400, True), answer
    assert plane.store.view().cluster("default") == before


async def test_our_agents_are_told_and_no_other(plane: ControlPlane) -> None:
    async with ScriptedAgent(plane.url, release="eager") as ours, ScriptedAgent(plane.url, release=None) as amazons:
        await put(plane.url, preset="on-exit", switches={"task-queue": "greedy:60", "stop-give-up": "declare"})
        state = await until(plane, lambda view: view.instance(ours.arn).release is Release.ON_EXIT)  # type: ignore[union-attr]
        assert state.instance(ours.arn).attribute("berth.resource-release") == "on-exit"  # type: ignore[union-attr]
        assert [(p["resourceRelease"], p["taskQueue"], p["stopGiveUp"]) for p in ours.policies] == [
            ("on-exit", "greedy:60", "declare")
        ]
        await ours.disconnect()
        await ours.connect()
        await ours.is_told_policies(2)
        assert ours.policies[0] | {"messageId": ""} == ours.policies[1] | {"messageId": ""}, "told again"
        assert amazons.policies == []


async def test_a_policy_survives_a_restart(tmp_path: Path) -> None:
    config = Config(port=0, data_dir=tmp_path, healthy_after_seconds=0)
    async with running(config) as plane:
        await put(plane.url, preset="deadline")
    async with running(config) as plane:
        assert (await call(plane.url, "GetClusterPolicy"))[1]["preset"] == "deadline"


async def test_a_policy_goes_at_once(plane: ControlPlane, ecs: Ecs) -> None:
    """The same stop, before and after: who ends the hold."""
    await ecs.register_task_definition(**definition(cpu=128, memory=128))
    async with ScriptedAgent(plane.url, release=None, obedient=False) as agent:
        one, two = [t["taskArn"] for t in (await ecs.run_task(taskDefinition="web", count=2))["tasks"]]
        await agent.is_told(two, "RUNNING")
        await ecs.stop_task(task=one)
        assert plane.store.view().task(one).hold is None, "as AWS does for an agent that reports none"  # type: ignore[union-attr]
        await put(plane.url, switches={"hold-ends": "reported-exit"})
        await ecs.stop_task(task=two)
        assert plane.store.view().task(two).hold is not None  # type: ignore[union-attr]
        await agent.report(two, "STOPPED", exit_code=0)
        assert plane.store.view().task(two).hold is None  # type: ignore[union-attr]
