"""The runtime port over Docker Engine. In the product, this folder alone imports `docker`.

The SDK is synchronous: calls go through a pool of four threads, the event stream has its own (`watch.py`).
Source of the error names: amazon-ecs-agent `dockerclient/dockerapi/errors.go`.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import docker
import docker.errors
import msgspec
import requests

from agent.core.health import Health, HealthStatus
from agent.core.spec import ContainerSpec, TaskSpec
from agent.runtime import images
from agent.runtime.connection import QUICK_SECONDS, SLOW_SECONDS, THREADS, connect
from agent.runtime.exits import Exits
from agent.runtime.finishing import finish
from agent.runtime.images import explain
from agent.runtime.inspected import OUT_OF_MEMORY, found_of
from agent.runtime.options import Options
from agent.runtime.port import (
    ContainerLife,
    Found,
    Furnishes,
    Image,
    Listed,
    Login,
    LogSink,
    NoAnswerError,
    NotRunningError,
    OnFound,
    OnGap,
    RuntimeCallError,
    UnreachableError,
)
from agent.runtime.resources import Resources
from agent.runtime.secrets import Secrets
from agent.runtime.shipping import LogShipper
from agent.runtime.spec import (
    CONTAINER_LABEL,
    TASK_LABEL,
    container_name,
    create_config,
)
from agent.runtime.watch import Change, Die, EventStream
from agent.slots import STARTS_MAX

T = TypeVar("T")
log = logging.getLogger(__name__)

PULLS_MAX = 8
"""Pulls that run at once; more of them wait."""
CLEARING_MAX = 2
"""Removals that run at once."""
HTTP_CONFLICT = 409
GONE_LOOKS, GONE_LOOK_SECONDS = 60, 0.5
"""How often, and how far apart, a task's containers are looked for before its volumes go."""
OOM_LOOKS, OOM_LOOK_SECONDS = 20, 0.05
"""The same for Docker's `oom` after the `die` of a container that nobody here killed."""


