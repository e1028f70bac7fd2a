"""The runtime port without Docker: containers played by script. A product of its own, not a test's detail.

It passes the same contract suite as Docker's. Time is the running loop's; faults are switched on by name, so that a
test can make one call fail, hang or lie.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from agent.core.behaviour import KILLED, Behaviour
from agent.core.health import Health, HealthStatus
from agent.core.spec import Address, ContainerSpec, Internal, Port, TaskSpec
from agent.runtime import logconfig
from agent.runtime.port import (
    ContainerLife,
    Found,
    Image,
    Listed,
    Login,
    LogSink,
    NotRunningError,
    OnFound,
    OnGap,
    RefusedError,
    RuntimeCallError,
)
from agent.runtime.saying import Sayings, Stream
from agent.runtime.spec import container_name

FIRST_DYNAMIC_PORT = 32768


class _Container(msgspec.Struct, kw_only=True):
    found: Found
    spec: ContainerSpec
    behaviour: Behaviour
    has_job: bool = False
    is_paused: bool = False
    is_quitting: bool = False
    """It obeys its stop signal; another one changes nothing."""
    stream: Stream | None = None
    """Where its lines go; None: nobody hears them."""
    exit: asyncio.TimerHandle | None = None
    health: asyncio.TimerHandle | None = None


class ScriptedRuntime:
    """Containers in memory: they end with the process, as at a restart of the host.

    `clock` tells epoch seconds; `latency_seconds` is what a create or a start takes. `script` are the variables (see
    `core/behaviour`) of a container that sets none of its own. `logs` is where the lines of `awslogs` containers go.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        latency_seconds: float = 0.0,
        script: Mapping[str, str] | None = None,
        logs: LogSink | None = None,
    ) -> None:
        self._script = script or {}
        self._sayings = Sayings(logs, clock) if logs is not None else None
        self._clock = clock
        self._latency_seconds = latency_seconds
        self._by_id: dict[str, _Container] = {}
        self._on_found: OnFound | None = None
        self._next_port = FIRST_DYNAMIC_PORT
        self._addresses = 0
        self.calls: list[tuple[str, str]] = []
        """(verb, container name) of every call, in order: what a test reads."""
        self.faults: Counter[str] = Counter()
        """How many of the next calls of a verb fail."""
        self.is_deaf = False
        """Exits are not told while this is set, as when an event stream has broken."""
        self.missing: set[str] = set()
        """Images that are not on this host; all others are."""
        self.unknown: set[str] = set()
        """Images that the registry refuses for good."""
        self.pull_seconds = 0.0
        self.pulled: list[str] = []
        """Images whose pull came to its end, in order."""

    async def version(self) -> str:
        return "scripted"

    async def image(self, name: str) -> Image | None:
        if name in self.missing:
            return None
        return Image(image_id=name, digest=_digest(name) if name in self.pulled else "")

    async def manifest(self, name: str, login: Login | None) -> str:
        del login
        await self._begin("manifest", name, "CannotPullImageManifestError")
        if name in self.unknown:
            raise RefusedError("CannotPullImageManifestError", "manifest unknown")
        return _digest(name)

    async def pull(self, name: str, login: Login | None, inactivity_seconds: float) -> None:
        del login, inactivity_seconds
        await self._begin("pull", name, "CannotPullContainerError")
        await asyncio.sleep(self.pull_seconds)
        self.missing.discard(name)
        self.pulled.append(name)

    async def remove_image(self, name: str) -> None:
        await self._begin("remove_image", name, "CannotRemoveImageError")
        self.missing.add(name)

    async def create(self, task: TaskSpec, container: ContainerSpec) -> Found:
        await self._begin("create", container.name, "CannotCreateContainerError")
        name = container_name(task, container)
        docker_id = hashlib.sha256(name.encode()).hexdigest()
        if docker_id not in self._by_id:
            found = Found(docker_id=docker_id, task=task.arn, container=container.name, life=ContainerLife.CREATED)
            behaviour = Behaviour.from_environment({**self._script, **container.environment})
            stream = _stream(task, container, docker_id)
            self._by_id[docker_id] = _Container(found=found, spec=container, behaviour=behaviour, stream=stream)
        return self._by_id[docker_id].found

    async def start(self, docker_id: str) -> Found:
        container = self._known(docker_id)
        await self._begin("start", container.spec.name, "CannotStartContainerError")
        await asyncio.sleep(container.behaviour.start_seconds)
        if container.found.life is not ContainerLife.RUNNING:
            self._run(container)
        return container.found

    async def signal(self, docker_id: str, signal: str) -> None:
        container = self._by_id.get(docker_id)
        await self._begin("signal", container.spec.name if container else docker_id, "CannotStopContainerError")
        if container is None:
            raise NotRunningError("NoSuchContainerError", f"no such container: {docker_id}")
        if container.found.life is not ContainerLife.RUNNING:
            raise NotRunningError("CannotStopContainerError", f"container {docker_id} is not running")
        behaviour, was_told = container.behaviour, container.is_quitting
        self._say(container, behaviour.words_on(signal, has_job=container.has_job, is_quitting=was_told))
        container.has_job = container.has_job or (signal == "SIGUSR1" and not was_told)
        container.is_paused = False  # Docker lets a paused process run when it is to end
        after = behaviour.exits_after(signal, has_job=container.has_job)
        if signal == "SIGKILL":
            self._exit_in(container, 0.0, KILLED)
        elif after is not None and not was_told:
            container.is_quitting = True
            words = behaviour.last_words(was_told=True, has_job=container.has_job)
            self._exit_in(container, after, behaviour.exit_code, words)

    async def inspect(self, docker_id: str) -> Found | None:
        await self._begin("inspect", docker_id, "CannotInspectContainerError")
        container = self._by_id.get(docker_id)
        return container.found if container else None

    async def remove(self, docker_id: str, *, force: bool = False) -> None:
        await self._begin("remove", docker_id, "CannotRemoveContainerError")
        container = self._by_id.get(docker_id)
        if container is not None and container.found.life is ContainerLife.RUNNING:
            if not force:
                raise RuntimeCallError("CannotRemoveContainerError", f"container {docker_id} is running")
            self._exit(container, KILLED)
        self._by_id.pop(docker_id, None)

    async def remove_resources(self, task: TaskSpec) -> None:
        await self._begin("remove-resources", task.arn, "CannotRemoveVolumeError")

    async def remove_orphans(self, known: frozenset[str]) -> None:
        """Nothing outlives this process, so nothing is left of others."""

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

    def watch(self, on_found: OnFound, on_gap: OnGap) -> None:
        self._on_found = on_found
        asyncio.get_running_loop().call_soon(on_gap)

    async def close(self) -> None:
        self._on_found = None
        if self._sayings is not None:
            await self._sayings.close()

    # ---- what others do to a container behind the agent's back -------------------------------------------------

    def start_by_hand(self, docker_id: str) -> None:
        """`docker start`."""
        self._run(self._by_id[docker_id])

    def pause_by_hand(self, docker_id: str) -> None:
        """`docker pause`: whatever was to happen in it does not."""
        container = self._by_id[docker_id]
        container.is_paused = True
        if container.exit is not None:
            container.exit.cancel()
            container.exit = None

    def kill_by_hand(self, docker_id: str, code: int = KILLED, error: str = "") -> None:
        """`docker kill`, `docker stop`, or the kernel."""
        self._exit(self._by_id[docker_id], code, error)

    def remove_by_hand(self, docker_id: str) -> None:
        """`docker rm --force`."""
        self._exit(self._by_id[docker_id], KILLED)
        del self._by_id[docker_id]

    # ---- the play ----------------------------------------------------------------------------------------------

    def _run(self, container: _Container) -> None:
        behaviour = container.behaviour
        self._change(
            container,
            life=ContainerLife.RUNNING,
            started_at=self._clock(),
            finished_at=None,
            exit_code=None,
            error="",
            ports=tuple(self._bind(port) for port in container.spec.ports),
            health=Health(),
            address=self._address() if container.spec.internal is Internal.NETWORK else None,
        )
        container.exit, container.is_quitting = None, False
        self._say(container, f"{behaviour.says}\nready" if behaviour.says else "ready")
        if behaviour.run_seconds is not None:
            words = behaviour.last_words(was_told=False, has_job=False)
            self._exit_in(container, behaviour.run_seconds, behaviour.exit_code, words)
        if container.spec.has_health_check and behaviour.healthy_seconds is not None:
            loop = asyncio.get_running_loop()
            container.health = loop.call_later(behaviour.healthy_seconds, self._grow_healthy, container)
        self._tell(container)

    def _grow_healthy(self, container: _Container) -> None:
        self.set_health(container.found.docker_id, HealthStatus.HEALTHY)

    def set_health(self, docker_id: str, status: HealthStatus) -> None:
        """The health check comes to another result."""
        container = self._by_id[docker_id]
        self._change(container, health=Health(status=status, since=self._clock()))
        self._tell(container)

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

    def _exit_in(self, container: _Container, seconds: float, code: int, words: str = "") -> None:
        if container.exit is not None:
            container.exit.cancel()
        container.exit = asyncio.get_running_loop().call_later(seconds, self._leave, container, code, words)

    def _leave(self, container: _Container, code: int, words: str) -> None:
        self._say(container, words)
        self._exit(container, code)

    def _say(self, container: _Container, words: str) -> None:
        if words and self._sayings is not None and container.stream is not None:
            self._sayings.say(container.stream, words)

    def _exit(self, container: _Container, code: int, error: str = "") -> None:
        for timer in (container.exit, container.health):
            if timer is not None:
                timer.cancel()
        container.exit = container.health = None
        self._change(container, life=ContainerLife.EXITED, finished_at=self._clock(), exit_code=code, error=error)
        self._tell(container)

    def _tell(self, container: _Container) -> None:
        if self._on_found is not None and not self.is_deaf:
            self._on_found(container.found)

    def _change(self, container: _Container, **changes: object) -> None:
        container.found = msgspec.structs.replace(container.found, **changes)


def _digest(image: str) -> str:
    """What the image's name says, or one that is made up from it."""
    return image.partition("@")[2] or f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"


def _stream(task: TaskSpec, container: ContainerSpec, docker_id: str) -> Stream | None:
    """Where an `awslogs` container's lines go, by the labels that Docker would have.

    Raises:
        RuntimeCallError: `awslogs` without a group.
    """
    config: dict[str, Any] = {"HostConfig": msgspec.json.decode(container.host_config or "{}"), "Labels": {}}
    try:
        logconfig.localise(config, task, container, {})
    except ValueError as error:
        raise RuntimeCallError("CannotCreateContainerError", str(error)) from error
    group = config["Labels"].get(logconfig.GROUP_LABEL)
    return Stream(group, config["Labels"][logconfig.STREAM_LABEL] or docker_id) if group else None
