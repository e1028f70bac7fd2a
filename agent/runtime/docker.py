"""The runtime port over Docker Engine. In the product, this is the one module that imports `docker`.

The SDK is synchronous: calls go through a pool of four threads, the event stream has its own (`watch.py`).
Source of the error names: amazon-ecs-agent `dockerclient/dockerapi/errors.go`.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar

import docker
import docker.errors
import requests
from docker.utils import parse_repository_tag

from agent.core.spec import ContainerSpec, TaskSpec
from agent.runtime.port import (
    ContainerLife,
    Found,
    Furnishes,
    Listed,
    NotRunningError,
    OnExit,
    OnGap,
    PullBehavior,
    RuntimeCallError,
    UnreachableError,
)
from agent.runtime.spec import CONTAINER_LABEL, TASK_LABEL, bound_ports, container_name, create_config
from agent.runtime.watch import Die, EventStream

T = TypeVar("T")

THREADS = 4
QUICK_SECONDS = 30
"""Limit of inspect, list and kill. Source: `dockerclient/timeout.go`."""
SLOW_SECONDS = 240
"""Limit of create, start and remove. Source: `ECS_CONTAINER_CREATE_TIMEOUT`."""
HTTP_CONFLICT = 409


class DockerRuntime:
    """Containers of one agent on the local Docker Engine."""

    def __init__(
        self,
        owner: dict[str, str],
        pull: PullBehavior = PullBehavior.DEFAULT,
        furnisher: Furnishes | None = None,
    ) -> None:
        """`owner` is a set of labels: containers without them do not exist for this runtime."""
        self._owner = owner
        self._furnisher = furnisher
        self._pull = pull
        self._pool = ThreadPoolExecutor(THREADS, "docker")
        self._quick = connect(QUICK_SECONDS)
        self._slow = connect(SLOW_SECONDS)
        self._pulled: set[str] = set()
        self._without_ports: set[str] = set()
        self._stream: EventStream | None = None
        self._telling: set[asyncio.Task[None]] = set()

    async def _call(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def version(self) -> str:
        return str((await self._call(self._quick.version))["Version"])

    async def create(self, task: TaskSpec, container: ContainerSpec) -> Found:
        await self._call(lambda: self._see_to_image(container.image))
        return await self._call(lambda: self._create(task, container))

    def _create(self, task: TaskSpec, container: ContainerSpec) -> Found:
        name = container_name(task, container)
        try:
            container = self._furnished(task, container)
            config = create_config(task, container, self._owner)
            try:
                docker_id = self._slow.create_container_from_config(config, name)["Id"]  # type: ignore[no-untyped-call]
            except docker.errors.APIError as error:
                if error.status_code != HTTP_CONFLICT:
                    raise
                docker_id = name  # an earlier call of ours got this far before we were killed
            found = self._found(self._quick.inspect_container(docker_id))
        except requests.exceptions.Timeout as error:
            raise _timeout("created", SLOW_SECONDS) from error
        except (docker.errors.APIError, requests.exceptions.RequestException, ValueError, OSError) as error:
            raise RuntimeCallError("CannotCreateContainerError", explain(error)) from error
        if found.task != task.arn:
            raise RuntimeCallError("CannotCreateContainerError", f"the name {name} belongs to another container")
        if not config["HostConfig"].get("PortBindings"):
            self._without_ports.add(found.docker_id)
        return found

    def _furnished(self, task: TaskSpec, container: ContainerSpec) -> ContainerSpec:
        if self._furnisher is None:
            return container
        image = self._quick.inspect_image(container.image)  # type: ignore[no-untyped-call]
        variables = {pair.partition("=")[0] for pair in image["Config"].get("Env") or ()}
        return self._furnisher.furnish(task, container, variables)

    def _see_to_image(self, image: str) -> None:
        behavior = self._pull
        cached_will_do = behavior is PullBehavior.PREFER_CACHED or (
            behavior is PullBehavior.ONCE and image in self._pulled
        )
        if cached_will_do and self._is_local(image):
            return
        try:
            name, tag = parse_repository_tag(image)
            self._slow.pull(name, tag=tag or "latest")
            self._pulled.add(image)
        except (docker.errors.APIError, requests.exceptions.RequestException) as error:
            if behavior in (PullBehavior.ALWAYS, PullBehavior.ONCE) or not self._is_local(image):
                raise RuntimeCallError("CannotPullContainerError", explain(error)) from error

    def _is_local(self, image: str) -> bool:
        try:
            self._quick.inspect_image(image)  # type: ignore[no-untyped-call]
        except docker.errors.ImageNotFound:
            return False
        return True

    async def start(self, docker_id: str) -> Found:
        def start() -> Found:
            try:
                self._slow.start(docker_id)
                return self._started(self._quick.inspect_container(docker_id))
            except requests.exceptions.Timeout as error:
                raise _timeout("started", SLOW_SECONDS) from error
            except (docker.errors.APIError, requests.exceptions.RequestException) as error:
                raise RuntimeCallError("CannotStartContainerError", explain(error)) from error

        return await self._call(start)

    def _started(self, inspected: dict[str, Any]) -> Found:
        found = self._found(inspected)
        if self._furnisher is not None:
            self._furnisher.started(found.task, found.container, inspected)
        return found

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
                raise _timeout("stopped", QUICK_SECONDS) from error
            except requests.exceptions.RequestException as error:
                raise RuntimeCallError("CannotStopContainerError", explain(error)) from error

        await self._call(kill)

    async def inspect(self, docker_id: str) -> Found | None:
        def inspect() -> Found | None:
            try:
                return self._found(self._quick.inspect_container(docker_id))
            except docker.errors.NotFound:
                return None
            except (docker.errors.APIError, requests.exceptions.RequestException) as error:
                raise RuntimeCallError("CannotInspectContainerError", explain(error)) from error

        return await self._call(inspect)

    async def remove(self, docker_id: str) -> None:
        def remove() -> None:
            try:
                self._slow.remove_container(docker_id, v=True)
                if self._furnisher is not None:
                    self._furnisher.removed()
            except docker.errors.NotFound:
                pass
            except (docker.errors.APIError, requests.exceptions.RequestException) as error:
                raise RuntimeCallError("CannotRemoveContainerError", explain(error)) from error

        await self._call(remove)

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

    def watch(self, on_exit: OnExit, on_gap: OnGap) -> None:
        loop = asyncio.get_running_loop()

        def on_die(die: Die) -> None:
            telling = loop.create_task(self._tell_exit(die, on_exit))
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)

        self._stream = EventStream(loop, connect(None), _filters(self._owner), on_die, on_gap)
        self._stream.start()

    async def _tell_exit(self, die: Die, on_exit: OnExit) -> None:
        """The event says all that is needed, but for ports: Docker frees them after it, and then answers inspects."""
        found = Found(
            docker_id=die.docker_id,
            task=die.labels.get(TASK_LABEL, ""),
            container=die.labels.get(CONTAINER_LABEL, ""),
            life=ContainerLife.EXITED,
            finished_at=die.at,
            exit_code=die.exit_code,
            error=_OUT_OF_MEMORY if die.out_of_memory else "",
        )
        if die.docker_id not in self._without_ports:
            try:
                inspected = await self.inspect(die.docker_id)
            except RuntimeCallError:
                inspected = None  # the event is the truth that we have
            if inspected is not None and inspected.life is not ContainerLife.EXITED:
                return  # somebody has started it again: it has not ended
            found = inspected or found
        self._without_ports.discard(die.docker_id)
        on_exit(found)

    async def close(self) -> None:
        if self._stream is not None:
            self._stream.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _found(self, inspected: dict[str, Any]) -> Found:
        state, config = inspected["State"], inspected["Config"]
        started, finished = _epoch(state["StartedAt"]), _epoch(state["FinishedAt"])
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
            error=_OUT_OF_MEMORY if exited and state.get("OOMKilled") else "",
            ports=bound_ports(inspected["NetworkSettings"].get("Ports")),
        )


_OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"


def connect(timeout_seconds: int | None) -> docker.APIClient:
    """A client of the engine that `DOCKER_HOST` names, or of the local socket.

    Raises:
        UnreachableError: no engine answers, or its socket may not be opened; one sentence says what to do.
    """
    try:
        return docker.APIClient(
            version="auto",
            timeout=timeout_seconds,  # type: ignore[arg-type] # None is "for ever", as in requests
            num_pools=THREADS,
            **docker.utils.kwargs_from_env(),
        )
    except docker.errors.DockerException as error:
        raise UnreachableError(_why_unreachable(error)) from error


def sweep(run: str) -> int:
    """Remove every container that carries `berth.run=<run>`, running or not. Returns how many."""
    client = connect(SLOW_SECONDS)
    rows = client.containers(all=True, filters={"label": f"berth.run={run}"})
    for row in rows:
        try:
            client.remove_container(row["Id"], v=True, force=True)
        except docker.errors.NotFound:
            continue
    return len(rows)


def explain(error: Exception) -> str:
    """Docker's own words where it said something."""
    if isinstance(error, docker.errors.APIError) and error.explanation:
        return str(error.explanation)
    return str(error)


def _why_unreachable(error: Exception) -> str:
    text = str(error)
    if "Permission denied" in text or "PermissionError" in text:
        return "The Docker socket may not be opened by this user: join the group `docker`, or run as root."
    return (
        "No Docker Engine answers: start it (`systemctl start docker`, Docker Desktop, or `make engine` in a checkout)"
        " or point DOCKER_HOST at one."
    )


def _timeout(transition: str, seconds: float) -> RuntimeCallError:
    return RuntimeCallError(
        "DockerTimeoutError", f"Could not transition to {transition}; timed out after waiting {seconds:.0f}s"
    )


def _filters(owner: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in owner.items()]


def _epoch(text: str) -> float | None:
    """Docker's nanosecond timestamps as epoch seconds; None for its zero."""
    if text.startswith("0001"):
        return None
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(whole + "+00:00").timestamp() + float(f"0.{fraction or 0}")