class DockerRuntime:
    """Containers of one agent on the local Docker Engine."""

    def __init__(
        self,
        owner: dict[str, str],
        options: Options | None = None,
        *,
        logs: LogSink | None = None,
        furnisher: Furnishes | None = None,
    ) -> None:
        """`owner` is a set of labels: containers without them do not exist for this runtime.

        `logs` is where the lines of `awslogs` containers go; without it they stay on the host. `furnisher` adds what
        the agent's own endpoints need.

        Raises:
            UnreachableError, NoCgroupsError: see there.
        """
        self._owner = owner
        self._furnisher = furnisher
        self._pool = ThreadPoolExecutor(THREADS, "docker")
        self._starts = ThreadPoolExecutor(STARTS_MAX, "docker-start")  # no signal waits behind a start
        self._pulls = ThreadPoolExecutor(PULLS_MAX, "docker-pull")  # a pull may take hours: none waits behind one
        self._clearing = ThreadPoolExecutor(CLEARING_MAX, "docker-clear")  # no signal waits behind a removal
        self._quick = connect(QUICK_SECONDS)
        self._slow = connect(SLOW_SECONDS)
        self._images = images.Images(self._quick)
        self._options = options or Options()
        self._creating = connect(self._options.create_seconds)
        self._starting = connect(self._options.start_seconds)
        self._resources = Resources(self._slow, owner, self._options)
        self._secrets = Secrets(self._options.secrets)
        self._shipper = LogShipper(connect, logs) if logs is not None else None
        self._without_ports: set[str] = set()
        self._stream: EventStream | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._on_found: OnFound = lambda _found: None  # before the watch nobody listens; what ends then is listed
        self._exits = Exits(lambda found: self._on_found(found))  # noqa: PLW0108 - which it is, the watch says

    async def _call(self, call: Callable[[], T], pool: ThreadPoolExecutor | None = None) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool or self._pool, call)

    async def version(self) -> str:
        def version() -> str:
            try:
                return str(self._quick.version()["Version"])
            except (docker.errors.APIError, requests.exceptions.RequestException) as error:
                raise UnreachableError(f"The Docker Engine does not answer: {explain(error)}") from error

        return await self._call(version)

    async def image(self, name: str) -> Image | None:
        return await self._call(lambda: self._images.local(name))

    async def manifest(self, name: str, login: Login | None) -> str:
        return await self._call(lambda: images.manifest(self._quick, name, login), self._pulls)

    async def pull(self, name: str, login: Login | None, inactivity_seconds: float) -> None:
        left = threading.Event()
        try:
            await self._call(lambda: images.pull(self._slow, name, login, inactivity_seconds, left), self._pulls)
        finally:
            left.set()
            self._images.changed()

    async def remove_image(self, name: str) -> None:
        await self._call(lambda: images.remove(self._slow, name), self._clearing)
        self._images.changed()

    async def create(self, task: TaskSpec, container: ContainerSpec) -> Found:
        return await self._call(lambda: self._create(task, container))

    def _create(self, task: TaskSpec, container: ContainerSpec) -> Found:
        name = container_name(task, container)
        if container.internal:
            container = msgspec.structs.replace(container, image=self._options.pause_image)
        try:
            image = self._image_of(container)
            if self._furnisher is not None and not container.internal:
                container = self._furnisher.furnish(task, container, image.variables)
            config = create_config(task, container, self._owner)
            environment, log_options = self._secrets.of(container)
            with self._resources.made_for(task, container) as made:
                around = msgspec.structs.replace(made, environment=environment, log_options=log_options)
                config = finish(config, task, container, self._options, around)
                found = self._created(config, name, image.stop_signal)
        except requests.exceptions.Timeout as error:
            raise _timeout("created", self._options.create_seconds) from error
        except (docker.errors.APIError, requests.exceptions.RequestException, ValueError, OSError) as error:
            raise RuntimeCallError("CannotCreateContainerError", explain(error)) from error
        if found.task != task.arn:
            raise RuntimeCallError("CannotCreateContainerError", f"the name {name} belongs to another container")
        if not config["HostConfig"].get("PortBindings"):
            self._without_ports.add(found.docker_id)
        return found

    def _image_of(self, container: ContainerSpec) -> Image:
        image = self._images.local(container.image)
        if image is not None:
            return image
        if not container.internal:
            raise RuntimeCallError("CannotCreateContainerError", f"No such image: {container.image}")
        text = (
            f"there is no image {container.image} on this host: `make images` makes it, BERTH_PAUSE_IMAGE names another"
        )
        raise RuntimeCallError("CannotPullContainerError", text)

    def _created(self, config: dict[str, Any], name: str, stop_signal: str) -> Found:
        try:
            docker_id = self._creating.create_container_from_config(config, name)["Id"]  # type: ignore[no-untyped-call]
        except docker.errors.APIError as error:
            if error.status_code != HTTP_CONFLICT:
                raise
            # An earlier call of ours got this far before we were killed; much may have happened since.
            return found_of(self._quick.inspect_container(name))
        return Found(
            docker_id=docker_id,
            task=config["Labels"][TASK_LABEL],
            container=config["Labels"][CONTAINER_LABEL],
            life=ContainerLife.CREATED,
            stop_signal=config.get("StopSignal") or stop_signal or "SIGTERM",
        )

    async def start(self, docker_id: str) -> Found:
        def start() -> dict[str, Any]:
            try:
                self._starting.start(docker_id)
                inspected = self._quick.inspect_container(docker_id)
                if self._shipper is not None:
                    self._shipper.follow(docker_id, inspected["Config"]["Labels"])
                return self._started(inspected)
            except requests.exceptions.Timeout as error:
                raise _timeout("started", self._options.start_seconds) from error
            except (docker.errors.APIError, requests.exceptions.RequestException) as error:
                raise RuntimeCallError("CannotStartContainerError", explain(error)) from error

        return self._looked_at(await self._call(start, self._starts))

    def _started(self, inspected: dict[str, Any]) -> dict[str, Any]:
        found = found_of(inspected)
        if self._furnisher is not None:
            self._furnisher.started(found.task, found.container, inspected)
        return inspected

    def _looked_at(self, inspected: dict[str, Any]) -> Found:
        """In the loop's thread: whoever runs is followed to its end."""
        self._exits.follow(inspected)
        return found_of(inspected)

    async def signal(self, docker_id: str, signal: str) -> None:
        def kill() -> None:
            try:
                self._quick.kill(docker_id, signal)
            except docker.errors.NotFound as error:
                raise NotRunningError("NoSuchContainerError", explain(error)) from error
            except docker.errors.APIError as error:
                kind = NotRunningError if error.status_code == HTTP_CONFLICT else RuntimeCallError
                raise kind("CannotStopContainerError", explain(error)) from error
            except requests.exceptions.Timeout as error:
                raise NoAnswerError(*_timed_out("stopped", QUICK_SECONDS)) from error
            except requests.exceptions.RequestException as error:
                raise NoAnswerError("CannotStopContainerError", explain(error)) from error

        if signal == "SIGKILL":
            self._exits.killed(docker_id)
        await self._call(kill)

    async def inspect(self, docker_id: str) -> Found | None:
        def inspect() -> dict[str, Any] | None:
            try:
                inspected: dict[str, Any] = self._quick.inspect_container(docker_id)
            except docker.errors.NotFound:
                return None
            except (docker.errors.APIError, requests.exceptions.RequestException) as error:
                raise RuntimeCallError("CannotInspectContainerError", explain(error)) from error
            return inspected

        inspected = await self._call(inspect)
        return None if inspected is None else self._looked_at(inspected)

    async def remove(self, docker_id: str, *, force: bool = False) -> None:
        def remove() -> None:
            try:
                self._slow.remove_container(docker_id, v=True, force=force)
                if self._furnisher is not None:
                    self._furnisher.removed()
            except docker.errors.NotFound:
                pass
            except (docker.errors.APIError, requests.exceptions.RequestException) as error:
                raise RuntimeCallError("CannotRemoveContainerError", explain(error)) from error

        await self._call(remove, self._clearing)
        self._without_ports.discard(docker_id)
        self._exits.forget(docker_id)

    async def remove_resources(self, task: TaskSpec) -> None:
        for _ in range(GONE_LOOKS):
            if not await self._call(lambda: self._resources.containers_left(task), self._clearing):
                break
            await asyncio.sleep(GONE_LOOK_SECONDS)
        await self._call(lambda: self._resources.remove(task), self._clearing)

    async def remove_orphans(self, known: frozenset[str]) -> None:
        """Remove what is left of tasks (ARN) that are not `known`; what Docker keeps now, the next start looks at."""
        try:
            await self._call(lambda: self._resources.remove_orphans(known), self._clearing)
        except RuntimeCallError as error:
            log.warning("Something of a forgotten task was left behind: %s", error)

    async def containers(self) -> list[Listed]:
        def containers() -> list[Listed]:
            try:
                rows = self._quick.containers(all=True, filters={"label": _filters(self._owner)})
            except (docker.errors.APIError, requests.exceptions.RequestException) as error:
                raise RuntimeCallError("CannotListContainersError", explain(error)) from error
            return [
                Listed(
                    docker_id=row["Id"],
                    task=row["Labels"].get(TASK_LABEL, ""),
                    container=row["Labels"].get(CONTAINER_LABEL, ""),
                    is_running=row["State"] not in ("created", "exited", "dead"),
                )
                for row in rows
            ]

        return await self._call(containers)

    def watch(self, on_found: OnFound, on_gap: OnGap) -> None:
        loop = asyncio.get_running_loop()
        self._on_found = on_found

        def tell(telling: Coroutine[Any, Any, None]) -> None:
            task = loop.create_task(telling)
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

        def gap() -> None:  # who was read from ended with the stream, and it is how one begins
            if self._shipper is not None:
                loop.run_in_executor(self._pool, self._shipper.follow_all, self._quick, _filters(self._owner))
            on_gap()

        self._stream = EventStream(
            loop,
            connect(None),
            _filters(self._owner),
            on_die=lambda die: tell(self._tell_exit(die, on_found)),
            on_change=lambda change: tell(self._tell_change(change, on_found)),
            on_gap=gap,
        )
        if self._shipper is not None:
            self._shipper.start(loop)
        self._stream.start()

    async def _tell_change(self, change: Change, on_found: OnFound) -> None:
        """A start or a change of health: the event says that there is something to look at."""
        found = Found(
            docker_id=change.docker_id,
            task=change.labels.get(TASK_LABEL, ""),
            container=change.labels.get(CONTAINER_LABEL, ""),
            life=ContainerLife.RUNNING,
            started_at=None if change.health else change.at,
            health=Health(status=HealthStatus(change.health), since=change.at) if change.health else Health(),
        )
        if change.health:
            try:
                inspected = await self.inspect(change.docker_id)
            except RuntimeCallError:
                inspected = None  # the event is the truth that we have
            if inspected is not None and inspected.life is ContainerLife.RUNNING:
                found = inspected
        on_found(found)

    async def _tell_exit(self, die: Die, on_found: OnFound) -> None:
        """The event says all that is needed, but for ports: Docker frees them after it, and then answers inspects.

        And but for a strange SIGKILL: on a busy machine Docker's `oom` was seen 0.1 s after its `die`, too late for
        its inspect as well.
        """
        if self._exits.is_old(die.docker_id, die.at):
            return
        is_strange = self._exits.is_strange(die.docker_id, die.exit_code) and not die.out_of_memory
        out_of_memory = die.out_of_memory or self._exits.ran_out(die.docker_id)
        for _ in range(OOM_LOOKS if is_strange else 0):
            out_of_memory = self._stream is not None and self._stream.take_out_of_memory(die.docker_id)
            if out_of_memory or self._stream is None:
                break
            await asyncio.sleep(OOM_LOOK_SECONDS)
        found = Found(
            docker_id=die.docker_id,
            task=die.labels.get(TASK_LABEL, ""),
            container=die.labels.get(CONTAINER_LABEL, ""),
            life=ContainerLife.EXITED,
            finished_at=die.at,
            exit_code=die.exit_code,
        )
        if is_strange or die.docker_id not in self._without_ports:
            try:
                inspected = await self.inspect(die.docker_id)
            except RuntimeCallError:
                inspected = None  # the event is the truth that we have
            if inspected is not None and inspected.life is not ContainerLife.EXITED:
                return  # somebody has started it again: it has not ended
            found = inspected or found
        on_found(msgspec.structs.replace(found, error=OUT_OF_MEMORY) if out_of_memory else found)

    async def close(self) -> None:
        if self._stream is not None:
            self._stream.stop()
        await self._exits.close()
        if self._shipper is not None:
            await self._shipper.close()
        for pool in (self._pool, self._starts, self._pulls, self._clearing):
            pool.shutdown(wait=False, cancel_futures=True)


def _timeout(transition: str, seconds: float) -> RuntimeCallError:
    return RuntimeCallError(*_timed_out(transition, seconds))


def _timed_out(transition: str, seconds: float) -> tuple[str, str]:
    return "DockerTimeoutError", f"Could not transition to {transition}; timed out after waiting {seconds:.0f}s"


def _filters(owner: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in owner.items()]
