"""Which runtime an agent has: Docker's or the scripted one. Only the one that is wanted is loaded."""

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from agent.local.books import Inspected, Looks, Usage
from agent.runtime.options import Options
from agent.runtime.port import Furnishes, LogSink, Runtime, RuntimeCallError

if TYPE_CHECKING:
    from agent.runtime.execution import Execution


class RuntimeKind(StrEnum):
    """`BERTH_RUNTIME`."""

    DOCKER = "docker"
    SCRIPTED = "scripted"
    """Containers are played: no engine is needed, and nothing is run."""


class Owned(Protocol):
    """What an agent asks of its runtime at its own start and end, besides what its engine asks."""

    async def remove_orphans(self, known: frozenset[str]) -> None:
        """Remove what is left of tasks (ARN) that are not `known`."""
        ...


class OwnRuntime(Owned, Runtime, Protocol):
    """The runtime of one agent."""


class NoLooks:
    """Nobody can look into a container that is played."""

    async def describe(self, docker_id: str, *, fresh: bool = False) -> Inspected | None:
        del docker_id, fresh
        return None

    async def usage(self, docker_id: str) -> Usage | None:
        del docker_id
        return None

    async def gateway(self) -> str | None:
        return None

    async def close(self) -> None: ...


def probe(kind: RuntimeKind) -> None:
    """Ask whether the engine is there. Blocks.

    Raises:
        UnreachableError: it is not, or it is not for this user.
    """
    if kind is RuntimeKind.DOCKER:
        from agent.runtime import connection  # noqa: PLC0415 - an agent that plays does without the library

        connection.probe()


def open_looks(kind: RuntimeKind) -> Looks:
    """What metadata and statistics are made of."""
    if kind is RuntimeKind.SCRIPTED:
        return NoLooks()
    from agent.runtime.looking import DockerLooks  # noqa: PLC0415 - as above

    return DockerLooks()


async def start_execution(kind: RuntimeKind, docker_id: str, command: list[str], *, has_terminal: bool) -> "Execution":
    """Start a command in a running container.

    Raises:
        RuntimeCallError: it cannot be started.
    """
    if kind is RuntimeKind.SCRIPTED:
        raise RuntimeCallError("CannotExecuteCommandError", "a container that is played runs no commands")
    from agent.runtime.execution import Execution  # noqa: PLC0415 - as above

    return await Execution.start(docker_id, command, has_terminal=has_terminal)


def open_runtime(
    kind: RuntimeKind,
    owner: dict[str, str],
    options: Options,
    *,
    script: Mapping[str, str],
    logs: LogSink,
    furnisher: Furnishes,
) -> OwnRuntime:
    """The runtime; `script` are the variables of a scripted container that sets none itself, else as `DockerRuntime`.

    Raises:
        UnreachableError, NoCgroupsError: see there.
    """
    if kind is RuntimeKind.SCRIPTED:
        from agent.runtime.scripted import ScriptedRuntime  # noqa: PLC0415 - as below

        return ScriptedRuntime(time.time, script=script, logs=logs)
    from agent.runtime.docker import DockerRuntime  # noqa: PLC0415 - as above

    return DockerRuntime(owner, options, logs=logs, furnisher=furnisher)
