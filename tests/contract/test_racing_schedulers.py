"""Schedulers that place at once on one cluster: it is never over-committed, and no task that was promised is lost."""

import asyncio
import contextlib
import signal
import sys
from collections import Counter
from pathlib import Path

import boto3
from apiside import Ecs, definition
from scripted_agent import ScriptedAgent
from subprocesses import Program

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from external_scheduler import Scheduler

KEYS = {"region_name": "us-east-1", "aws_access_key_id": "any", "aws_secret_access_key": "any"}


def external(url: str, name: str, count: int) -> Scheduler:
    ecs = boto3.client("ecs", endpoint_url=url, **KEYS)
    return Scheduler(ecs, cluster="default", definition="web", count=count, name=name)


async def test_two_programs_and_run_task_race_for_six_places(tmp_path: Path) -> None:
    """Three hosts of two places each; 16 tasks are wanted, all at once; the program is killed in the end."""
    async with Program("--data-dir", str(tmp_path)) as program, contextlib.AsyncExitStack() as hosts:
        ecs = Ecs(program.url)
        await ecs.register_task_definition(**definition())
        agents = [await hosts.enter_async_context(ScriptedAgent(program.url)) for _ in range(3)]
        one, two = external(program.url, "one", 6), external(program.url, "two", 6)

        async def run_task() -> int:
            answer = await ecs.run_task(taskDefinition="web", count=4, startedBy="run-task")
            return len(answer["tasks"])

        looks = [asyncio.to_thread(scheduler.look) for _ in range(3) for scheduler in (one, two)]
        *_, ran = await asyncio.gather(*looks, run_task())
        promised = {
            name: len((await ecs.list_tasks(startedBy=name))["taskArns"]) for name in ("one", "two", "run-task")
        }
        assert promised["run-task"] == ran
        for scheduler in (one, two):
            await asyncio.to_thread(scheduler.look)
        tasks = (await ecs.list_tasks())["taskArns"]
        assert len(tasks) == 6, "every place is taken, and none twice"

        await program.end(signal.SIGKILL)
        await program.start()
        described = await Ecs(program.url).describe_tasks(tasks=tasks)
        assert described["failures"] == []
        on = Counter(task["containerInstanceArn"] for task in described["tasks"])
        assert on == {agent.arn: 2 for agent in agents}
        rows = await Ecs(program.url).describe_container_instances(containerInstances=[agent.arn for agent in agents])
        for row in rows["containerInstances"]:
            left = {r["name"]: r["integerValue"] for r in row["remainingResources"]}
            assert (left["CPU"], left["MEMORY"]) == (0, 15731 - 2 * 7372)


async def test_a_look_starts_no_more_than_is_wanted(tmp_path: Path) -> None:
    async with Program("--data-dir", str(tmp_path)) as program, ScriptedAgent(program.url):
        await Ecs(program.url).register_task_definition(**definition(cpu=128, memory=128))
        scheduler = external(program.url, "one", 2)
        looks = [await asyncio.to_thread(scheduler.look) for _ in range(3)]
        assert looks == [(1, 1, 0), (2, 1, 0), (2, 0, 0)], "one on each instance and look"
