"""Credentials of task roles: they come with the task, on connecting, before they expire; and what they open."""

import sqlite3
import time
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import pytest
from apiside import Ecs, definition
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config as ClientConfig
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from scripted_agent import ScriptedAgent

from controlplane.agents import acs_session, roles
from controlplane.api.keys import KeyRing, Keys
from controlplane.api.role_keys import Claims, Mint
from controlplane.config import Config
from controlplane.core.model import Task
from controlplane.server import ControlPlane, running

ROLE = "arn:aws:iam::123456789012:role/app"
OTHER = "arn:aws:iam::123456789012:role/other"


async def ran(ecs: Ecs, agent: ScriptedAgent, **more: Any) -> str:
    arn: str = (await ecs.run_task(taskDefinition="web", **more))["tasks"][0]["taskArn"]
    await agent.is_told(arn, "RUNNING")
    return arn


async def test_they_come_with_the_task_and_again_when_an_agent_asks(plane: ControlPlane, ecs: Ecs) -> None:
    await ecs.register_task_definition(**definition(cpu=100, memory=100), taskRoleArn=ROLE, executionRoleArn=OTHER)
    await ecs.register_task_definition(**definition("plain", cpu=100, memory=100))
    async with ScriptedAgent(plane.url) as agent:
        arn = await ran(ecs, agent)
        overridden = await ran(ecs, agent, overrides={"taskRoleArn": OTHER})
        plain = (await ecs.run_task(taskDefinition="plain"))["tasks"][0]["taskArn"]
        await agent.is_told(plain, "RUNNING")
        sent = agent.tasks[arn]["roleCredentials"]
        assert (sent["roleArn"], sent["accessKeyId"][:4], len(sent["accessKeyId"])) == (ROLE, "ASIA", 20)
        assert all(sent[name] for name in ("credentialsId", "secretAccessKey", "sessionToken", "expiration"))
        assert agent.tasks[overridden]["roleCredentials"]["roleArn"] == OTHER
        assert "roleCredentials" not in agent.tasks[plain]
        assert "executionRoleCredentials" not in agent.tasks[arn]
        described = (await ecs.describe_task_definition(taskDefinition="web"))["taskDefinition"]
        assert described["executionRoleArn"] == OTHER
        assert agent.credentials == []
        await agent.disconnect()
        await agent.connect()
        again = {message["taskArn"]: message for message in await agent.credentials_of(2)}
        assert set(again) == {arn, overridden}
        assert again[arn]["roleType"] == "TaskApplication"
        assert again[arn]["roleCredentials"]["credentialsId"] == sent["credentialsId"]


async def test_before_they_expire_newer_ones_come_under_the_same_id(
    plane: ControlPlane, ecs: Ecs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acs_session, "HEARTBEAT_SECONDS", 0.05)
    await ecs.register_task_definition(**definition(cpu=100, memory=100), taskRoleArn=ROLE)
    async with ScriptedAgent(plane.url) as agent:
        arn = await ran(ecs, agent)
        await agent.disconnect()
        await agent.connect(send_credentials=False)
        assert agent.credentials == [], "it has them"
        monkeypatch.setattr(roles, "REFRESH_SECONDS", roles.LIFETIME_SECONDS + 1)
        await agent.credentials_of(2)
        monkeypatch.undo()
        assert {message["taskArn"] for message in agent.credentials} == {arn}
        ids = {message["roleCredentials"]["credentialsId"] for message in agent.credentials}
        assert ids == {agent.tasks[arn]["roleCredentials"]["credentialsId"]}


def test_what_an_instance_lacks_is_bounded_and_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "MESSAGES_MAX", 2)
    known = roles.Roles(Mint("s"))
    tasks = [_task(str(number)) for number in range(3)]
    assert len(known.due(tasks, 0)) == 2
    definition_of: Any = type("D", (), {"body": {"taskRoleArn": ROLE}})
    credentials = known.of(tasks[0], definition_of, 0)
    assert credentials is not None
    assert [task.arn for task in known.due(tasks[:1], 59)] == []
    assert [task.arn for task in known.due(tasks[:1], 60)] == ["0"], "not acknowledged"
    known.come(roles.IAMRoleCredentialsAckRequest("m", credentials.expiration, credentials.credentials_id))
    end = roles.LIFETIME_SECONDS - roles.REFRESH_SECONDS
    assert known.due(tasks[:1], end) == []
    assert known.due(tasks[:1], end + 1) == tasks[:1]


