"""When a container starts, is healthy, and is started again: a definition's members in Amazon's ACS shapes.

Source: amazon-ecs-agent `api-2.json`; API reference, `HealthCheck`, `ContainerRestartPolicy`; Docker Engine API.
"""

from typing import Any

from wire import acs_shapes

NANO = 1_000_000_000
INTERVAL_SECONDS, TIMEOUT_SECONDS, RETRIES = 30, 5, 3
"""API reference, `HealthCheck`."""
ATTEMPT_PERIOD_SECONDS = 300
"""API reference, `ContainerRestartPolicy`."""


def life(container: dict[str, Any]) -> dict[str, Any]:
    """The members of `acs_shapes.Container` that say so."""
    restart = container.get("restartPolicy") or {}
    return {
        "start_timeout": container.get("startTimeout", 0),
        "depends_on": [
            acs_shapes.ContainerDependency(container_name=entry["containerName"], condition=entry["condition"])
            for entry in container.get("dependsOn", ())
        ],
        "links": container.get("links", []),
        "volumes_from": [
            acs_shapes.VolumeFrom(source_container=entry["sourceContainer"], read_only=entry.get("readOnly", False))
            for entry in container.get("volumesFrom", ())
        ],
        "health_check_type": "docker" if container.get("healthCheck") else "",
        "restart_policy": acs_shapes.RestartPolicy(
            enabled=True,
            ignored_exit_codes=restart.get("ignoredExitCodes", []),
            restart_attempt_period=restart.get("restartAttemptPeriod", ATTEMPT_PERIOD_SECONDS),
        )
        if restart.get("enabled")
        else None,
    }


def health_check(container: dict[str, Any]) -> dict[str, Any]:
    """Docker's `Healthcheck`, for its `Config`; nothing where the definition has none."""
    check = container.get("healthCheck")
    if not check:
        return {}
    return {
        "Healthcheck": {
            "Test": check["command"],
            "Interval": check.get("interval", INTERVAL_SECONDS) * NANO,
            "Timeout": check.get("timeout", TIMEOUT_SECONDS) * NANO,
            "Retries": check.get("retries", RETRIES),
            "StartPeriod": check.get("startPeriod", 0) * NANO,
        }
    }
