"""From a task's specification to Docker's own API shape. Pure; knows neither the SDK nor the socket.

Source: amazon-ecs-agent `api/task/task.go` (dockerConfig, dockerHostConfig): what the agent builds itself, the
payload's JSON laid over it, and then what must stay the agent's.
"""

import hashlib
import re
from typing import Any

import msgspec

from agent.core.spec import BYTES_PER_MIB, ContainerSpec, Port, TaskSpec

TASK_LABEL = "com.amazonaws.ecs.task-arn"
CONTAINER_LABEL = "com.amazonaws.ecs.container-name"
CLUSTER_LABEL = "com.amazonaws.ecs.cluster"
FAMILY_LABEL = "com.amazonaws.ecs.task-definition-family"
VERSION_LABEL = "com.amazonaws.ecs.task-definition-version"
INSTANCE_LABEL = "berth.instance"
"""Ours: the container instance that owns the container. An agent touches nothing that carries another's."""
RUN_LABEL = "berth.run"
"""Ours: the `berth dev` that started the agent (`BERTH_RUN`), for its clean-up."""

CPU_SHARES_MIN, CPU_SHARES_MAX = 2, 262_144
MEMORY_MIB_MIN = 6
"""Docker's own minimum."""


def container_name(task: TaskSpec, container: ContainerSpec) -> str:
    """`ecs-<family>-<version>-<container>-<20 hex>`, as Amazon's agent names them.

    Amazon's hex is random; ours comes from the task's ARN, so that a container can be found again after a crash
    between Docker's create and our disk.
    """
    plain = re.sub(r"[^A-Za-z0-9-]", "", container.name)
    digest = hashlib.sha256(f"{task.arn} {container.name}".encode()).hexdigest()[:20]
    return f"ecs-{task.family}-{task.version}-{plain}-{digest}"


def labels(task: TaskSpec, container: ContainerSpec, owner: dict[str, str]) -> dict[str, str]:
    """Amazon's five labels, and `owner`'s: they win over the task definition's."""
    return {
        CLUSTER_LABEL: task.cluster,
        TASK_LABEL: task.arn,
        CONTAINER_LABEL: container.name,
        FAMILY_LABEL: task.family,
        VERSION_LABEL: task.version,
        **owner,
    }


def create_config(task: TaskSpec, container: ContainerSpec, owner: dict[str, str]) -> dict[str, Any]:
    """Body of Docker's `POST /containers/create`.

    Raises:
        msgspec.MsgspecError: the payload's Docker configuration is no JSON object.
    """
    config: dict[str, Any] = {
        "Image": container.image,
        "Env": [f"{name}={value}" for name, value in container.environment.items()],
        "ExposedPorts": {_port_key(port): {} for port in container.ports},
    }
    if container.command is not None:
        config["Cmd"] = list(container.command)
    if container.entry_point is not None:
        config["Entrypoint"] = list(container.entry_point)
    host: dict[str, Any] = {
        "NetworkMode": task.network_mode or "bridge",
        "CpuShares": min(max(container.cpu, CPU_SHARES_MIN), CPU_SHARES_MAX),
        "Memory": container.memory_mib * BYTES_PER_MIB,
        "PortBindings": _port_bindings(container.ports),
    }
    if container.links:
        host["Links"] = [_link(task, link) for link in container.links]
    if container.volumes_from:
        host["VolumesFrom"] = [
            f"{_name_of(task, source.container)}{':ro' if source.read_only else ''}"
            for source in container.volumes_from
        ]
    config |= _object(container.docker_config)
    host |= _object(container.host_config)
    config["Labels"] = {**(config.get("Labels") or {}), **labels(task, container, owner)}
    config["HostConfig"] = host
    return config


def _link(task: TaskSpec, link: str) -> str:
    name, _, alias = link.partition(":")
    return f"{_name_of(task, name)}:{alias or name}"


def _name_of(task: TaskSpec, name: str) -> str:
    return container_name(task, next(container for container in task.containers if container.name == name))


def _port_key(port: Port) -> str:
    return f"{port.container_port}/{port.protocol}"


def _port_bindings(ports: tuple[Port, ...]) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        # An empty HostPort lets Docker choose: it holds the port from the choice on, which we could not.
        host_port = str(port.host_port) if port.host_port else ""
        bindings.setdefault(_port_key(port), []).append({"HostPort": host_port})
    return bindings


def _object(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(text or "{}", type=dict[str, Any])
    return fields
