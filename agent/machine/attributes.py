"""Capabilities and attributes of a registration, by Amazon's names; only what this agent really does is claimed.

Source: amazon-ecs-agent `agent/app/agent_capability.go`, `agent_capability_unix.go`; recorded traffic.
"""

import platform

import msgspec

from wire.extensions import RELEASE_ATTRIBUTE

_DOCKER_API_MINORS = (*range(17, 26), 28, 29, 30, 32)
"""Amazon leaves out 1.26, 1.27 and 1.31, and everything from 1.33 on."""

_DRIVER = "com.amazonaws.ecs.capability.logging-driver."
_HEALTH_CHECK = "ecs.capability.container-health-check"


class Features(msgspec.Struct, frozen=True, kw_only=True):
    """What the host's configuration says that it can do."""

    drivers: tuple[str, ...] = ("json-file", "none", "awslogs")
    """`ECS_AVAILABLE_LOGGING_DRIVERS`; the default is what is always there."""
    has_selinux: bool = False
    """`ECS_SELINUX_CAPABLE`."""
    has_apparmor: bool = False
    """`ECS_APPARMOR_CAPABLE`."""
    has_roles: bool = True
    """`ECS_ENABLE_TASK_IAM_ROLE`."""
    has_roles_on_host: bool = True
    """`ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST`."""
    has_health_checks: bool = True
    """`ECS_DISABLE_DOCKER_HEALTH_CHECK` says otherwise."""
    gpu_driver: str = ""
    """Version of the driver of the host's GPUs, where it has some."""


CLAIMED = (
    "ecs.capability.private-registry-authentication.secretsmanager",
    "ecs.capability.secrets.ssm.environment-variables",
    "ecs.capability.secrets.ssm.bootstrap.log-driver",
    "ecs.capability.secrets.asm.environment-variables",
    "ecs.capability.secrets.asm.bootstrap.log-driver",
    "ecs.capability.container-ordering",
    "ecs.capability.full-sync",
    "ecs.capability.env-files.s3",
    "ecs.capability.container-restart-policy",
    "com.amazonaws.ecs.capability.privileged-container",
    *(f"com.amazonaws.ecs.capability.docker-remote-api.1.{minor}" for minor in _DOCKER_API_MINORS),
    *(f"{_DRIVER}{driver}" for driver in ("json-file", "none", "awslogs")),
    "ecs.capability.task-cpu-mem-limit",
    "ecs.capability.increased-task-cpu-limit",
    _HEALTH_CHECK,
    "ecs.capability.docker-plugin.local",
    "ecs.capability.task-eni",
    "ecs.capability.pid-ipc-namespace-sharing",
    "ecs.capability.execution-role-awslogs",
)
"""In Amazon's order."""

UNCLAIMED = {
    "ecs.capability.ecr-endpoint": "no ECR",
    "ecs.capability.network.container-port-range": "no port ranges",
    "com.amazonaws.ecs.capability.ecr-auth": "no ECR",
    "ecs.capability.execution-role-ecr-pull": "no ECR",
    "ecs.capability.firelens.fluentd": "no FireLens",
    "ecs.capability.firelens.fluentbit": "no FireLens",
    "com.amazonaws.ecs.capability.logging-driver.awsfirelens": "no FireLens",
    "ecs.capability.logging-driver.awsfirelens.log-driver-buffer-limit": "no FireLens",
    "ecs.capability.firelens.non-root-user": "no FireLens",
    "ecs.capability.firelens.options.config.file": "no FireLens",
    "ecs.capability.firelens.options.config.s3": "no FireLens",
    "ecs.capability.efs": "no EFS",
    "ecs.capability.storage.s3-files": "no S3 Files",
    "ecs.capability.external": "it has an identity document",
    "ecs.capability.ipv6-only": "IPv4",
}
"""What Amazon's agent claims on a plain host and this one does not, with the reason."""

_ARCHITECTURES = {"aarch64": "arm64"}
"""Names of ECS where they are not the kernel's."""


def capabilities(features: Features) -> list[str]:
    """Names of what the agent does on a host with these features."""
    names = [name for name in CLAIMED if not name.startswith(_DRIVER)]
    names += [f"{_DRIVER}{driver}" for driver in dict.fromkeys(features.drivers)]
    if not features.has_health_checks:
        names.remove(_HEALTH_CHECK)
    extra = {
        "selinux": features.has_selinux,
        "apparmor": features.has_apparmor,
        "task-iam-role": features.has_roles,
        "task-iam-role-network-host": features.has_roles_on_host,
    }
    return names + [f"com.amazonaws.ecs.capability.{name}" for name, is_so in extra.items() if is_so]


def attributes(custom: dict[str, str], release: str, features: Features) -> list[dict[str, str]]:
    """Amazon's `{name, value?}` list; `release` is `eager` or `on-exit`."""
    machine = platform.machine()
    values = {
        **custom,
        "ecs.os-type": "linux",
        "ecs.os-family": "LINUX",
        "ecs.os-type-detailed": "LINUX",
        "ecs.cpu-architecture": _ARCHITECTURES.get(machine, machine),
        RELEASE_ATTRIBUTE: release,
        **({"ecs.capability.gpu-driver-version": features.gpu_driver} if features.gpu_driver else {}),
    }
    return [{"name": name} for name in capabilities(features)] + [
        {"name": name, "value": value} for name, value in values.items()
    ]
