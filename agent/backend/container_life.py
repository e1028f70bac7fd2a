"""When a container starts, is healthy, and is started again: Amazon's ACS members as records of ours."""

from typing import Any

from agent.core.spec import Condition, Dependency, RegistryAuthentication, RestartPolicy, VolumesFrom
from wire import acs_shapes


def life(container: acs_shapes.Container) -> dict[str, Any]:
    """The members of `ContainerSpec` that say so.

    Raises:
        ValueError: a condition is none that is known, or a number is negative.
    """
    if min(container.start_timeout, container.stop_timeout) < 0:
        raise ValueError(f"container {container.name!r} has a negative time-out")
    restart, registry = container.restart_policy, container.registry_authentication
    return {
        "start_timeout_seconds": container.start_timeout,
        "depends_on": tuple(
            Dependency(entry.container_name, Condition(entry.condition)) for entry in container.depends_on
        ),
        "links": tuple(container.links),
        "volumes_from": tuple(VolumesFrom(entry.source_container, entry.read_only) for entry in container.volumes_from),
        "has_health_check": container.health_check_type == "docker",
        "restart": RestartPolicy(tuple(restart.ignored_exit_codes), restart.restart_attempt_period)
        if restart and restart.enabled
        else None,
        "registry": RegistryAuthentication(
            registry.type, registry.asm_auth_data.credentials_parameter if registry.asm_auth_data else ""
        )
        if registry
        else None,
    }
