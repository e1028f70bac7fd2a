"""What is made for tasks besides their containers: volumes, the network of tasks with addresses of their own, cgroups.

Everything is made when the first container that needs it is created, carries the agent's labels, and can be made twice.
Calls block; they run in the runtime's threads. Source: amazon-ecs-agent `agent/taskresource/{volume,cgroup}`.
"""

import contextlib
import hashlib
import logging
import threading
from collections.abc import Iterator

import docker
import docker.errors
import requests

from agent.core.pause import pauses_of
from agent.core.spec import ContainerSpec, Internal, TaskSpec
from agent.runtime.cgroups import TaskCgroups, has_limits
from agent.runtime.connection import is_local
from agent.runtime.finishing import Surroundings
from agent.runtime.options import Options
from agent.runtime.port import RuntimeCallError
from agent.runtime.spec import INSTANCE_LABEL, TASK_LABEL, container_name
from agent.runtime.volumes import docker_volumes, volume_name

log = logging.getLogger(__name__)

NVIDIA_RUNTIME = "nvidia"
"""Name of NVIDIA's runtime in Docker. Source: amazon-ecs-agent, default of `ECS_NVIDIA_RUNTIME`."""


class Resources:
    """The resources of one agent's tasks."""

    def __init__(self, client: docker.APIClient, owner: dict[str, str], options: Options) -> None:
        """`owner` is a set of labels.

        Raises:
            NoCgroupsError: see there.
        """
        self._client = client
        self._owner = owner
        self._options = options
        self._cgroups = TaskCgroups.of_host(options, engine_is_v1=_is_local_v1(client))
        self._network = f"ecs-awsvpc-{hashlib.sha256(owner.get(INSTANCE_LABEL, '').encode()).hexdigest()[:12]}"
        self._network_lock = threading.Lock()

    @contextlib.contextmanager
    def made_for(self, task: TaskSpec, container: ContainerSpec) -> Iterator[Surroundings]:
        """See to what `container` needs; the container is to be created within the block.

        Raises:
            RuntimeCallError: something could not be made; the name says what.
        """
        for volume in docker_volumes(task, container):
            name = volume_name(task, volume)
            with _named("CannotCreateVolumeError"):
                if volume.is_shared and not volume.autoprovision:
                    self._client.inspect_volume(name)
                    continue
                labels = {**volume.labels, **({} if volume.is_shared else {**self._owner, TASK_LABEL: task.arn})}
                self._client.create_volume(name, volume.driver, volume.driver_options, labels)
        parent = self._cgroup(task)
        needs_network = container.internal is Internal.NETWORK
        with self._network_lock if needs_network else contextlib.nullcontext():
            if needs_network:
                self._see_to_network()
            held = {} if container.internal else self._holders(task)
            yield Surroundings(
                network=self._network,
                network_holder=held.get(Internal.NETWORK, ""),
                namespace_holder=held.get(Internal.NAMESPACE, ""),
                gpu_runtime=self._gpu_runtime() if container.gpu_ids else "",
                cgroup_parent=parent,
            )

    def remove(self, task: TaskSpec) -> None:
        """Remove what was made for `task`; its containers have gone.

        Raises:
            RuntimeCallError: something could not be removed.
        """
        for volume in task.volumes:
            if not volume.is_shared and not volume.host_path:
                with _named("CannotRemoveVolumeError"), contextlib.suppress(docker.errors.NotFound):
                    self._client.remove_volume(volume_name(task, volume))
        if self._cgroups is not None and has_limits(task):
            with _named("CgroupError"):
                self._cgroups.remove(task)
        if task.network_mode == "awsvpc":
            with _named("CannotRemoveNetworkError"), self._network_lock:
                self._drop_network()

    def remove_orphans(self, known: frozenset[str]) -> None:
        """Remove what is left of tasks (ARN) that are not `known`: the agent ended between forgetting and removing.

        Raises:
            RuntimeCallError: Docker would not.
        """
        mine = [f"{name}={value}" for name, value in self._owner.items()]
        with _named("CannotRemoveContainerError"):
            for row in self._client.containers(all=True, filters={"label": mine, "status": ["exited", "created"]}):
                if row["Labels"].get(TASK_LABEL) not in known:
                    self._client.remove_container(row["Id"], v=True)
        with _named("CannotRemoveVolumeError"):
            for volume in self._client.volumes({"label": mine})["Volumes"] or ():
                if volume["Labels"].get(TASK_LABEL) not in known:
                    self._client.remove_volume(volume["Name"])
        with _named("CannotRemoveNetworkError"), self._network_lock:
            self._drop_network()

    def containers_left(self, task: TaskSpec) -> bool:
        """Whether Docker still has containers of `task`."""
        with _named("CannotListContainersError"):
            return bool(self._client.containers(all=True, quiet=True, filters={"label": f"{TASK_LABEL}={task.arn}"}))

    def _gpu_runtime(self) -> str:
        if self._options.gpu_runtime:
            return self._options.gpu_runtime
        with _named("CannotInspectEngineError"):
            has_nvidias = NVIDIA_RUNTIME in (self._client.info().get("Runtimes") or {})
        if not has_nvidias:
            log.warning("Docker has no runtime %s: a container is told its GPUs and gets no device.", NVIDIA_RUNTIME)
        return NVIDIA_RUNTIME if has_nvidias else ""

    def _cgroup(self, task: TaskSpec) -> str:
        if self._cgroups is None or not has_limits(task):
            return ""
        with _named("CgroupError"):
            self._cgroups.make(task)
        return self._cgroups.parent(task)

    def _holders(self, task: TaskSpec) -> dict[Internal, str]:
        with _named("CannotInspectContainerError"):
            return {
                pause.internal: self._client.inspect_container(container_name(task, pause))["Id"]
                for pause in pauses_of(task)
            }

    def _see_to_network(self) -> None:
        with _named("CannotCreateNetworkError"):
            if not self._client.networks(names=[self._network]):
                self._client.create_network(self._network, driver="bridge", labels=self._owner, check_duplicate=True)

    def _drop_network(self) -> None:
        """A container that is created and not started needs it, too."""
        if not self._client.containers(all=True, quiet=True, filters={"network": self._network}):
            with contextlib.suppress(docker.errors.NotFound):
                self._client.remove_network(self._network)


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except (docker.errors.APIError, requests.exceptions.RequestException, OSError) as error:
        said = error.explanation if isinstance(error, docker.errors.APIError) else None
        raise RuntimeCallError(name, str(said or error)) from error


def _is_local_v1(client: docker.APIClient) -> bool:
    """Whether cgroups that we make are those that the engine's containers live in."""
    try:
        said = client.info()
    except (docker.errors.APIError, requests.exceptions.RequestException):
        return False
    return is_local(client) and said.get("CgroupVersion") == "1" and said.get("CgroupDriver") == "cgroupfs"
