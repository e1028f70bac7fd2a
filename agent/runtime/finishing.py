"""The last word on a container's shape: what only this host knows. Pure; the effects are `resources.py`'s.

`spec.create_config` says what the payload asks for. Here come the task's namespaces, volumes and limits, the values of
secrets, and where `awslogs` goes. Source: amazon-ecs-agent `api/task/task.go` (dockerHostConfig, after the unmarshal).
"""

from typing import Any

import msgspec

from agent.core.spec import ContainerSpec, Internal, TaskSpec
from agent.runtime import logconfig
from agent.runtime.cgroups import has_limits, scaled
from agent.runtime.options import Options, TaskLimits
from agent.runtime.volumes import binds


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What was made or found for the task on this host."""

    network: str = ""
    """The Docker network of tasks with a network of their own."""
    network_holder: str = ""
    """Docker id of the container that holds the task's network namespace; "" where it is the container's own."""
    namespace_holder: str = ""
    """The same for PID and IPC."""
    gpu_runtime: str = ""
    """Docker's runtime for containers with GPUs; "": the usual one."""
    cgroup_parent: str = ""
    """"" where the host makes no cgroups for tasks."""
    environment: dict[str, str] = {}
    """Values of secrets and environment files."""
    log_options: dict[str, str] = {}
    """Values of the log driver's secret options."""


def finish(
    config: dict[str, Any], task: TaskSpec, container: ContainerSpec, options: Options, around: Surroundings
) -> dict[str, Any]:
    """`config` (Docker's create body) as it goes to Docker.

    Raises:
        ValueError: this host refuses it, or it makes no sense; one sentence.
    """
    host: dict[str, Any] = config["HostConfig"]
    if host.get("Privileged") and options.refuse_privileged:
        raise ValueError(
            f"container {container.name!r} asks to be privileged, and this host refuses that (ECS_DISABLE_PRIVILEGED)"
        )
    if container.internal:
        host |= _held(container.internal, task, around)
    else:
        _share(config, task, around)
    if container.mounts:
        host["Binds"] = [*(host.get("Binds") or []), *binds(task, container)]
    if around.cgroup_parent:
        host["CgroupParent"] = around.cgroup_parent
    elif has_limits(task) and options.task_limits is not TaskLimits.OFF and not container.internal:
        host |= scaled(task, container)
    if container.gpu_ids and around.gpu_runtime:
        host["Runtime"] = around.gpu_runtime
    if around.environment:
        config["Env"] = _environment(config.get("Env") or [], around.environment)
    logconfig.localise(config, task, container, around.log_options)
    return config


def _held(kind: Internal, task: TaskSpec, around: Surroundings) -> dict[str, Any]:
    """A pause container: the namespaces that it holds for the others."""
    if kind is Internal.NETWORK:
        return {"NetworkMode": around.network}
    return {"NetworkMode": "none", "IpcMode": "shareable" if task.ipc_mode == "task" else "private"}


def _share(config: dict[str, Any], task: TaskSpec, around: Surroundings) -> None:
    host = config["HostConfig"]
    if around.network_holder:
        host["NetworkMode"] = f"container:{around.network_holder}"
        config["ExposedPorts"], host["PortBindings"] = {}, {}  # Docker refuses both in somebody else's namespace
    for name, mode in (("PidMode", task.pid_mode), ("IpcMode", task.ipc_mode)):
        if mode == "task":
            host[name] = f"container:{around.namespace_holder}"
        elif mode:
            host[name] = mode


def _environment(explicit: list[str], resolved: dict[str, str]) -> list[str]:
    """`NAME=value` rows; what the task definition says itself wins."""
    said = {row.partition("=")[0] for row in explicit}
    return [*explicit, *(f"{name}={value}" for name, value in resolved.items() if name not in said)]
