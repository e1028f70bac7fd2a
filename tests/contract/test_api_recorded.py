"""What Amazon's own agent (1.105.1) said to a control plane, said to ours: it must get what it insists on.

`wire/amazon-agent-1.105.1.jsonl` is recorded traffic, trimmed; ids in it are stand-ins.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from apiside import Ecs, call

from controlplane.config import Config
from controlplane.server import ControlPlane, running

RECORDED = Path(__file__).parent / "wire" / "amazon-agent-1.105.1.jsonl"
INSTANCE = "arn:aws:ecs:us-east-1:000000000000:container-instance/wire/a0000001a0000001a0000001a0000001"
TASKS = [f"arn:aws:ecs:us-east-1:000000000000:task/wire/b000000{n}b000000{n}b000000{n}b000000{n}" for n in (1, 2)]


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    async with running(Config(port=0, account="000000000000")) as plane:
        yield plane


def recorded(operation: str, **ours: str) -> list[dict[str, Any]]:
    """The bodies of an operation, with our ids in place of the recorded ones."""
    bodies = []
    for line in RECORDED.read_text().splitlines():
        for stand_in, name in (("instance", INSTANCE), ("task_1", TASKS[0]), ("task_2", TASKS[1])):
            line = line.replace(name, ours.get(stand_in, name))  # noqa: PLW2901 - one text, rewritten step by step
        frame = json.loads(line)
        if frame["op"] == operation:
            bodies.append(frame["body"])
    return bodies


async def register(plane: ControlPlane, ecs: Ecs) -> str:
    await ecs.create_cluster(clusterName="wire")
    first = recorded("RegisterContainerInstance")[0]
    status, answer = await call(plane.url, "RegisterContainerInstance", **first)
    assert status == 200
    returned = {
        attribute["name"]: attribute.get("value", "") for attribute in answer["containerInstance"]["attributes"]
    }
    sent = {attribute["name"]: attribute.get("value", "") for attribute in first["attributes"]}
    assert sent.items() <= returned.items(), "or it exits with code 5"
    arn: str = answer["containerInstance"]["containerInstanceArn"]
    return arn


async def test_it_registers_and_registers_again(plane: ControlPlane, ecs: Ecs) -> None:
    arn = await register(plane, ecs)
    again = recorded("RegisterContainerInstance", instance=arn)[1]
    _, answer = await call(plane.url, "RegisterContainerInstance", **again)
    assert answer["containerInstance"]["containerInstanceArn"] == arn
    described = (await ecs.describe_container_instances(cluster="wire", containerInstances=[arn], include=["TAGS"]))[
        "containerInstances"
    ][0]
    attributes = {attribute["name"]: attribute.get("value") for attribute in described["attributes"]}
    assert attributes["rack"] == "r1", "custom attributes are sent the first time only"
    assert described["tags"] == [{"key": "team", "value": "t1"}]
    assert "ec2InstanceId" not in described


async def test_it_connects_where_it_is_told(plane: ControlPlane, ecs: Ecs) -> None:
    arn = await register(plane, ecs)
    status, found = await call(plane.url, "DiscoverPollEndpoint", **recorded("DiscoverPollEndpoint", instance=arn)[0])
    assert (status, found) == (200, {"endpoint": f"{plane.url}/acs/", "telemetryEndpoint": f"{plane.url}/tcs/"})
    query = recorded("WS-CONNECT", instance=arn)[0]
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{found['endpoint']}ws", params=query) as socket:
        frame = await socket.receive_json()
        assert frame["type"] == "HeartbeatMessage"
        assert frame["message"]["healthy"] is True


async def test_its_state_changes_are_understood(plane: ControlPlane, ecs: Ecs) -> None:
    arn = await register(plane, ecs)
    small = {"image": "bb", "memory": 16}
    for family, names in (("web", ["web"]), ("pair", ["main", "side"])):
        containers = [{"name": name, "essential": name != "side", **small} for name in names]
        await ecs.register_task_definition(family=family, containerDefinitions=containers)
    ours = {"instance": arn}
    started = await ecs.start_task(cluster="wire", taskDefinition="web", containerInstances=[arn])
    assert started["failures"] == [{"arn": arn, "reason": "AGENT"}], "it is not connected"
    query = recorded("WS-CONNECT", instance=arn)[0]
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{plane.url}/acs/ws", params=query) as socket:
        await socket.receive_json()
        for number, family in enumerate(("web", "pair"), start=1):
            started = await ecs.start_task(cluster="wire", taskDefinition=family, containerInstances=[arn])
            ours[f"task_{number}"] = started["tasks"][0]["taskArn"]
        seen = []
        for change in recorded("SubmitTaskStateChange", **ours):
            assert await call(plane.url, "SubmitTaskStateChange", **change) == (200, {"acknowledgment": "ok"})
            task = (await ecs.describe_tasks(cluster="wire", tasks=[change["task"]]))["tasks"][0]
            seen.append([task["lastStatus"], *(container["lastStatus"] for container in task["containers"])])
    assert seen == [
        ["RUNNING", "RUNNING"],
        ["RUNNING", "RUNNING", "RUNNING"],
        ["RUNNING", "RUNNING", "STOPPED"],
        ["STOPPED", "STOPPED", "STOPPED"],
        ["STOPPED", "STOPPED"],
    ]
    web, pair = (await ecs.describe_tasks(cluster="wire", tasks=[ours["task_1"], ours["task_2"]]))["tasks"]
    assert web["containers"][0]["networkBindings"][0]["hostPort"] == 32768
    assert [container["exitCode"] for container in pair["containers"]] == [0, 0]
    assert (pair["stopCode"], pair["stoppedReason"]) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )
