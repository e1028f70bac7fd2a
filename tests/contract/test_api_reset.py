"""Reset, at the side of the control plane: refused unless allowed; an agent that registers once keeps its instance."""

import asyncio

import pytest
from apiside import Ecs, definition, post
from scripted_agent import ScriptedAgent

from controlplane import reset
from controlplane.config import Config
from controlplane.core.scaling.metrics import Metric, Samples
from controlplane.server import ControlPlane, running
from controlplane.store.port import Watch


async def test_it_is_off_unless_switched_on(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.create_cluster(clusterName="kept")
    status, body, _ = await post(f"{plane.url}/_berth/reset", b"")
    assert (status, body["__type"]) == (403, "AccessDeniedException")
    assert "--allow-reset" in body["message"]
    assert len((await ecs.list_clusters())["clusterArns"]) == 2


async def test_an_agent_that_registers_once_keeps_its_instance() -> None:
    """Amazon's own never registers again while it lives."""
    async with running(Config(port=0, allow_reset=True)) as plane, ScriptedAgent(plane.url, release=None) as agent:
        ecs = Ecs(plane.url)
        await ecs.register_task_definition(**definition())
        await ecs.run_task(taskDefinition="web")
        status, body, _ = await post(f"{plane.url}/_berth/reset", b"")
        assert (status, body["stoppedTasks"], body["containerInstanceArns"]) == (200, 1, [agent.arn])
        view = plane.store.view()
        assert [row.arn for row in view.instances("default")] == [agent.arn]
        assert view.tasks("default") == []
        assert not view.ledger(agent.arn).free.ports_taken - {22, 2375, 2376}


async def test_a_host_that_does_not_come_back_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reset, "RETURN_SECONDS_MAX", 0.2)
    measured = Metric(namespace="AWS/ECS", name="CPUUtilization")
    async with running(Config(port=0, allow_reset=True)) as plane, ScriptedAgent(plane.url) as agent:
        plane.minutes.book.put(measured, Samples(count=1, total=1, least=1, most=1), 1)
        status, body, _ = await post(f"{plane.url}/_berth/reset", b"")
        assert (status, body["__type"]) == (504, "ResetIncompleteException")
        assert not plane.minutes.book.knows(measured), "all the same"
        assert agent.arn in body["message"]
        assert plane.store.view().instances("default") == []


async def test_it_waits_on_though_more_happens_than_its_watch_can_hold(plane: ControlPlane, ecs: Ecs) -> None:
    whole = plane.store.watch

    def narrow() -> Watch:
        watch = whole()
        watch._commits_max = 0  # type: ignore[attr-defined]
        return watch

    plane.store.watch = narrow  # type: ignore[method-assign]
    waiting = asyncio.create_task(plane.reset._until(lambda view: view.cluster("last") is not None, 60))
    for name in ("one", "two", "three"):
        await ecs.create_cluster(clusterName=name)
        assert not waiting.done()
    await ecs.create_cluster(clusterName="last")
    await asyncio.wait_for(waiting, 60)
