"""Secrets and environment files on real containers: they arrive, and their values are nowhere else."""

import json

import pytest
from definitions import container, running, stopped

pytestmark = pytest.mark.docker

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf"


@pytest.fixture
def secretive(world, tmp_path):
    """A host that has secrets."""
    values = {
        "ssm": {"/app/token": "t0ken-of-ssm"},
        "secretsmanager": {"db": {"user": "skipper", "password": "pa55-of-asm"}},
        "s3": {"bucket/app.env": "# a file\nCOLOUR=green\nTOKEN=from-the-file\nA=from-the-file\n"},
    }
    (tmp_path / "secrets.json").write_text(json.dumps(values))
    world.start_agent(BERTH_SECRETS=str(tmp_path / "secrets.json"))
    world.hosts(1)
    return world


def test_secrets_and_environment_files_are_in_the_container_and_nowhere_else(secretive, tmp_path):
    _, shown = running(
        secretive,
        container(
            environment=[{"name": "A", "value": "1"}],
            environmentFiles=[{"value": "arn:aws:s3:::bucket/app.env", "type": "s3"}],
            secrets=[
                {"name": "TOKEN", "valueFrom": "arn:aws:ssm:us-east-1:123456789012:parameter/app/token"},
                {"name": "PASSWORD", "valueFrom": f"{SECRET}:password::"},
                {"name": "WHOLE", "valueFrom": SECRET},
            ],
        ),
    )
    env = dict(row.split("=", 1) for row in shown["main"]["Config"]["Env"])
    assert {name: env[name] for name in ("A", "COLOUR", "TOKEN", "PASSWORD")} == {
        "A": "1",
        "COLOUR": "green",
        "TOKEN": "t0ken-of-ssm",
        "PASSWORD": "pa55-of-asm",
    }
    assert json.loads(env["WHOLE"])["user"] == "skipper"
    for file in [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "secrets.json"]:
        text = file.read_bytes()
        for value in (b"t0ken-of-ssm", b"pa55-of-asm", b"from-the-file"):
            assert value not in text, f"{value} is in {file}"


def test_a_secret_that_is_not_there_stops_the_task_with_that_reason(secretive):
    ended = stopped(secretive, container(secrets=[{"name": "X", "valueFrom": "/no/such"}]))
    assert ended["stopCode"] == "TaskFailedToStart"
    assert ended["stoppedReason"].startswith("ResourceInitializationError: unable to pull secrets")
    assert "/no/such is not there" in ended["stoppedReason"]
