"""GPUs through the API: registered by id, placed by number, handed out by name."""

import asyncio
from typing import Any

import aiohttp
from apiside import Ecs, definition
from click.testing import CliRunner
from scripted_agent import ScriptedAgent

from berth.__main__ import berth
from controlplane.server import ControlPlane


def asking(count: int) -> list[dict[str, str]]:
    return [{"type": "GPU", "value": str(count)}]


def gpus_of(task: dict[str, Any]) -> list[str]:
    return [gpu for container in task["containers"] for gpu in container.get("gpuIds", [])]


async def explained(plane: ControlPlane, subject: str) -> dict[str, Any]:
    query = {"subject": subject, "cluster": "default"}
    async with aiohttp.ClientSession() as session, session.get(f"{plane.url}/_berth/explain", params=query) as answer:
        return await answer.json(content_type=None)


async def resources(ecs: Ecs, arn: str) -> tuple[list[str], list[str]]:
    """GPUs that the instance registered, and those that remain."""
    (shown,) = (await ecs.describe_container_instances(containerInstances=[arn]))["containerInstances"]
    both = ("registeredResources", "remainingResources")
    by_name = [{resource["name"]: resource for resource in shown[member]} for member in both]
    registered, remaining = (named.get("GPU", {}).get("stringSetValue", []) for named in by_name)
    return registered, remaining


async def test_each_task_gets_gpus_of_its_own(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(cpu=1, memory=6, resourceRequirements=asking(1)))
    async with ScriptedAgent(plane.url), ScriptedAgent(plane.url, gpus=("GPU-b", "GPU-a")) as host:
        assert await resources(ecs, host.arn) == (["GPU-a", "GPU-b"], ["GPU-a", "GPU-b"])
        ran = await ecs.run_task(taskDefinition="web", count=3)
        tasks = ran["tasks"]
        assert sorted(map(gpus_of, tasks)) == [["GPU-a"], ["GPU-b"]]
        assert [failure["reason"] for failure in ran["failures"]].count("RESOURCE:GPU") >= 1
        for task in tasks:
            await host.is_told(task["taskArn"], "RUNNING")
            told = host.tasks[task["taskArn"]]["associations"]
            assert told == [{"name": gpus_of(task)[0], "type": "gpu", "containers": ["main"]}]
        assert await resources(ecs, host.arn) == (["GPU-a", "GPU-b"], [])
        first = next(task for task in tasks if gpus_of(task) == ["GPU-a"])
        await ecs.stop_task(task=first["taskArn"])
        await ecs.wait("tasks_stopped", tasks=[first["taskArn"]])
        listed = await asyncio.to_thread(CliRunner().invoke, berth, ["host", "list", "--endpoint", plane.url])
        lines = (line for line in listed.output.splitlines() if "request_id=" not in line)  # the server logs there, too
        heading, *rows = (line.split() for line in lines)
        assert heading[-2:] == ["free", "GPUs"]
        assert sorted(row[-1] for row in rows) == ["0", "1"]
        again = await ecs.run_task(taskDefinition="web")
        assert gpus_of(again["tasks"][0]) == ["GPU-a"]


async def test_an_override_asks_for_more_and_containers_share_none(plane: ControlPlane, ecs: Ecs) -> None:
    containers = [{"name": name, "image": "i", "memory": 6, "resourceRequirements": asking(1)} for name in "ab"]
    await ecs.register_task_definition(family="web", containerDefinitions=containers)
    async with ScriptedAgent(plane.url, gpus=("0", "1", "2", "3")):
        more = {"containerOverrides": [{"name": "b", "resourceRequirements": asking(2)}]}
        (task,) = (await ecs.run_task(taskDefinition="web", overrides=more))["tasks"]
        assert [container["gpuIds"] for container in task["containers"]] == [["0"], ["1", "2"]]
        shown = (await explained(plane, "web"))["instances"][0]
        assert (shown["reason"], shown["lacks"], shown["missing"]) == ("RESOURCE:GPU", "GPUs", 1)
        (failure,) = (await ecs.run_task(taskDefinition="web"))["failures"]
        assert (failure["reason"], failure["detail"]) == ("RESOURCE:GPU", "1 of 1 instance lacks GPUs.")
