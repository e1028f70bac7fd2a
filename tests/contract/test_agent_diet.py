"""The agent's memory is a promise: what it must not load it does not load, and it can do all the same what that is for.

How much memory that is, `make bench-agent` prints.
"""

import json
import ssl
import subprocess
import sys

import aiohttp
import pytest
from aiohttp import web

from agent.backend.tls import trust

FORBIDDEN = (
    # control plane and command line alone
    "botocore", "boto3", "click", "numpy", "prometheus_client", "rich", "structlog",
    # spared by agent/diet.py
    "charset_normalizer", "frozenlist._frozenlist",
    # for paths that few agents take
    "ctypes", "difflib", "logging.handlers", "psutil", "paramiko", "multiprocessing", "unittest", "xml",
)  # fmt: skip


def in_a_new_process(script):
    command = [sys.executable, "-W", "error", "-c", script]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)


def test_the_agent_does_not_load_what_it_does_not_need():
    loaded = in_a_new_process(
        "import sys, agent.__main__, agent.runtime.docker, json; print(json.dumps(sorted(sys.modules)))"
    )
    assert "agent.daemon" in loaded
    assert [name for name in FORBIDDEN if name in loaded] == []


def test_what_was_put_aside_is_there_again():
    there = in_a_new_process(
        "import agent.__main__, json, ssl, mimetypes, aiohttp.connector as c, charset_normalizer;"
        "print(json.dumps([c._SSL_CONTEXT_VERIFIED.cert_store_stats()['x509_ca'], "
        "ssl.create_default_context().cert_store_stats()['x509_ca'], mimetypes.guess_type('a.json')[0]]))"
    )
    assert there[0] == 0
    assert there[1] == in_a_new_process("import ssl; print(ssl.create_default_context().cert_store_stats()['x509_ca'])")
    assert there[2] == "application/json"


@pytest.fixture
def certificate(tmp_path):
    """Of localhost, and known to nobody."""
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem"
    command = [*make.split(), "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    return tmp_path / "cert.pem", tmp_path / "key.pem"


@pytest.fixture
async def tls_port(certificate, monkeypatch):
    async def answer(_request):
        return web.Response(text="here")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "localhost", 0, ssl_context=context).start()
    monkeypatch.setenv("SSL_CERT_DIR", "/dev/null")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    yield runner.addresses[0][1]
    await runner.cleanup()


async def test_whom_the_host_trusts_is_trusted(tls_port):
    context = trust()
    assert context.cert_store_stats()["x509"] == 0, "read at need"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        for _ in range(2):
            async with session.get(f"https://localhost:{tls_port}/") as answer:
                assert await answer.text() == "here"


async def test_nobody_else_is(tls_port, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust())) as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(f"https://localhost:{tls_port}/")
