"""`requiresAttributes` of a task definition: what an agent must be able to do to run it.

Source: ECS Developer Guide, "Amazon ECS attributes"; answers of RegisterTaskDefinition as published by its users; names
from amazon-ecs-agent `agent/app/agent_capability.go`. Which Docker API version a member asks for is given where such
answers show it; what they do not show is not asked for.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_ECR_IMAGE = re.compile(r"\d{12}\.dkr[.-]ecr(-fips)?\.[^/]+\.(amazonaws\.com|amazonaws\.com\.cn|on\.aws)[^/]*/.+")
_DOCKER_API = "com.amazonaws.ecs.capability.docker-remote-api."
_DRIVER = "com.amazonaws.ecs.capability.logging-driver."
_PROVIDERS = {True: "asm", False: "ssm"}

ECR_AUTH = "com.amazonaws.ecs.capability.ecr-auth"
ECR_BY_ROLE = "ecs.capability.execution-role-ecr-pull"
NOT_INSISTED_ON = frozenset({ECR_AUTH, ECR_BY_ROLE})
"""Shown, and not asked of an instance: an image with an ECR name may lie in a laptop's Docker already (decision 25)."""

Body = Mapping[str, Any]


def required(body: Body) -> list[dict[str, str]]:
    """Amazon's `requiresAttributes` for a registration's body: names without values, each once."""
    names = dict.fromkeys((*_of_task(body), *(name for c in body["containerDefinitions"] for name in _of(c, body))))
    return [{"name": name} for name in names]


def _of_task(body: Body) -> Iterator[str]:
    if body.get("taskRoleArn"):
        yield "com.amazonaws.ecs.capability.task-iam-role"
        if body.get("networkMode") == "host":
            yield "com.amazonaws.ecs.capability.task-iam-role-network-host"
    if body.get("networkMode") == "awsvpc":
        yield _DOCKER_API + "1.18"
        yield "ecs.capability.task-eni"
    if body.get("pidMode") or body.get("ipcMode"):
        yield "ecs.capability.pid-ipc-namespace-sharing"
    for volume in body.get("volumes", ()):
        if volume.get("dockerVolumeConfiguration"):
            yield f"ecs.capability.docker-plugin.{volume['dockerVolumeConfiguration'].get('driver', 'local')}"


def _of(container: Body, body: Body) -> Iterator[str]:
    has_role = bool(body.get("executionRoleArn"))
    yield from _of_logs(container.get("logConfiguration", {}), has_role=has_role)
    if _ECR_IMAGE.fullmatch(container.get("image", "")):
        yield ECR_AUTH
        if has_role:
            yield ECR_BY_ROLE
    yield from _secrets(container.get("secrets", ()), "environment-variables")
    for member, name in _BY_MEMBER.items():
        if container.get(member):
            yield name
    if container.get("healthCheck", {}).get("startPeriod"):
        yield _DOCKER_API + "1.29"
    if container.get("restartPolicy", {}).get("enabled"):
        yield "ecs.capability.container-restart-policy"


def _of_logs(log: Body, *, has_role: bool) -> Iterator[str]:
    driver = log.get("logDriver")
    if driver is None:
        return
    yield _DRIVER + driver
    if driver == "awslogs":
        if has_role:
            yield "ecs.capability.execution-role-awslogs"
        yield _DOCKER_API + "1.19"
    yield from _secrets(log.get("secretOptions", ()), "bootstrap.log-driver")


def _secrets(secrets: Iterable[Body], target: str) -> Iterator[str]:
    for secret in secrets:
        yield f"ecs.capability.secrets.{_PROVIDERS[':secretsmanager:' in secret['valueFrom']]}.{target}"


_BY_MEMBER = {
    "privileged": "com.amazonaws.ecs.capability.privileged-container",
    "memoryReservation": _DOCKER_API + "1.21",
    "healthCheck": "ecs.capability.container-health-check",
    "dependsOn": "ecs.capability.container-ordering",
    "environmentFiles": "ecs.capability.env-files.s3",
    "repositoryCredentials": "ecs.capability.private-registry-authentication.secretsmanager",
}