def _task(arn: str) -> Any:
    return type("T", (), {"arn": arn, "credentials_id": f"id-{arn}", "body": {}})()


def client(plane: ControlPlane, sent: dict[str, str], service: str = "ecs") -> Any:
    return boto3.client(
        service,
        endpoint_url=plane.url,
        region_name="us-east-1",
        aws_access_key_id=sent["accessKeyId"],
        aws_secret_access_key=sent["secretAccessKey"],
        aws_session_token=sent["sessionToken"],
        config=ClientConfig(retries={"max_attempts": 0}),
    )


async def test_where_there_are_keys_a_role_may_read_and_protect_and_no_more(tmp_path: Path) -> None:
    keys = Keys("AKIDTEST", "s3cret-of-the-plane")
    async with running(Config(port=0, healthy_after_seconds=0, data_dir=tmp_path, keys=KeyRing((keys,)))) as plane:
        ecs = Ecs(plane.url, key=keys.access_key_id, secret=keys.secret_access_key)
        await ecs.register_task_definition(**definition(cpu=100, memory=100), taskRoleArn=ROLE)
        task = Task(
            arn="t", cluster="default", task_definition="d", containers=(), amounts=None, group="g", credentials_id="i"
        )  # type: ignore[arg-type]
        described = (await ecs.describe_task_definition(taskDefinition="web"))["taskDefinition"]
        held = plane.store.view().task_definition(described["taskDefinitionArn"])
        assert held is not None
        of = roles.Roles(Mint(keys.secret_access_key)).of(task, held, time.time())
        assert of is not None
        sent = {
            "accessKeyId": of.access_key_id,
            "secretAccessKey": of.secret_access_key,
            "sessionToken": of.session_token,
        }
        own = Ecs(plane.url)
        own.client = client(plane, sent)
        assert (await own.list_tasks())["taskArns"] == []
        logs = Ecs(plane.url)
        logs.client = client(plane, sent, "logs")
        await logs.describe_log_groups()
        for refused in (own.delete_cluster(cluster="x"), logs.delete_log_group(logGroupName="x")):
            with pytest.raises(ClientError, match=r"AccessDenied.*not authorized to perform: Delete"):
                await refused
        stale = Mint(keys.secret_access_key).make(Claims(task="t", role=ROLE, expires=1))
        expired = Ecs(plane.url)
        expired.client = client(plane, dict(zip(sent, stale, strict=True)))
        with pytest.raises(ClientError) as told:
            await expired.list_tasks()
        assert told.value.response["Error"]["Code"] == "ExpiredTokenException"
        assert told.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        forged = Ecs(plane.url)
        minted = Mint("another").make(Claims(task="t", role=ROLE, expires=2**40))
        forged.client = client(plane, dict(zip(sent, minted, strict=True)))
        with pytest.raises(ClientError, match="UnrecognizedClientException"):
            await forged.list_tasks()


async def test_a_role_is_no_agent() -> None:
    keys = Keys("AKIDTEST", "s3cret")
    async with running(Config(port=0, keys=KeyRing((keys,)))) as plane:
        minted = Mint(keys.secret_access_key).make(Claims(task="t", role=ROLE, expires=2**40))
        request = AWSRequest(method="GET", url=f"{plane.url}/acs/ws?a=b")
        SigV4Auth(Credentials(*minted), "ecs", "us-east-1").add_auth(request)
        async with aiohttp.ClientSession() as session, session.get(request.url, headers=dict(request.headers)) as said:
            assert (said.status, "AccessDenied" in await said.text()) == (403, True)


async def test_values_are_in_no_file(tmp_path: Path) -> None:
    async with running(Config(port=0, healthy_after_seconds=0, data_dir=tmp_path)) as plane:
        ecs = Ecs(plane.url)
        await ecs.register_task_definition(**definition(cpu=100, memory=100), taskRoleArn=ROLE)
        async with ScriptedAgent(plane.url) as agent:
            sent = agent.tasks[await ran(ecs, agent)]["roleCredentials"]
    with sqlite3.connect(tmp_path / "controlplane.sqlite") as database:
        kept = "\n".join(database.iterdump())
    for name in ("accessKeyId", "secretAccessKey", "sessionToken"):
        assert not [p for p in files(tmp_path) if sent[name].encode() in p.read_bytes()], name
        assert sent[name] not in kept


def files(path: Path) -> list[Path]:
    return [p for p in path.rglob("*") if p.is_file()]
