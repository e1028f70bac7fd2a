"""Restarts on the same data: nothing acknowledged is lost, nothing is started twice."""

import asyncio
import signal
import time
from pathlib import Path

from apiside import Ecs, definition, until
from scripted_agent import ScriptedAgent
from subprocesses import Program

from controlplane.config import Config
from controlplane.core.model import Task
from controlplane.server import running
from wire.status import TaskStatus

SMALL = {"cpu": 100, "memory": 100}


async def test_what_was_answered_is_there_after_a_restart(tmp_path: Path) -> None:
    config = Config(port=0, data_dir=tmp_path, healthy_after_seconds=0)
    async with running(config) as plane:
        ecs = Ecs(plane.url)
        await ecs.register_task_definition(**definition())
        agent = ScriptedAgent(plane.url, obedient=False)
        async with agent:
            arn = (await ecs.run_task(taskDefinition="web", clientToken="t"))["tasks"][0]["taskArn"]
            await agent.is_told(arn, "RUNNING")
            await agent.report(arn, "RUNNING")
            before = (await ecs.describe_tasks(tasks=[arn]))["tasks"]
            await ecs.stop_task(task=arn)
            await agent.is_told(arn, "STOPPED")
            await until(plane, lambda view: view.task(arn).last_status is TaskStatus.STOPPING)  # type: ignore[union-attr]
    async with running(config) as plane:
        ecs = Ecs(plane.url)
        agent.url = plane.url
        agent.told.clear()
        async with agent:
            again = (await ecs.run_task(taskDefinition="web", clientToken="t"))["tasks"]
            assert [task["taskArn"] for task in again] == [arn]
            described = (await ecs.describe_tasks(tasks=[arn]))["tasks"][0]
            assert described["startedAt"] == before[0]["startedAt"]
            assert (described["lastStatus"], described["desiredStatus"]) == ("STOPPING", "STOPPED")
            instances = await ecs.describe_container_instances(containerInstances=[agent.arn])
            free = {r["name"]: r["integerValue"] for r in instances["containerInstances"][0]["remainingResources"]}
            assert (free["CPU"], free["MEMORY"]) == (1024, 8359), "the hold stands"
            await agent.report(arn, "STOPPED")
            assert (await ecs.describe_tasks(tasks=[arn]))["tasks"][0]["lastStatus"] == "STOPPED"
            assert agent.told == [], "what was acknowledged is not said again"


async def test_the_program_says_where_it_is_and_ends_quickly(tmp_path: Path) -> None:
    async with Program("--data-dir", str(tmp_path)) as program:
        assert program.first_line.startswith(f"control plane {program.url} ")
        async with ScriptedAgent(program.url) as agent:
            began = time.monotonic()
            assert await program.end(signal.SIGTERM) == 0
            assert time.monotonic() - began < 15, "connections do not hold it up"
            assert await agent.closed() == 1001


async def test_killed_in_the_middle_of_a_deployment(tmp_path: Path) -> None:
    """Four old tasks told to stop, four new ones on their way, kill -9: it ends with those four, each told once."""
    async with Program("--data-dir", str(tmp_path), "--healthy-after-seconds", "0") as program:
        ecs = Ecs(program.url)
        for _ in range(2):
            await ecs.register_task_definition(**definition(**SMALL))
        async with ScriptedAgent(program.url) as one, ScriptedAgent(program.url) as two:
            agents = (one, two)
            await ecs.create_service(
                serviceName="web",
                taskDefinition="web:1",
                desiredCount=4,
                deploymentConfiguration={"minimumHealthyPercent": 0, "maximumPercent": 200},
            )
            await ecs.wait("services_stable", cluster="default", services=["web"])
            old = {arn for agent in agents for arn in agent.tasks}
            for agent in agents:
                agent.obedient = False
            told = len(one.told)
            await ecs.update_service(service="web", taskDefinition="web:2")
            await one.is_told_of(told + 1)
            await program.end(signal.SIGKILL)
            await asyncio.gather(*(agent.closed() for agent in agents))

            await program.start()
            for agent in agents:
                agent.obedient = True
                await agent.connect()
                for arn, desired in list(agent.told):
                    await agent.report(arn, desired)
            await ecs.wait("services_stable", cluster="default", services=["web"])
            await ecs.wait("tasks_stopped", cluster="default", tasks=sorted(old))
            new = {arn for agent in agents for arn in agent.tasks} - old
            assert set((await ecs.list_tasks())["taskArns"]) == new
            assert len(new) == 4
            assert len((await ecs.list_tasks(desiredStatus="STOPPED"))["taskArns"]) == 4
            assert not set(one.tasks) & set(two.tasks), "no task was told to two instances"
            service = (await ecs.describe_services(services=["web"]))["services"][0]
            assert [d["taskDefinition"].endswith("web:2") for d in service["deployments"]] == [True]


async def test_every_answered_run_task_survives_a_kill(tmp_path: Path) -> None:
    async with Program("--data-dir", str(tmp_path)) as program:
        ecs = Ecs(program.url)
        await ecs.register_task_definition(**definition(cpu=1, memory=6))
        async with ScriptedAgent(program.url, obedient=False):
            answered: list[str] = []

            async def run_until_killed() -> None:
                try:
                    while True:
                        answer = await ecs.run_task(taskDefinition="web", count=2)
                        answered.extend(task["taskArn"] for task in answer["tasks"])
                except Exception:  # noqa: BLE001 - however the connection breaks
                    return

            runners = [asyncio.create_task(run_until_killed()) for _ in range(4)]
            async with asyncio.timeout(60):
                while len(answered) < 40:  # noqa: ASYNC110 - counts what four threads have got
                    await asyncio.sleep(0.01)
            await program.end(signal.SIGKILL)
            await asyncio.gather(*runners)
        await program.start()
        for start in range(0, len(answered), 100):
            described = await ecs.describe_tasks(tasks=answered[start : start + 100])
            assert described["failures"] == []


async def test_absent_agents_are_noticed_after_a_restart(tmp_path: Path) -> None:
    config = Config(port=0, data_dir=tmp_path)
    async with running(config) as plane, ScriptedAgent(plane.url) as agent:
        arn = agent.arn
        plane.sessions.close()
        await agent.closed()
    async with running(config) as plane:
        assert plane.store.view().instance(arn).agent_connected  # type: ignore[union-attr]
        await plane.sessions.forget_absent()
        assert not plane.store.view().instance(arn).agent_connected  # type: ignore[union-attr]
        assert not list(plane.store.view().records(Task))
