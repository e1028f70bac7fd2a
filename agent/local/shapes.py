"""Metadata as containers read it: Amazon's JSON, from a task's state and what Docker says of its containers. Pure.

Version 3 is version 2 with networks; version 4 adds what stands under `if version >= V4`. Unset members are left out.
Statuses are the agent's own names (NONE, CREATED, ...), finer than what is reported.
Source: amazon-ecs-agent `ecs-agent/tmds/handlers/v2/response.go`, `v4/state/response.go`; ECS Developer Guide, "Task
metadata endpoint version 4".
"""

from datetime import UTC, datetime
from typing import Any

from agent.core.spec import Internal, Port
from agent.core.state import ContainerState, TaskState
from agent.local.books import Inspected, Usage, networks
from agent.runtime.spec import container_name
from wire.status import DesiredStatus

Shape = dict[str, Any]
V2, V3, V4 = 2, 3, 4
NEVER = "0001-01-01T00:00:00Z"
"""Docker's zero."""
_TYPES = {Internal.NO: "NORMAL", Internal.NETWORK: "CNI_PAUSE", Internal.NAMESPACE: "NAMESPACE_PAUSE"}
_BACKEND_STATUS = {"RUNNING": "RUNNING", "STOPPED": "STOPPED"}


def instant(epoch_seconds: float | None) -> str | None:
    """RFC 3339 in UTC, as Go writes it; None stays None."""
    if epoch_seconds is None:
        return None
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat().replace("+00:00", "Z")


def container_shape(version: int, task: TaskState, container: ContainerState, inspected: Inspected | None) -> Shape:
    """One container. Without Docker's word (it is removed) what the agent itself knows must do."""
    inspected = inspected or {}
    life, config = inspected.get("State") or {}, inspected.get("Config") or {}
    log = (inspected.get("HostConfig") or {}).get("LogConfig") or {}
    maybe = {
        "ImageID": inspected.get("Image"),
        "Ports": [_port(port) for port in container.ports or container.spec.ports],
        "Labels": config.get("Labels"),
        "ExitCode": container.exit_code,
        "CreatedAt": inspected.get("Created"),
        "StartedAt": _unless_never(life.get("StartedAt")),
        "FinishedAt": instant(container.finished_at),
        "Volumes": [_volume(mount) for mount in inspected.get("Mounts") or ()],
        "Health": _health(version, life.get("Health")),
        "LogDriver": log.get("Type") if version >= V4 else None,
        "LogOptions": log.get("Config") if version >= V4 else None,
        "ContainerARN": container.spec.arn if version >= V4 else None,
        "Networks": network_shapes(task, inspected) if version >= V3 else None,
        "RestartCount": container.restarts if version >= V4 and container.spec.restart else None,
    }
    return {
        "DockerId": container.docker_id,
        "Name": container.spec.name,
        "DockerName": docker_name(task, container, inspected),
        "Image": container.spec.image,
        "DesiredStatus": task.desired.value,
        "KnownStatus": container.known.name,
        "Limits": {"CPU": container.spec.cpu, "Memory": container.spec.memory_mib},
        "Type": _TYPES[container.spec.internal],
        **_set(maybe),
    }


def task_shape(version: int, task: TaskState, containers: list[Shape], *, cluster: str, zone: str) -> Shape:
    """A task and its containers. `zone` empty: not told (`ECS_DISABLE_TASK_METADATA_AZ`)."""
    spec = task.spec
    limits = _set({"CPU": spec.cpu_vcpus or None, "Memory": spec.memory_mib or None})
    pulls = [c for c in task.containers if c.pull_started_at is not None]
    maybe = {
        "Limits": limits,
        "PullStartedAt": instant(min((c.pull_started_at or 0.0 for c in pulls), default=None)),
        "PullStoppedAt": instant(max((c.pull_stopped_at or 0.0 for c in pulls), default=0.0) or None),
        "ExecutionStoppedAt": instant(task.execution_stopped_at),
        "AvailabilityZone": zone,
        "LaunchType": "EC2",
    }
    if version >= V4:
        maybe |= {"ServiceName": spec.service_name, "Group": spec.group}
    return {
        "Cluster": cluster,
        "TaskARN": spec.arn,
        "Family": spec.family,
        "Revision": spec.version,
        "DesiredStatus": task.desired.value,
        "KnownStatus": task.known.name,
        "Containers": containers,
        **_set(maybe),
    }


