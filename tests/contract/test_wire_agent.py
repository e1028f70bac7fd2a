"""Our agent's own calls and frames, held against those recorded from Amazon's: the same order, members and types."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from wire_player import recorded
from wire_stub import CLUSTER_ARN, INSTANCE, Shape, Stub, our_agent, recorded_shapes

from agent.backend import tcs, telemetry
from agent.engine import Engine
from agent.machine.attributes import CLAIMED, UNCLAIMED
from agent.machine.stats import Cgroups, Network, Reading
from wire.extensions import SUBMIT_RESOURCE_RELEASE, SUBMIT_STORY

OURS = {("ecs", SUBMIT_RESOURCE_RELEASE), ("ecs", SUBMIT_STORY)}
"""Operations that Amazon's agent has not."""
NOT_RECORDED = {("acs", "NackRequest")}
"""Held against the reference alone: Amazon's agent was not asked for it."""
MAY_LACK = {
    # operation: (member, why ours lacks it)
    "RegisterContainerInstance": {"tags": "only where there are some"},
    "SubmitTaskStateChange": {},
}
"""Members that every recorded message has, and ours not always."""


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with Stub().serving() as stub:
        yield stub


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of telemetry every moment, of containers that use something and have a health check."""
    monkeypatch.setattr(tcs, "PUBLISH_SECONDS", 0.05)
    monkeypatch.setattr(tcs, "SAMPLE_SECONDS", 0.01)
    readings = iter(range(1, 1_000_000))

    def read_(_self: Cgroups, _docker_id: str, _task_id: str = "") -> Reading:
        number = next(readings)
        network = Network(rx_bytes=number)
        return Reading(at=float(number), cpu_nanoseconds=number * 1000, memory_bytes=number << 20, network=network)

    def health(engine: Engine) -> list[Any]:
        outcome = SimpleNamespace(status="HEALTHY", since=1_800_000_000.123, output="")
        return [SimpleNamespace(task=state.spec.arn, container="main", health=outcome) for state in engine.tasks()]

    monkeypatch.setattr(Cgroups, "read", read_)
    monkeypatch.setattr(Engine, "health", health, raising=False)
    assert telemetry.SAMPLE_SECONDS > 1


def arn(number: int) -> str:
    return f"arn:aws:ecs:us-east-1:123456789012:task/wire/{number:032x}"


def run(number: int, **environment: str) -> dict[str, Any]:
    ports = [{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}]
    container = {"name": "main", "image": "bb", "cpu": 10, "memory": 16, "essential": True, "portMappings": ports}
    container |= {"environment": environment, "stopTimeout": 2}
    return {
        "arn": arn(number),
        "desiredStatus": "RUNNING",
        "family": "wire",
        "version": "1",
        "taskClusterArn": CLUSTER_ARN,
        "containers": [container],
    }


def stop(number: int) -> dict[str, Any]:
    return {"arn": arn(number), "desiredStatus": "STOPPED", "containers": []}


def manifest(message_id: str, timeline: int, *numbers: int) -> dict[str, Any]:
    tasks = [{"taskArn": arn(n), "taskClusterArn": CLUSTER_ARN, "desiredStatus": "RUNNING"} for n in numbers]
    arns = {"clusterArn": CLUSTER_ARN, "containerInstanceArn": INSTANCE}
    return {**arns, "messageId": message_id, "generatedAt": 1, "timeline": timeline, "tasks": tasks}


def credentials(access_key_id: str) -> dict[str, str]:
    rest = {"roleArn": "arn:r", "secretAccessKey": "s", "sessionToken": "t", "expiration": "2027-01-01T00:00:00Z"}
    return {"credentialsId": "cred-1", "accessKeyId": access_key_id, **rest}


def stopped(stub: Stub, number: int) -> list[Any]:
    changes = (said.body for said in stub.said if said.operation == "SubmitTaskStateChange")
    return [change for change in changes if (change["task"], change["status"]) == (arn(number), "STOPPED")]


async def a_life(stub: Stub, tmp_path: Path) -> None:
    """Everything that the agent can be made to say."""
    async with our_agent(stub, tmp_path) as runtime:
        await stub.hears("WS-CONNECT", lambda query: "clusterArn" in query)
        await stub.hears("PublishMetricsRequest")
        await stub.hears("PublishInstanceStatusRequest")
        await stub.want("m1", {**run(1, ON_TERM="exit"), "roleCredentials": credentials("A")}, seq_num=5)
        await stub.hears("IAMRoleCredentialsAckRequest", lambda body: body["messageId"] == "m1")
        await stub.hears("SubmitTaskStateChange", lambda body: body["status"] == "RUNNING")
        await stub.hears("PublishMetricsRequest", lambda body: not body["metadata"]["idle"])
        await stub.hears("PublishHealthRequest")
        runtime.faults["create"] += 1
        await stub.want("m2", run(2))
        await stub.hears("SubmitTaskStateChange", lambda body: (body["task"], body["status"]) == (arn(2), "STOPPED"))
        await stub.want("m3", run(3, ON_TERM="exit"))
        await stub.hears("SubmitTaskStateChange", lambda body: (body["task"], body["status"]) == (arn(3), "RUNNING"))
        await stub.tell("TaskManifestMessage", **manifest("old", 5, 1))
        await stub.tell("TaskManifestMessage", **manifest("new", 10, 1))
        question = await stub.hears("TaskStopVerificationMessage")
        assert question.body == {
            "messageId": "new",
            "stopCandidates": [{"desiredStatus": "STOPPED", "taskArn": arn(3), "taskClusterArn": CLUSTER_ARN}],
        }
        verdict = [{"taskArn": arn(3), "taskClusterArn": CLUSTER_ARN, "desiredStatus": "STOPPED"}]
        wrong = [{**verdict[0], "taskArn": arn(1)}]
        await stub.tell("TaskStopVerificationAck", messageId="other", generatedAt=1, stopTasks=wrong)
        await stub.tell("TaskStopVerificationAck", messageId="new", generatedAt=1, stopTasks=verdict)
        await stub.hears("SubmitTaskStateChange", lambda body: (body["task"], body["status"]) == (arn(3), "STOPPED"))
        refreshed = {"taskArn": arn(1), "roleType": "TaskApplication", "roleCredentials": credentials("B")}
        await stub.tell("IAMRoleCredentialsMessage", messageId="rc1", **refreshed)
        await stub.hears("IAMRoleCredentialsAckRequest", lambda body: body["messageId"] == "rc1")
        update = {"clusterArn": CLUSTER_ARN, "containerInstanceArn": INSTANCE, "updateInfo": {"location": "x"}}
        await stub.tell("PerformUpdateMessage", messageId="u1", **update)
        assert (await stub.hears("NackRequest")).body == {
            "cluster": CLUSTER_ARN,
            "containerInstance": INSTANCE,
            "messageId": "u1",
            "reason": "Updates are disabled",
        }
        await stub.tell("SomethingNew", messageId="n")
        await stub.tell("TaskStopVerificationAck", messageId="new", generatedAt=1, stopTasks=wrong)
        assert not stopped(stub, 1), "an answer to another question, or a second one, stops nothing"
        await stub.tell("HeartbeatMessage", healthy=True, messageId="after")
        await stub.hears("HeartbeatAckRequest", lambda body: body["messageId"] == "after")
        released = [said for said in stub.said if said.operation == SUBMIT_RESOURCE_RELEASE]
        assert {said.body["task"] for said in released} == {arn(3)}
        await stub.want("m4", stop(1))
        await stub.hears("SubmitTaskStateChange", lambda body: (body["task"], body["status"]) == (arn(1), "STOPPED"))
        await stub.hang_up()
        await stub.hears("WS-CONNECT", lambda query: query.get("sendCredentials") == "false")


async def test_the_same_members_and_types(stub: Stub, tmp_path: Path) -> None:
    await a_life(stub, tmp_path)
    theirs, ours = recorded_shapes(), {}
    for said in stub.said:
        ours.setdefault((said.channel, said.operation), Shape()).add(said.body)
    assert set(ours) - OURS - NOT_RECORDED == set(theirs), "the same operations"
    for (channel, operation), shape in ours.items():
        if (channel, operation) in OURS | NOT_RECORDED:
            continue
        recorded_shape = theirs[channel, operation]
        for path, types in shape.types.items():
            assert path in recorded_shape.types, f"{operation}: Amazon's agent sends no {path}"
            assert types <= recorded_shape.types[path], f"{operation}: {path} is of another type"
        lacking = {
            path
            for path in recorded_shape.always()
            if shape.has_place_of(path, recorded_shape) and path not in set(shape.always())
        }
        assert lacking <= set(MAY_LACK.get(operation, {})), f"{operation}: ours lacks {lacking}"
    old = [said for said in stub.said if said.operation == "AckRequest" and said.body["messageId"] == "old"]
    assert not old, "an old manifest is dropped without a word"


async def test_the_same_order_at_the_start(stub: Stub, tmp_path: Path) -> None:
    async with our_agent(stub, tmp_path):
        await stub.hears("PublishMetricsRequest")
        await stub.hears("HeartbeatAckRequest")
        order = [(said.channel, said.operation) for said in stub.said if (said.channel, said.operation) not in OURS]
    assert order[:2] == [("ecs", "RegisterContainerInstance"), ("ecs", "DiscoverPollEndpoint")]
    for session in ("acs", "tcs"):
        assert next(operation for channel, operation in order if channel == session) == "WS-CONNECT"
    assert order.count(("ecs", "DiscoverPollEndpoint")) == 1, "one answer serves both sessions"
    first = (await stub.hears("PublishMetricsRequest")).body
    assert {name: first["metadata"][name] for name in ("idle", "fin")} == {"idle": True, "fin": True}
    assert "taskMetrics" not in first


async def test_the_queries_of_both_sessions_are_amazons(stub: Stub, tmp_path: Path) -> None:
    async with our_agent(stub, tmp_path):
        acs = (await stub.hears("WS-CONNECT", lambda query: "clusterArn" in query)).body
        telemetry_query = (await stub.hears("WS-CONNECT", lambda query: "clusterArn" not in query)).body
    theirs = [row["body"] for row in recorded("run") if row["op"] == "WS-CONNECT"]
    assert {name: acs[name] for name in ("clusterArn", "protocolVersion", "sendCredentials", "seqNum")} == {
        "clusterArn": "wire",
        "protocolVersion": "2",
        "sendCredentials": "true",
        "seqNum": "1",
    }
    assert acs["dockerVersion"] == "DockerVersion: scripted"
    assert telemetry_query["dockerVersion"] == "scripted"
    assert {frozenset(acs), frozenset(telemetry_query)} == {frozenset(query) for query in theirs}


async def test_each_telemetry_frame_is_signed_by_itself(stub: Stub, tmp_path: Path) -> None:
    async with our_agent(stub, tmp_path):
        said = await stub.hears("PublishMetricsRequest", times=2)
    assert list(said.headers) == ["Authorization", "Host", "X-Amz-Date"], "in the order of their names"
    assert re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=berth/\d{8}/us-east-1/ecs/aws4_request, "
        r"SignedHeaders=host;x-amz-date, Signature=[0-9a-f]{64}",
        said.headers["Authorization"],
    )
    assert said.headers["Host"] == stub.url.removeprefix("http://")


async def test_a_restart_registers_the_same_instance_and_remembers_the_timeline(stub: Stub, tmp_path: Path) -> None:
    async with our_agent(stub, tmp_path):
        await stub.hears("WS-CONNECT", lambda query: "clusterArn" in query)
        await stub.tell("TaskManifestMessage", **manifest("first", 7))
        await stub.hears("AckRequest", lambda body: body["messageId"] == "first")
    stub.said.clear()
    async with our_agent(stub, tmp_path):
        await stub.hears("WS-CONNECT", lambda query: "clusterArn" in query)
        await stub.tell("TaskManifestMessage", **manifest("again", 7))
        await stub.tell("TaskManifestMessage", **manifest("newer", 8))
        await stub.hears("AckRequest", lambda body: body["messageId"] == "newer")
        acknowledged = [said.body["messageId"] for said in stub.said if said.operation == "AckRequest"]
        registration = (await stub.hears("RegisterContainerInstance")).body
    assert acknowledged == ["newer"]
    assert registration["containerInstanceArn"] == INSTANCE


async def test_every_capability_of_amazons_agent_is_claimed_or_accounted_for() -> None:
    [row] = [row for row in recorded("run") if row["op"] == "RegisterContainerInstance"]
    theirs = [attribute["name"] for attribute in row["body"]["attributes"] if "value" not in attribute]
    # The recorded agent was told of no awslogs, had no pause image and ran outside EC2; elsewhere it claims these too.
    beyond = {
        "com.amazonaws.ecs.capability.logging-driver.awslogs",
        "ecs.capability.execution-role-awslogs",
        "ecs.capability.pid-ipc-namespace-sharing",
        "ecs.capability.task-eni",
    }
    assert {*CLAIMED, *UNCLAIMED} == set(theirs) | beyond
    assert not set(CLAIMED) & set(UNCLAIMED)
    in_order = [name for name in CLAIMED if name not in beyond]
    assert [name for name in theirs if name in CLAIMED] == in_order, "in Amazon's order"
    valued = {attribute["name"] for attribute in row["body"]["attributes"] if "value" in attribute}
    assert valued == {"ecs.os-type", "ecs.os-family", "ecs.os-type-detailed", "ecs.cpu-architecture"}
    assert json.dumps(UNCLAIMED)
