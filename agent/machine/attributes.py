"""Capabilities and attributes of a registration, by Amazon's names; only what this agent really does is claimed.

Source: amazon-ecs-agent `agent/app/agent_capability.go`.
"""

from wire.extensions import RELEASE_ATTRIBUTE

_DOCKER_API_MINORS = (*range(17, 26), 28, 29, 30, 32)
"""Amazon leaves out 1.26, 1.27 and 1.31, and everything from 1.33 on."""
_LOGGING_DRIVERS = ("json-file", "none")


def attributes(custom: dict[str, str], release: str) -> list[dict[str, str]]:
    """Amazon's `{name, value?}` list; `release` is `eager` or `on-exit`."""
    names = [
        "com.amazonaws.ecs.capability.privileged-container",
        *(f"com.amazonaws.ecs.capability.docker-remote-api.1.{minor}" for minor in _DOCKER_API_MINORS),
        *(f"com.amazonaws.ecs.capability.logging-driver.{driver}" for driver in _LOGGING_DRIVERS),
        "ecs.capability.full-sync",
    ]
    values = {**custom, "ecs.os-type": "linux", "ecs.os-family": "LINUX", RELEASE_ATTRIBUTE: release}
    return [{"name": name} for name in names] + [{"name": name, "value": value} for name, value in values.items()]