def introspected_task(task: TaskState, inspected: dict[str, Inspected | None]) -> Shape:
    """A task on the introspection port; `inspected` by Docker's id.

    Source: amazon-ecs-agent `ecs-agent/introspection/v1/handlers`, `agent/handlers/v1` (statuses as reported; the
    desired one is left out while it says nothing about the known one).
    """
    known = _BACKEND_STATUS.get(task.known.name, "PENDING")
    desired = "" if known == "STOPPED" and task.desired is not DesiredStatus.STOPPED else task.desired.value
    return {
        "Arn": task.spec.arn,
        **_set({"DesiredStatus": desired}),
        "KnownStatus": known,
        "Family": task.spec.family,
        "Version": task.spec.version,
        "Containers": [_introspected(task, c, inspected.get(c.docker_id)) for c in task.containers if c.docker_id],
    }


def _introspected(task: TaskState, container: ContainerState, inspected: Inspected | None) -> Shape:
    whole = container_shape(V3, task, container, inspected)
    names = ("DockerId", "DockerName", "Name", "Image", "ImageID", "CreatedAt", "StartedAt")
    return {name: whole[name] for name in (*names, "Ports", "Networks", "Volumes") if name in whole}


def docker_name(task: TaskState, container: ContainerState, inspected: Inspected | None) -> str:
    """Docker's name of the container, without its slash."""
    return str((inspected or {}).get("Name") or container_name(task.spec, container.spec)).lstrip("/")


def network_shapes(task: TaskState, inspected: Inspected) -> list[Shape]:
    """Networks of a container, while it has any."""
    addresses = [address for _, address in networks(inspected)]
    mode = task.spec.network_mode
    if not addresses and mode != "host":
        return []
    return [{"NetworkMode": mode, **_set({"IPv4Addresses": addresses})}]


def with_rates(usage: Usage, before: Usage | None) -> Shape:
    """Version 4's statistics: what the network carried per second since the sample `before` that."""
    if before is None:
        return usage
    seconds = _epoch(usage["read"]) - _epoch(before["read"])
    if seconds <= 0 or not usage.get("networks"):
        return usage
    rates = {
        f"{way}_bytes_per_sec": max(0.0, (_carried(usage, way) - _carried(before, way)) / seconds)
        for way in ("rx", "tx")
    }
    return {**usage, "network_rate_stats": rates}


def _carried(usage: Usage, way: str) -> int:
    return sum(int(network[f"{way}_bytes"]) for network in (usage.get("networks") or {}).values())


def _epoch(text: str) -> float:
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(whole + "+00:00").timestamp() + float(f"0.{fraction or 0}")


def _port(port: Port) -> Shape:
    return {
        "ContainerPort": port.container_port,
        "Protocol": port.protocol,
        **_set({"HostPort": port.host_port or None}),
    }


def _volume(mount: dict[str, Any]) -> Shape:
    return _set({"DockerName": mount.get("Name"), "Source": mount.get("Source"), "Destination": mount["Destination"]})


def _health(version: int, health: dict[str, Any] | None) -> Shape | None:
    """Docker's health check; version 4 tells the last probe's exit code and output besides."""
    if not health:
        return None
    status = health["Status"].upper() if health["Status"] in ("healthy", "unhealthy") else "UNKNOWN"
    probe = (health.get("Log") or [{}])[-1]
    shape: Shape = {"status": status, **_set({"statusSince": probe.get("End"), "output": probe.get("Output")})}
    if version >= V4 and probe.get("ExitCode") is not None:
        shape["exitCode"] = probe["ExitCode"]
    return shape


def _unless_never(text: str | None) -> str | None:
    return None if text == NEVER else text


def _set(members: Shape) -> Shape:
    return {name: value for name, value in members.items() if value not in (None, "", [], {})}
