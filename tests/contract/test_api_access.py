"""Who is let in, and how much of it: several keys, what is ours beside Amazon's, TLS, rates, slowness, crowds."""

import asyncio
import contextlib
import ssl
import subprocess
from functools import partial
from pathlib import Path

import aiohttp
import boto3
import pytest
from apiside import Ecs, post
from botocore.exceptions import ClientError
from subprocesses import Program, refusal

from berth.client import EcsClient
from berth.signing import Signer
from controlplane import door, server
from controlplane.api import dispatch
from controlplane.api.keys import KeyRing, Keys
from controlplane.api.rates import Throttle
from controlplane.config import Config
from controlplane.server import ControlPlane, running
from wire.envelope import request_headers
from wire.errors import AwsError

CREDENTIALS = """\
[default]
aws_access_key_id = AKIDONE
aws_secret_access_key = first
[other]
aws_access_key_id = AKIDTWO
aws_secret_access_key = second
"""


async def test_every_profile_of_a_keys_file_is_let_in(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(CREDENTIALS)
    code, said = await refusal("--port", "0", "--keys-file", str(file))
    assert (code, said) == (2, f"controlplane: The keys in {file} can be read by others: chmod 600 {file}.\n")
    file.chmod(0o600)
    async with Program("--keys-file", str(file)) as program:
        for key, secret in (("AKIDONE", "first"), ("AKIDTWO", "second")):
            assert (await Ecs(program.url, key=key, secret=secret).list_clusters())["clusterArns"]
        with pytest.raises(ClientError, match="InvalidSignatureException"):
            await Ecs(program.url, key="AKIDONE", secret="second").list_clusters()


@pytest.mark.parametrize("text", ["", "nothing", "[a]\naws_access_key_id = x\n", "[a]\n\xff"])
async def test_a_keys_file_without_keys_is_one_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    file.chmod(0o600)
    code, said = await refusal("--port", "0", "--keys-file", str(file))
    assert code == 2
    assert said.count("\n") == 1
    assert str(file) in said


async def test_with_keys_what_is_ours_is_signed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys("AKIDTEST", "secret")
    async with running(Config(port=0, keys=KeyRing((keys,)))) as plane, aiohttp.ClientSession() as session:
        for path in ("/_berth/story", "/_berth/telemetry", "/_berth/exec/s", "/events", "/anything/else"):
            async with session.get(plane.url + path) as answer:
                assert (answer.status, "MissingAuthenticationTokenException" in await answer.text()) == (403, True)
        async with session.post(f"{plane.url}/_berth/reset") as answer:
            assert "MissingAuthenticationTokenException" in await answer.text()
        for path in ("/_berth/health", "/metrics"):
            async with session.get(plane.url + path) as answer:
                assert answer.status == 200
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "guess")
        async with EcsClient(plane.url, Signer()) as client:
            with pytest.raises(AwsError, match="InvalidSignatureException"):
                await client.call("ListClusters")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_access_key)
        async with EcsClient(plane.url, Signer()) as client:
            made = (await client.call("CreateCluster", clusterName="mine"))["cluster"]["clusterArn"]
            _, line = await anext(aiter(client.story()))
        assert made.endswith("cluster/mine")
        assert line.at > 0


async def test_tls_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = (
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    )
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    made = await asyncio.create_subprocess_exec(
        *command, "-keyout", key, "-out", cert, *names, stderr=subprocess.DEVNULL
    )
    assert await made.wait() == 0
    code, said = await refusal("--port", "0", "--tls-cert", str(cert))
    assert (code, said) == (2, "controlplane: BERTH_TLS_CERT and BERTH_TLS_KEY go together.\n")
    code, said = await refusal("--port", "0", "--tls-cert", str(cert), "--tls-key", str(cert))
    assert (code, said.count("\n"), "are no certificate and its key" in said) == (2, 1, True)
    async with running(Config(port=0, tls_cert=cert, tls_key=key)) as plane:
        assert plane.url.startswith("https://")
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
        ecs = boto3.client("ecs", endpoint_url=plane.url, verify=str(cert), **keys)
        assert (await asyncio.to_thread(ecs.list_clusters))["clusterArns"]
        found = await asyncio.to_thread(partial(ecs.discover_poll_endpoint, containerInstance="x"))
        assert found["endpoint"] == f"{plane.url}/acs/"
        context = ssl.create_default_context(cafile=str(cert))
        trusting = aiohttp.TCPConnector(ssl=context)
        async with (
            aiohttp.ClientSession(connector=trusting) as session,
            session.get(f"{plane.url}/_berth/health") as answer,
        ):
            assert answer.status == 200
        await _many_calls_at_once(plane, context)
        monkeypatch.setattr(door, "CONNECTIONS_MAX", 3)
        for _ in range(5):  # who does not speak TLS is no connection
            reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.read()
            writer.close()
        assert (await asyncio.to_thread(ecs.list_clusters))["clusterArns"]


