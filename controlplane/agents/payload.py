"""A task as its agent is told of it: definition and overrides become Amazon's ACS shapes. Pure translation.

What ACS has no member for travels as JSON strings in Docker's own API shape (`dockerConfig`). To stop a task that its
agent has, the ARN is enough, and a definition could only do harm; an agent that may never have heard of it gets the
whole of it, as Amazon's is wedged by a task without containers. Source: `api-2.json` of amazon-ecs-agent; Docker
Engine API; recorded traffic.
"""

from typing import Any

import msgspec

from controlplane.agents.container_life import health_check, life
from controlplane.core.cost import CPU_UNITS_PER_VCPU, cpu_units, mebibytes, overridden
from controlplane.core.model import Cluster, Task, TaskDefinition
from wire import acs_shapes
from wire.arn import short_id
from wire.status import DesiredStatus

BYTES_PER_MIB = 1024 * 1024
EXECUTION_ENVIRONMENT = {"AWS_EXECUTION_ENV": "AWS_ECS_EC2"}
"""Source: amazon-ecs-agent expects it in the payload."""


def run_payload(task: Task, definition: TaskDefinition, cluster: Cluster, *, account: str) -> acs_shapes.Task:
    """What an agent needs to run `task`."""
    body = definition.body
    overrides = task.body.get("overrides", {})
    arns = {container.name: container.arn for container in task.containers}
    cpu = overrides.get("cpu") or body.get("cpu")
    memory = overrides.get("memory") or body.get("memory")
    return acs_shapes.Task(
        arn=task.arn,
        desired_status=DesiredStatus.RUNNING,
        task_cluster_arn=cluster.arn,
        family=definition.family,
        version=str(definition.revision),
        containers=[
            _container(container, body, arns[container["name"]], _environment(container, overrides))
            for container in overridden(body, overrides)
        ],
        cpu=cpu_units(cpu) / CPU_UNITS_PER_VCPU if cpu else 0,
        memory=mebibytes(memory) if memory else 0,
        network_mode=_network_mode(body),
        service_name=short_id(task.service) if task.service else "",
        group=task.group,
        launch_type="EC2",
        task_definition_account_id=account,
    )


def stop_payload(task: Task, definition: TaskDefinition, cluster: Cluster, *, account: str) -> acs_shapes.Task:
    """What an agent needs to stop `task`: one that has reported nothing of it may not have it yet."""
    if not any(container.runtime_id for container in task.containers):
        whole = run_payload(task, definition, cluster, account=account)
        return msgspec.structs.replace(whole, desired_status=DesiredStatus.STOPPED, berth_force=task.force)
    return acs_shapes.Task(
        arn=task.arn, desired_status=DesiredStatus.STOPPED, task_cluster_arn=cluster.arn, berth_force=task.force
    )


def _container(
    container: dict[str, Any], body: dict[str, Any], arn: str, environment: dict[str, str]
) -> acs_shapes.Container:
    mode = _network_mode(body)
    return acs_shapes.Container(
        name=container["name"],
        image=container["image"],
        container_arn=arn,
        essential=container.get("essential", True),
        cpu=container.get("cpu", 0),
        memory=container.get("memory", 0),
        command=container.get("command") or None,
        entry_point=container.get("entryPoint") or None,
        environment=environment,
        port_mappings=[
            acs_shapes.PortMapping(
                container_port=mapping["containerPort"],
                host_port=mapping.get("hostPort", 0),
                protocol=mapping.get("protocol", "tcp"),
            )
            for mapping in container.get("portMappings", ())
            if mode != "none"
        ],
        stop_timeout=container.get("stopTimeout", 0),
        **life(container),
        docker_config=acs_shapes.DockerConfig(
            config=msgspec.json.encode(docker_config(container) | health_check(container)).decode(),
            host_config=msgspec.json.encode(docker_host_config(container, body)).decode(),
        ),
    )


