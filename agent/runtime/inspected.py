"""What Docker says of a container when it is asked (`inspect`), in the words of the port. Pure."""

import re
from datetime import datetime
from typing import Any

from agent.core.health import OUTPUT_CHARACTERS_MAX, Health, HealthStatus
from agent.core.pause import NETWORK
from agent.core.spec import Address, Port
from agent.runtime.port import ContainerLife, Found
from agent.runtime.spec import CONTAINER_LABEL, TASK_LABEL

OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"


def found_of(inspected: dict[str, Any]) -> Found:
    """A container as it is now."""
    state, config = inspected["State"], inspected["Config"]
    started, finished = epoch_seconds(state["StartedAt"]), epoch_seconds(state["FinishedAt"])
    life = ContainerLife.EXITED
    if state["Running"]:
        life = ContainerLife.RUNNING
    elif started is None:
        life = ContainerLife.CREATED
    exited = life is ContainerLife.EXITED
    return Found(
        docker_id=inspected["Id"],
        task=config["Labels"].get(TASK_LABEL, ""),
        container=config["Labels"].get(CONTAINER_LABEL, ""),
        life=life,
        stop_signal=config.get("StopSignal") or "SIGTERM",
        started_at=started,
        finished_at=finished if exited else None,
        exit_code=state["ExitCode"] if exited else None,
        error=OUT_OF_MEMORY if exited and state.get("OOMKilled") else "",
        ports=bound_ports(inspected["NetworkSettings"].get("Ports")),
        address=address_of(inspected),
        health=health_of(state.get("Health")),
    )


def address_of(inspected: dict[str, Any]) -> Address | None:
    """The address of a container that holds its task's network."""
    if inspected["Config"]["Labels"].get(CONTAINER_LABEL) != NETWORK:
        return None
    networks = inspected["NetworkSettings"]["Networks"].values()
    return next((Address(n["IPAddress"], n["MacAddress"]) for n in networks if n["IPAddress"]), None)


def bound_ports(container_ports: dict[str, Any] | None) -> tuple[Port, ...]:
    """Ports as Docker bound them, from `NetworkSettings.Ports`; IPv6 doubles are left out."""
    return tuple(
        Port(int(key.partition("/")[0]), int(binding["HostPort"]), key.partition("/")[2] or "tcp")
        for key, bindings in (container_ports or {}).items()
        for binding in bindings or ()
        if ":" not in binding.get("HostIp", "")
    )


def health_of(state: dict[str, Any] | None) -> Health:
    """Docker's `State.Health`; `starting` is not known yet."""
    last = ((state or {}).get("Log") or [{}])[-1]
    since = epoch_seconds(last["End"]) if last.get("End") else None
    status = _HEALTH.get((state or {}).get("Status", ""), HealthStatus.UNKNOWN)
    return Health(status=status, since=since, output=(last.get("Output") or "")[:OUTPUT_CHARACTERS_MAX])


_HEALTH = {"healthy": HealthStatus.HEALTHY, "unhealthy": HealthStatus.UNHEALTHY}


def epoch_seconds(text: str) -> float | None:
    """Docker's nanosecond timestamps as epoch seconds; None for its zero."""
    if text.startswith("0001"):
        return None
    match = _TIMESTAMP.fullmatch(text)
    assert match is not None, f"Docker's time {text!r}"
    whole, fraction, zone = match.groups()
    return datetime.fromisoformat(whole + zone.replace("Z", "+00:00")).timestamp() + float(f"0.{fraction or 0}")


_TIMESTAMP = re.compile(r"([0-9T:-]{19})(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")
