"""Which container is meant, and who is asking. It reads the engine's tasks and Docker's answers, and changes nothing.

A container may ask about its own task alone. Its address names it by an unguessable id; besides, where the network
tells who asks (a bridge: every container has an address of its own), a stranger with a stolen id gets the same answer
as one with a wrong id. A process of the host, or a container in host mode, asks from the host's own address: the
network tells nothing then, and the id alone decides.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from agent.core.state import ContainerState, TaskState
from agent.local.identifiers import Identifiers

Inspected = dict[str, Any]
"""Docker's answer to `GET /containers/<id>/json`."""
Usage = dict[str, Any]
"""Docker's answer to `GET /containers/<id>/stats`."""

SHORT_ID_CHARS_MIN = 12
"""Docker's own short form."""


class Looks(Protocol):
    """What the endpoints ask of Docker; bounded in time and number by the implementation."""

    async def describe(self, docker_id: str, *, fresh: bool = False) -> Inspected | None:
        """One container; None where Docker does not know it or does not answer. A moment old unless `fresh`."""
        ...

    async def usage(self, docker_id: str) -> Usage | None:
        """What a container uses; None where it does not run."""
        ...

    async def gateway(self) -> str | None:
        """The host's address by which containers reach it; None where there is none."""
        ...

    async def close(self) -> None:
        """Ask no more."""
        ...


class Found(NamedTuple):
    """A container and its task."""

    task: TaskState
    container: ContainerState


class Books:
    """The tasks of this agent, to look things up in."""

    def __init__(
        self,
        tasks: Callable[[], Iterable[TaskState]],
        identifiers: Identifiers,
        looks: Looks,
        own_addresses: Iterable[str],
    ) -> None:
        """`own_addresses` are the host's: what comes from them may be any process of the host."""
        self._tasks = tasks
        self._identifiers = identifiers
        self._own_addresses = frozenset(own_addresses)
        self.looks = looks

    def tasks(self) -> list[TaskState]:
        """All tasks that are not forgotten."""
        return list(self._tasks())

    def by_endpoint(self, endpoint: str) -> Found | None:
        """The container with this id in its addresses; it must have been created."""
        for found in self._containers():
            if self._identifiers.endpoint(found.task.spec.arn, found.container.spec.name) == endpoint:
                return found
        return None

    def by_docker_id(self, docker_id: str) -> Found | None:
        """A container by Docker's id, or by its short form."""
        if len(docker_id) < SHORT_ID_CHARS_MIN:
            return None
        return next((f for f in self._containers() if f.container.docker_id.startswith(docker_id)), None)

    def by_arn(self, arn: str) -> TaskState | None:
        """A task by its ARN."""
        return next((task for task in self._tasks() if task.spec.arn == arn), None)

    async def by_address(self, address: str) -> TaskState | None:
        """The task one of whose containers has this address of its own."""
        for task in self.tasks():
            if address in await self._addresses(task, fresh=False):
                return task
        return None

    async def may_ask(self, address: str, task: TaskState) -> bool:
        """Whether a request from `address` can be from a container of `task`."""
        if address in self._own_addresses or address.startswith("127."):
            return True
        if address in await self._addresses(task, fresh=False):
            return True
        return address in await self._addresses(task, fresh=True)

    async def _addresses(self, task: TaskState, *, fresh: bool) -> set[str]:
        addresses: set[str] = set()
        for container in task.containers:
            if container.docker_id:
                inspected = await self.looks.describe(container.docker_id, fresh=fresh)
                addresses |= set(await self._own_or_shared(inspected, fresh=fresh))
        return addresses

    async def _own_or_shared(self, inspected: Inspected | None, *, fresh: bool) -> list[str]:
        """Addresses of a container, or of the one whose network it shares."""
        if inspected is None:
            return []
        holder = str(inspected.get("HostConfig", {}).get("NetworkMode", "")).partition("container:")[2]
        if holder:
            inspected = await self.looks.describe(holder, fresh=fresh) or inspected
        return [address for _, address in networks(inspected)]

    def _containers(self) -> Iterator[Found]:
        for task in self._tasks():
            for container in task.containers:
                if container.docker_id:
                    yield Found(task, container)


def networks(inspected: Inspected) -> list[tuple[str, str]]:
    """(network, IPv4 address) of a container, where it has one now."""
    found = (inspected.get("NetworkSettings") or {}).get("Networks") or {}
    return [(name, network["IPAddress"]) for name, network in found.items() if network.get("IPAddress")]
