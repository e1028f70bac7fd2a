"""From what the runtime says to the facts that a task's machine takes in."""

from agent.core.events import ContainerEvent, Created, Exited, HealthChanged, Started
from agent.core.health import HealthStatus
from agent.core.instructions import StartContainer
from agent.core.spec import Port
from agent.runtime.port import ContainerLife, Found


def facts_of(found: Found, cause: str) -> list[ContainerEvent]:
    """Everything that one look at a container says, lowest first."""
    where = {"task": found.task, "container": found.container, "cause": cause}
    facts: list[ContainerEvent] = [Created(**where, docker_id=found.docker_id, stop_signal=found.stop_signal)]
    if found.life is ContainerLife.RUNNING:
        at = found.started_at or 0.0
        facts.append(Started(**where, docker_id=found.docker_id, at=at, ports=found.ports))
    elif found.life is ContainerLife.EXITED:
        facts.append(Exited(**where, exit_code=found.exit_code, finished_at=found.finished_at, error=found.error))
    if found.life is ContainerLife.RUNNING and found.health.status is not HealthStatus.UNKNOWN:
        facts.append(HealthChanged(**where, health=found.health))
    return facts


def host_ports(act: StartContainer) -> tuple[Port, ...]:
    """In host mode the container's ports are the host's; Docker binds nothing then."""
    return act.spec.ports if act.of.network_mode == "host" else ()
