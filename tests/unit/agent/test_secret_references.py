"""Secrets and environment files: how they are referred to, where they are looked up, and what is never said."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from agent.core.spec import ContainerSpec, Secret
from agent.runtime.port import RuntimeCallError
from agent.runtime.secrets import Reference, Secrets, reference_of

ASM = "arn:aws:secretsmanager:us-east-1:1:secret:db-AbCdEf"
ENV = "arn:aws:s3:::bucket/dir/app.env"
STORES = {
    "ssm": {"/a/token": "t0"},
    "secretsmanager": {"db": {"password": "p0", "port": 5432}},
    "s3": {"bucket/dir/app.env": "# comment\n\nA=1\nB = x=y\nnothing\n"},
}


def container(*secrets, files=()):
    rows = tuple(Secret(name=name, value_from=value, for_log_driver=log) for name, value, log in secrets)
    return ContainerSpec(name="main", image="i", secrets=rows, environment_files=files)


@pytest.mark.parametrize(
    ("value_from", "expected"),
    [
        ("plain", Reference("ssm", "plain")),
        ("/a/token", Reference("ssm", "/a/token")),
        ("arn:aws:ssm:us-east-1:1:parameter/a/token", Reference("ssm", "/a/token")),
        (ASM, Reference("secretsmanager", "db-AbCdEf")),
        (f"{ASM}:password::", Reference("secretsmanager", "db-AbCdEf", "password")),
        (ENV, Reference("s3", "bucket/dir/app.env")),
        ("arn:aws:secretsmanager", Reference("secretsmanager", "")),
    ],
)
def test_references(value_from, expected):
    assert reference_of(value_from) == expected


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        store, _, name = self.path.lstrip("/").removeprefix("v/").partition("/")
        value = STORES.get(store, {}).get(name, STORES.get(store, {}).get("/" + name))
        self.send_response(500 if name == "broken" else 404 if value is None else 200)
        self.end_headers()
        if value is not None:
            self.wfile.write((value if isinstance(value, str) else json.dumps(value)).encode())

    def log_message(self, *_):
        pass


@pytest.fixture(params=["file", "url"])
def secrets(request, tmp_path):
    if request.param == "file":
        (tmp_path / "s.json").write_text(json.dumps(STORES))
        yield Secrets(str(tmp_path / "s.json"))
        return
    server = HTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield Secrets(f"http://127.0.0.1:{server.server_port}/v")
    server.shutdown()
    server.server_close()


def test_values_come_from_the_file_or_the_url(secrets):
    wanted = container(
        ("T", "/a/token", False),
        ("P", f"{ASM}:password::", False),
        ("PORT", f"{ASM}:port::", False),
        ("splunk-token", "/a/token", True),
        files=(ENV,),
    )
    environment, options = secrets.of(wanted)
    assert environment == {"A": "1", "B": " x=y", "T": "t0", "P": "p0", "PORT": "5432"}
    assert options == {"splunk-token": "t0"}


@pytest.mark.parametrize(
    ("value_from", "said"),
    [
        ("/none", "ssm /none is not there"),
        (f"{ASM}:user::", "has no member 'user'"),
        ("arn:aws:s3:::b/x.env", "s3 b/x"),
    ],
)
def test_what_is_not_there_is_an_error_that_names_it_and_no_value(secrets, value_from, said):
    with pytest.raises(RuntimeCallError) as refused:
        secrets.of(container(("X", value_from, False)))
    text = str(refused.value)
    assert text.startswith("ResourceInitializationError: unable to pull secrets or registry auth: container main: ")
    assert said in text
    assert "p0" not in text
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("source", ["", "/no/such/file", "http://127.0.0.1:1/v"])
def test_a_store_that_is_not_there(source):
    with pytest.raises(RuntimeCallError, match=r"BERTH_SECRETS|cannot be had"):
        Secrets(source).of(container(("X", "y", False)))


def test_a_container_without_secrets_asks_nobody():
    assert Secrets("/no/such/file").of(container()) == ({}, {})
