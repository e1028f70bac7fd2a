"""What is stored and given back but cannot be acted on yet: whoever would *run* it gets one clear sentence.

A task that silently runs without its volumes or its health check would be worse than one that does not run. Each table
maps a member to what is said of it; a later capability takes its line out.
"""

from collections.abc import Callable, Mapping
from typing import Any

from controlplane.core.model import TaskDefinition
from controlplane.core.record import following
from wire.errors import ClientException

Unserved = Callable[[Any], bool]


def _given(value: Any) -> bool:
    return bool(value)


def _any_but_gpus(requirements: Any) -> bool:
    """Elastic inference accelerators are no more on AWS either."""
    return any(requirement.get("type") != "GPU" for requirement in requirements)


def _other_than(*served: str) -> Unserved:
    return lambda value: value not in served


_SERVED_OF_VOLUMES = frozenset({"name", "host", "dockerVolumeConfiguration"})
TASK_DEFINITION: dict[str, Unserved] = {
    "volumes": lambda volumes: any(volume.keys() - _SERVED_OF_VOLUMES for volume in volumes),
    "proxyConfiguration": _given,
    "inferenceAccelerators": _given,
    "ephemeralStorage": _given,
    "enableFaultInjection": _given,
    "trustedExecutionConfiguration": _given,
}
CONTAINER: dict[str, Unserved] = {
    "resourceRequirements": _any_but_gpus,
    "firelensConfiguration": _given,
    "credentialSpecs": _given,
    "logConfiguration": lambda log: log.get("logDriver") == "awsfirelens",
    "portMappings": lambda mappings: any("containerPortRange" in mapping for mapping in mappings),
}
TASK_OVERRIDE: dict[str, Unserved] = {
    "ephemeralStorage": _given,
    "inferenceAcceleratorOverrides": _given,
}
CONTAINER_OVERRIDE: dict[str, Unserved] = {"resourceRequirements": _any_but_gpus}
TASK_REQUEST: dict[str, Unserved] = {
    "launchType": _other_than("EC2"),
    "volumeConfigurations": _given,
}
SERVICE_REQUEST: dict[str, Unserved] = {
    **TASK_REQUEST,
    "deploymentController": lambda controller: controller.get("type", "ECS") not in {"ECS", "EXTERNAL"},
    "serviceRegistries": _given,
    "serviceConnectConfiguration": lambda connect: connect.get("enabled", False),
    "vpcLatticeConfigurations": _given,
    "gatewayConnectors": _given,
    "monitoring": _given,
}
TASK_SET_REQUEST: dict[str, Unserved] = {
    "launchType": _other_than("EC2"),
    "serviceRegistries": _given,
    "platformVersion": _given,
}


def refuse_unserved(shape: Mapping[str, Any], table: Mapping[str, Unserved], where: str) -> None:
    """Raise where a member asks for something that cannot be acted on yet.

    Raises:
        ClientException: one sentence that names the member.
    """
    if table.keys().isdisjoint(shape):
        return
    for member, is_unserved in table.items():
        if member in shape and is_unserved(shape[member]):
            shown = f" ({shape[member]})" if isinstance(shape[member], str) else ""
            raise ClientException(f"{where} asks for {member}{shown}, which is not served yet; nothing was started.")


@following
def refuse_unrunnable(definition: TaskDefinition) -> None:
    """Refuse to run a task definition that our agents could not run as it says.

    Raises:
        ClientException: one sentence that names the member.
    """
    name = f"{definition.family}:{definition.revision}"
    refuse_unserved(definition.body, TASK_DEFINITION, f"Task definition {name}")
    for container in definition.body["containerDefinitions"]:
        refuse_unserved(container, CONTAINER, f"Container {container['name']!r} of task definition {name}")


def refuse_overrides(overrides: Mapping[str, Any]) -> None:
    """Refuse overrides that our agents could not act on.

    Raises:
        ClientException: one sentence that names the member.
    """
    refuse_unserved(overrides, TASK_OVERRIDE, "The override")
    for container in overrides.get("containerOverrides", ()):
        refuse_unserved(container, CONTAINER_OVERRIDE, f"The override of container {container.get('name')!r}")