async def _many_calls_at_once(plane: ControlPlane, context: ssl.SSLContext) -> None:
    """More than is read at once, behind each other: one is answered in place, one waits for the disk, one is large."""
    bodies = [b"{}", b'{"clusterName": "tls"}', b'{"clusters": ["' + b"x" * 100_000 + b'"]}', b"{}"]
    names = ["ListClusters", "CreateCluster", "DescribeClusters", "ListClusters"]
    reader, writer = await asyncio.open_connection("127.0.0.1", plane.port, ssl=context)
    for name, body in zip(names, bodies, strict=True):
        headers = "".join(f"{key}: {value}\r\n" for key, value in request_headers(name).items())
        head = f"POST / HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
    answers = []
    async with asyncio.timeout(60):
        for _ in names:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.lower().partition("content-length: ")[2].partition("\r")[0])
            answers.append((head.split()[1], await reader.readexactly(length)))
    writer.close()
    assert [status for status, _ in answers] == ["200"] * 4
    assert (b"cluster/tls" in answers[0][1], b"cluster/tls" in answers[3][1]) == (False, True)


async def test_rates_are_aws_own_where_they_are_switched_on() -> None:
    async with running(Config(port=0, throttle=Throttle.AWS)) as plane:
        ecs = Ecs(plane.url)
        for _ in range(20):
            await ecs.create_cluster(clusterName="many")
        with pytest.raises(ClientError, match=r"\(ThrottlingException\).*: Rate exceeded"):
            await asyncio.gather(*(ecs.create_cluster(clusterName="many") for _ in range(40)))
        assert await ecs.list_clusters()  # another bucket
        assert await Ecs(plane.url, retries=4).create_cluster(clusterName="later")


async def test_a_body_that_does_not_come_ends_in_an_answer(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "BODY_SECONDS_MAX", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
    headers = "".join(f"{name}: {value}\r\n" for name, value in request_headers("ListClusters").items())
    writer.write(f"POST / HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: 100\r\n\r\n{{".encode())
    async with asyncio.timeout(60):
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()


async def test_headers_that_come_byte_by_byte_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a new connection, and behind a request that was answered; an answer that takes longer is not cut off."""
    monkeypatch.setattr(server, "HEADERS_SECONDS_MAX", 2)
    async with running(Config(port=0)) as plane, asyncio.timeout(120):
        whole = b"GET /_berth/health HTTP/1.1\r\nHost: x\r\n\r\n"
        for before in (b"", whole):
            reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
            writer.write(before)
            if before:
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            cut = asyncio.create_task(reader.read())
            sent = 0
            with contextlib.suppress(ConnectionError):
                for letter in "GET /_berth/health HTTP/1.1\r\nX-Slow: " + "x" * 200:
                    writer.write(letter.encode())
                    await writer.drain()
                    sent += 1
                    if (await asyncio.wait([cut], timeout=0.1))[0]:
                        break
            assert sent < 200, "it was let go on"
            await cut
            writer.close()
        async with aiohttp.ClientSession() as session, session.get(f"{plane.url}/_berth/story?stream=1") as stream:
            await asyncio.sleep(3)
            await Ecs(plane.url).create_cluster(clusterName="later")
            await stream.content.readline()


async def test_one_connection_too_many_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "CONNECTIONS_MAX", 2)
    async with running(Config(port=0)) as plane:
        held = [await asyncio.open_connection("127.0.0.1", plane.port) for _ in range(2)]
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
            assert (await reader.read()).startswith(b"HTTP/1.1 503")
            writer.close()
            for _, each in held:
                each.close()
                await each.wait_closed()
            status = 503
            while status != 200:
                status, _, _ = await post(plane.url, b"{}", **request_headers("ListClusters"))
