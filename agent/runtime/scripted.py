"""The runtime port without Docker: containers played by script. A product of its own, not a test's detail.

It passes the same contract suite as Docker's. Time is the running loop's; faults are switched on by name, so that a
test can make one call fail, hang or lie.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable

import msgspec

from agent.core.behaviour import KILLED, Behaviour
from agent.core.spec import Address, ContainerSpec, Internal, Port, TaskSpec
from agent.runtime.port import (
    ContainerLife,
    Found,
    Listed,
    NotRunningError,
    OnExit,
    OnGap,
    RuntimeCallError,
)
from agent.runtime.spec import container_name

FIRST_DYNAMIC_PORT = 32768


class _Container(msgspec.Struct, kw_only=True):
    found: Found
    spec: ContainerSpec
    behaviour: Behaviour
    has_job: bool = False
    exit: asyncio.TimerHandle | None = None


class ScriptedRuntime:
    """Containers in memory. `clock` tells epoch seconds; `latency_seconds` is what a create or a start takes."""

    def __init__(self, clock: Callable[[], float], *, latency_seconds: float = 0.0) -> None:
        self._clock = clock
        self._latency_seconds = latency_seconds
        self._by_id: dict[str, _Container] = {}
        self._on_exit: OnExit | None = None
        self._next_port = FIRST_DYNAMIC_PORT
        self._addresses = 0
        self.calls: list[tuple[str, str]] = []
        """(verb, container name) of every call, in order: what a test reads."""
        self.faults: Counter[str] = Counter()
        """How many of the next calls of a verb fail."""
        self.is_deaf = False
        """Exits are not told while this is set, as when an event stream has broken."""

    async def version(self) -> str:
        return "scripted"

    async def create(self, task: TaskSpec, container: ContainerSpec) -> Found:
        await self._begin("create", container.name, "CannotCreateContainerError")
        name = container_name(task, container)
        docker_id = hashlib.sha256(name.encode()).hexdigest()
        if docker_id not in self._by_id:
            found = Found(docker_id=docker_id, task=task.arn, container=container.name, life=ContainerLife.CREATED)
            behaviour = Behaviour.from_environment(container.environment)
            self._by_id[docker_id] = _Container(found=found, spec=container, behaviour=behaviour)
        return self._by_id[docker_id].found

    async def start(self, docker_id: str) -> Found:
        container = self._known(docker_id)
        await self._begin("start", container.spec.name, "CannotStartContainerError")
        if container.found.life is not ContainerLife.RUNNING:
            self._change(
                container,
                life=ContainerLife.RUNNING,
                started_at=self._clock(),
                ports=tuple(self._bind(port) for port in container.spec.ports),
                address=self._address() if container.spec.internal is Internal.NETWORK else None,
            )
            if container.behaviour.run_seconds is not None:
                self._exit_in(container, container.behaviour.run_seconds, container.behaviour.exit_code)
        return container.found

    async def signal(self, docker_id: str, signal: str) -> None:
        container = self._by_id.get(docker_id)
        await self._begin("signal", container.spec.name if container else docker_id, "CannotStopContainerError")
        if container is None:
            raise NotRunningError("NoSuchContainerError", f"no such container: {docker_id}")
        if container.found.life is not ContainerLife.RUNNING:
            raise NotRunningError("CannotStopContainerError", f"container {docker_id} is not running")
        if signal == "SIGUSR1":
            container.has_job = True
        after = container.behaviour.exits_after(signal, has_job=container.has_job)
        if after is not None and (container.exit is None or signal == "SIGKILL"):
            code = KILLED if signal == "SIGKILL" else container.behaviour.exit_code
            self._exit_in(container, after, code)

    async def inspect(self, docker_id: str) -> Found | None:
        await self._begin("inspect", docker_id, "CannotInspectContainerError")
        container = self._by_id.get(docker_id)
        return container.found if container else None

    async def remove(self, docker_id: str) -> None:
        await self._begin("remove", docker_id, "CannotRemoveContainerError")
        self._by_id.pop(docker_id, None)

    async def remove_resources(self, task: TaskSpec) -> None:
        await self._begin("remove-resources", task.arn, "CannotRemoveVolumeError")

    async def containers(self) -> list[Listed]:
        return [
            Listed(
                docker_id=found.docker_id,
                task=found.task,
                container=found.container,
                is_running=found.life is ContainerLife.RUNNING,
            )
            for found in (container.found for container in self._by_id.values())
        ]

    def watch(self, on_exit: OnExit, on_gap: OnGap) -> None:
        self._on_exit = on_exit
        asyncio.get_running_loop().call_soon(on_gap)

    async def close(self) -> None:
        self._on_exit = None

    async def _begin(self, verb: str, about: str, error: str) -> None:
        self.calls.append((verb, about))
        if verb in ("create", "start"):
            await asyncio.sleep(self._latency_seconds)
        if self.faults[verb] > 0:
            self.faults[verb] -= 1
            raise RuntimeCallError(error, "as the script says")

    def _known(self, docker_id: str) -> _Container:
        if docker_id not in self._by_id:
            raise RuntimeCallError("CannotStartContainerError", f"no such container: {docker_id}")
        return self._by_id[docker_id]

    def _address(self) -> Address:
        self._addresses += 1
        return Address(f"172.31.{self._addresses // 256}.{self._addresses % 256}", "02:42:ac:1f:00:00")

    def _bind(self, port: Port) -> Port:
        if port.host_port:
            return port
        self._next_port += 1
        return msgspec.structs.replace(port, host_port=self._next_port)

    def _exit_in(self, container: _Container, seconds: float, code: int) -> None:
        if container.exit is not None:
            container.exit.cancel()
        container.exit = asyncio.get_running_loop().call_later(seconds, self._exit, container, code)

    def _exit(self, container: _Container, code: int) -> None:
        self._change(container, life=ContainerLife.EXITED, finished_at=self._clock(), exit_code=code)
        if self._on_exit is not None and not self.is_deaf:
            self._on_exit(container.found)

    def _change(self, container: _Container, **changes: object) -> None:
        container.found = msgspec.structs.replace(container.found, **changes)
