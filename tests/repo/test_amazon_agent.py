"""compose/amazon-agent.yaml: the file is one that Compose takes, and it sets what Amazon's agent was seen to need."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "compose" / "amazon-agent.yaml"
PAGE = ROOT / "docs" / "amazon-agent.md"

NEEDED = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "ECS_AUDIT_LOGFILE_DISABLED": "true",
    "ECS_DISABLE_IMAGE_CLEANUP": "true",
    "ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP": "false",
    "ECS_EXTERNAL": "true",
    "ECS_IMAGE_PULL_BEHAVIOR": "prefer-cached",
    "ECS_INSTANCE_IP_COMPATIBILITY": "ipv4",
    "ECS_UPDATES_ENABLED": "false",
}
"""Without these it asks for instance metadata, writes to /log, or removes images of the host."""
DEADLY = ("AWS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
"""Where one of these is set it ends, or goes round by a proxy."""


def service(name: str) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"][name]
    return parsed


def default(value: str) -> str:
    """The value with the defaults of its variables."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def test_it_sets_what_the_agent_needs_and_nothing_that_ends_it() -> None:
    environment = service("agent")["environment"]
    assert NEEDED.items() <= environment.items()
    assert not set(DEADLY) & set(environment)
    assert all(isinstance(value, str) for value in environment.values()), "Compose takes no bare booleans"
    assert json.loads(environment["ECS_AVAILABLE_LOGGING_DRIVERS"]) == ["json-file", "none"]


def test_the_two_sides_fit() -> None:
    agent, plane = service("agent"), service("controlplane")
    assert agent["network_mode"] == "host"
    published = default(plane["ports"][0]).split(":")
    assert default(agent["environment"]["ECS_BACKEND_HOST"]) == f"http://{published[0]}:{published[1]}"
    assert plane["environment"]["BERTH_PORT"] == published[2]
    assert plane["environment"]["BERTH_REGION"] == agent["environment"]["AWS_DEFAULT_REGION"]
    for ours, theirs in (("ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"), ("SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY")):
        assert plane["environment"][f"BERTH_{ours}"] == agent["environment"][theirs], "every call is signed"
    assert f"agent:{agent['environment']['ECS_DATADIR']}" in agent["volumes"]
    assert re.fullmatch(r"amazon/amazon-ecs-agent:v[\d.]+", default(agent["image"]))


def test_compose_takes_the_file() -> None:
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is None:
            continue
        if subprocess.run([*command, "version"], capture_output=True, check=False).returncode:
            continue
        arguments = [*command, "--file", str(FILE), "config"]
        done = subprocess.run(arguments, env=dict(os.environ), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "amazon/amazon-ecs-agent" in done.stdout
        return
    pytest.skip("neither docker compose nor docker-compose is installed")


def test_the_page_names_every_variable_of_the_agent() -> None:
    page = PAGE.read_text()
    assert [name for name in service("agent")["environment"] if f"`{name}`" not in page] == []