def _environment(container: dict[str, Any], overrides: dict[str, Any]) -> dict[str, str]:
    """The container's own environment, with the task's overrides laid over it name by name."""
    over = [o for o in overrides.get("containerOverrides", ()) if o.get("name") == container["name"]]
    pairs = [pair for source in (container, *over) for pair in source.get("environment", ())]
    return EXECUTION_ENVIRONMENT | {pair["name"]: pair.get("value", "") for pair in pairs if "name" in pair}


def docker_config(container: dict[str, Any]) -> dict[str, Any]:
    """What of a container definition stands in Docker's `Config`."""
    names = {
        "user": "User",
        "workingDirectory": "WorkingDir",
        "hostname": "Hostname",
        "dockerLabels": "Labels",
        "pseudoTerminal": "Tty",
        "interactive": "OpenStdin",
        "disableNetworking": "NetworkDisabled",
    }
    return _renamed(container, names)


def docker_host_config(container: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """What of a container definition stands in Docker's `HostConfig`."""
    names = {
        "privileged": "Privileged",
        "readonlyRootFilesystem": "ReadonlyRootfs",
        "dnsServers": "Dns",
        "dnsSearchDomains": "DnsSearch",
        "dockerSecurityOptions": "SecurityOpt",
    }
    host: dict[str, Any] = {"NetworkMode": _network_mode(body), **_renamed(container, names)}
    if container.get("memoryReservation"):
        host["MemoryReservation"] = container["memoryReservation"] * BYTES_PER_MIB
    if container.get("extraHosts"):
        host["ExtraHosts"] = [f"{extra['hostname']}:{extra['ipAddress']}" for extra in container["extraHosts"]]
    if container.get("ulimits"):
        host["Ulimits"] = [
            {"Name": limit["name"], "Soft": limit["softLimit"], "Hard": limit["hardLimit"]}
            for limit in container["ulimits"]
        ]
    if container.get("systemControls"):
        host["Sysctls"] = {control["namespace"]: control["value"] for control in container["systemControls"]}
    if container.get("logConfiguration"):
        log = container["logConfiguration"]
        host["LogConfig"] = {"Type": log["logDriver"], "Config": log.get("options", {})}
    for member, name in (("pidMode", "PidMode"), ("ipcMode", "IpcMode")):
        if body.get(member):
            host[name] = body[member]
    return host | _linux(container.get("linuxParameters", {}), container)


def _linux(linux: dict[str, Any], container: dict[str, Any]) -> dict[str, Any]:
    capabilities = linux.get("capabilities", {})
    host = _renamed(capabilities, {"add": "CapAdd", "drop": "CapDrop"})
    host |= _renamed(linux, {"initProcessEnabled": "Init", "swappiness": "MemorySwappiness"})
    if linux.get("sharedMemorySize"):
        host["ShmSize"] = linux["sharedMemorySize"] * BYTES_PER_MIB
    if "maxSwap" in linux and container.get("memory"):
        host["MemorySwap"] = (container["memory"] + linux["maxSwap"]) * BYTES_PER_MIB
    if linux.get("tmpfs"):
        host["Tmpfs"] = {
            mount["containerPath"]: ",".join([*mount.get("mountOptions", ()), f"size={mount['size']}m"])
            for mount in linux["tmpfs"]
        }
    if linux.get("devices"):
        host["Devices"] = [
            {
                "PathOnHost": device["hostPath"],
                "PathInContainer": device.get("containerPath", device["hostPath"]),
                "CgroupPermissions": "".join(right[0] for right in device.get("permissions", ())) or "rwm",
            }
            for device in linux["devices"]
        ]
    return host


def _network_mode(body: dict[str, Any]) -> str:
    return body.get("networkMode") or "bridge"


def _renamed(shape: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The members that are set, under Docker's names."""
    return {name: shape[member] for member, name in names.items() if shape.get(member) not in (None, [], {}, "")}
