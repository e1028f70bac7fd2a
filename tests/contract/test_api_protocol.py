"""The envelope: AWS JSON 1.1, its errors, signatures; what a stranger to it is told."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import pytest
import structlog
from apiside import Ecs, call, definition, post
from botocore.exceptions import ClientError

from controlplane.api import dispatch
from controlplane.api.keys import KeyRing, Keys
from controlplane.config import Config
from controlplane.core.model import Cluster
from controlplane.core.view import Draft
from controlplane.server import ControlPlane, running
from wire.envelope import request_headers

KEYS = Keys("AKIDTEST", "secret")
ONLY_ECS = "which is not served here. Point only ECS here, with AWS_ENDPOINT_URL_ECS instead of AWS_ENDPOINT_URL."


async def test_every_answer_has_a_request_id_and_amazons_type(plane: ControlPlane) -> None:
    for body in (b"{}", b"["):
        _, _, headers = await post(plane.url, body, **request_headers("ListClusters"))
        assert headers["Content-Type"] == "application/x-amz-json-1.1"
        assert len(headers["x-amzn-RequestId"]) == 36


@pytest.mark.parametrize(
    ("body", "headers", "status", "code", "sentence"),
    [
        (b"{", request_headers("RunTask"), 400, "SerializationException", "The request body is no JSON object."),
        (b"[1]", request_headers("RunTask"), 400, "SerializationException", "The request body is no JSON object."),
        (b"\xff", request_headers("RunTask"), 400, "SerializationException", "The request body is no JSON object."),
        (b"{}", request_headers("Run"), 400, "UnknownOperationException", "ECS has no operation 'Run'."),
        (
            b"{}",
            request_headers("ListDaemonTaskDefinitions"),
            400,
            "ClientException",
            "ListDaemonTaskDefinitions is for managed daemons, which run on Amazon ECS Managed Instances only",
        ),
        (
            b"{}",
            {"X-Amz-Target": "DynamoDB_20120810.ListTables"},
            400,
            "UnknownOperationException",
            f"This request is for DynamoDB_20120810, {ONLY_ECS}",
        ),
        (
            b"Action=GetCallerIdentity",
            {"Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/sts/aws4_request, SignedHeaders=x"},
            400,
            "UnknownOperationException",
            f"This request is for sts, {ONLY_ECS}",
        ),
        (b"", {}, 400, "UnknownOperationException", "This is an ECS API: POST / with an X-Amz-Target header is what"),
        (
            b"{" + b" " * dispatch.BODY_BYTES_MAX + b"}",
            request_headers("RunTask"),
            413,
            "RequestEntityTooLargeException",
            "The request is larger than 1048576 bytes.",
        ),
    ],
)
async def test_what_is_no_good_request_is_one_sentence(
    plane: ControlPlane, *, body: bytes, headers: dict[str, str], status: int, code: str, sentence: str
) -> None:
    answer = await post(plane.url, body, **headers)
    assert (answer[0], answer[1]["__type"]) == (status, code)
    assert answer[1]["message"].startswith(sentence)


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("DescribeTaskDefinition", {"taskDefinition": "web:" + "1" * 5000}),
        ("RegisterTaskDefinition", definition() | {"cpu": "9" * 30}),
        ("RegisterTaskDefinition", definition() | {"cpu": "9" * 400 + " vCPU"}),
        ("RegisterTaskDefinition", definition() | {"memory": "9" * 400 + " GB"}),
        ("RegisterTaskDefinition", definition(resourceRequirements=[{"type": "GPU", "value": "1" * 5000}])),
        ("Logs_20140328.DescribeLogGroups", {"nextToken": "²"}),
        ("Logs_20140328.FilterLogEvents", {"logGroupName": "g", "nextToken": "f/" + "9" * 30 + "/1"}),
    ],
)
async def test_a_number_beyond_all_numbers_is_the_callers_fault(
    plane: ControlPlane, operation: str, members: dict[str, object]
) -> None:
    await plane.logs.create_group("g", 1)
    prefix, _, name = operation.rpartition(".")
    headers = request_headers(name, prefix) if prefix else request_headers(name)
    status, answer, _ = await post(plane.url, json.dumps(members).encode(), **headers)
    assert (status, answer["__type"] in ("ClientException", "InvalidParameterException")) == (400, True)
    assert len(answer["message"]) < 300


async def test_another_service_that_is_pointed_here_is_told_so(plane: ControlPlane) -> None:
    def list_clusters() -> None:
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
        boto3.client("eks", endpoint_url=plane.url, **keys).list_clusters()

    with pytest.raises(ClientError, match="This request is for eks, which is not served here"):
        await asyncio.to_thread(list_clusters)


async def test_an_empty_body_is_an_empty_request(plane: ControlPlane) -> None:
    status, answer, _ = await post(plane.url, b"", **request_headers("ListClusters"))
    assert (status, len(answer["clusterArns"])) == (200, 1)


async def test_a_defect_of_ours_is_a_server_exception(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> dict[str, Any]:
        raise KeyError("no")

    monkeypatch.setitem(dispatch.READERS, "ListClusters", broken)
    status, answer = await call(plane.url, "ListClusters")
    assert (status, answer["__type"]) == (500, "ServerException")
    assert "ListClusters failed here" in answer["message"]
    assert (await call(plane.url, "DescribeClusters"))[0] == 200


async def test_requests_at_once_all_count(tmp_path: Path) -> None:
    """They are decided on one view and meet each other at the commit; each is decided anew until it fits."""
    async with running(Config(port=0, data_dir=tmp_path)) as plane:
        calls = (call(plane.url, "RegisterTaskDefinition", **definition()) for _ in range(40))
        answers = await asyncio.gather(*calls)
    assert [status for status, _ in answers] == [200] * 40
    assert sorted(answer["taskDefinition"]["revision"] for _, answer in answers) == list(range(1, 41))


async def test_where_it_is_asked_for_a_wrong_answer_of_ours_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(draft: Draft, _: object) -> dict[str, Any]:
        draft.put(Cluster(name="new", arn="new"))
        return {"cluster": {"clusterName": 7}}

    monkeypatch.setitem(dispatch.READERS, "ListClusters", lambda *_: {"clusters": []})
    monkeypatch.setitem(dispatch.WRITERS, "CreateCluster", wrong)
    with structlog.testing.capture_logs() as logs:
        async with running(Config(port=0, check_answers=True)) as plane:
            for operation in ("ListClusters", "CreateCluster"):
                status, answer = await call(plane.url, operation)
                assert (status, answer["__type"]) == (500, "ServerException")
            assert plane.store.view().cluster("new") is None
    assert [line["fault"] for line in logs if "fault" in line] == [
        "ListClusters: clusters is not a member of ListClustersResponse.",
        "CreateCluster: cluster.clusterName can not be read as a string.",
    ]


async def test_health_and_metrics(plane: ControlPlane) -> None:
    await call(plane.url, "ListClusters")
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{plane.url}/_berth/health") as answer:
            health = await answer.json()
        async with session.get(f"{plane.url}/metrics") as answer:
            metrics = await answer.text()
    assert health == {"status": "ok", "revision": plane.store.view().revision, "policy": "ecs-2026"}
    assert 'berth_api_requests_total{code="OK",operation="ListClusters"} 1.0' in metrics


async def test_with_keys_only_the_right_ones_get_in() -> None:
    async with running(Config(port=0, keys=KeyRing((KEYS,)))) as plane:
        assert (await Ecs(plane.url, key=KEYS[0], secret=KEYS[1]).list_clusters())["clusterArns"]
        with pytest.raises(ClientError, match="UnrecognizedClientException"):
            await Ecs(plane.url).list_clusters()
        with pytest.raises(ClientError, match="InvalidSignatureException"):
            await Ecs(plane.url, key=KEYS[0]).list_clusters()
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await session.ws_connect(f"{plane.url}/acs/ws?containerInstanceArn=x")


async def test_the_aws_cli_works_with_nothing_but_an_endpoint(plane: ControlPlane) -> None:
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL_ECS": plane.url,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_PAGER": "",
    }

    async def aws(*arguments: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "awscli", "ecs", *arguments, "--output", "json"),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    registered, listed, refused = await asyncio.gather(
        aws("register-task-definition", "--cli-input-json", json.dumps(definition())),
        aws("list-clusters"),
        aws("stop-task", "--task", "0" * 32),
    )
    assert registered[0] == 0, registered[2]
    assert json.loads(registered[1])["taskDefinition"]["taskDefinitionArn"].endswith("task-definition/web:1")
    assert json.loads(listed[1])["clusterArns"] == ["arn:aws:ecs:us-east-1:123456789012:cluster/default"]
    assert "InvalidParameterException" in refused[2]
    assert "The referenced task was not found." in refused[2]
