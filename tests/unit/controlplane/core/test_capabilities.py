"""What a task definition asks of an agent, and that both agents there are have it."""

import json
from pathlib import Path

import pytest

from agent.machine.attributes import Features, capabilities
from controlplane.core.capabilities import NOT_INSISTED_ON, required
from controlplane.core.model import TaskDefinition
from controlplane.core.placement.request import required_of

RECORDED = Path(__file__).parents[3] / "contract" / "wire" / "register.jsonl"
SSM, ASM = "arn:aws:ssm:us-east-1:1:parameter/x", "arn:aws:secretsmanager:us-east-1:1:secret:x"
CONTAINER = {
    "name": "main",
    "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/web",
    "privileged": True,
    "memoryReservation": 8,
    "healthCheck": {"command": ["x"], "startPeriod": 1},
    "dependsOn": [{"containerName": "other", "condition": "START"}],
    "environmentFiles": [{"value": "x", "type": "s3"}],
    "repositoryCredentials": {"credentialsParameter": ASM},
    "restartPolicy": {"enabled": True},
    "secrets": [{"name": "a", "valueFrom": SSM}, {"name": "b", "valueFrom": ASM}],
    "logConfiguration": {
        "logDriver": "json-file",
        "secretOptions": [{"name": "a", "valueFrom": SSM}, {"name": "b", "valueFrom": ASM}],
    },
}
LOGS = {"name": "logs", "image": "x", "logConfiguration": {"logDriver": "awslogs"}}
WHOLE = {
    "containerDefinitions": [CONTAINER, LOGS],
    "executionRoleArn": "r",
    "taskRoleArn": "r",
    "pidMode": "task",
    "volumes": [{"name": "v", "dockerVolumeConfiguration": {"scope": "task"}}],
}


@pytest.mark.parametrize("mode", ["bridge", "host", "awsvpc", "none"])
def test_a_host_of_ours_can_run_whatever_is_served(mode: str) -> None:
    definition = TaskDefinition(
        arn="d", family="d", revision=1, body={"requiresAttributes": required({**WHOLE, "networkMode": mode})}
    )
    asked = {name for name, _ in required_of(definition)}
    assert asked
    assert asked <= set(capabilities(Features()))


def test_what_is_shown_is_more_than_what_is_insisted_on() -> None:
    shown = {attribute["name"] for attribute in required(WHOLE)}
    assert shown > NOT_INSISTED_ON
    assert len(shown) == len(required(WHOLE))


def test_a_plain_task_asks_nothing_and_amazons_agent_has_what_a_usual_one_asks() -> None:
    assert required({"containerDefinitions": [{"name": "a", "image": "busybox", "memory": 8, "cpu": 8}]}) == []
    registration = next(
        line["body"] for line in map(json.loads, RECORDED.read_text().splitlines()) if line["op"].startswith("Register")
    )
    has = {attribute["name"] for attribute in registration["attributes"]}
    usual = {**CONTAINER, "logConfiguration": {"logDriver": "json-file"}}
    asked = {attribute["name"] for attribute in required({"containerDefinitions": [usual]})}
    assert asked <= has
