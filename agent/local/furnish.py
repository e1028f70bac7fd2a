"""What the agent adds to a container: the addresses of its endpoints, its region, and its metadata file.

The task's own variables win for the region alone, as with Amazon's agent. Source: amazon-ecs-agent
`agent/engine/docker_task_engine.go` (createContainer), `agent/containermetadata` (the file).
"""

import logging
import shutil
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from agent.core.spec import ContainerSpec, Port, TaskSpec
from agent.local.books import Inspected, networks
from agent.local.identifiers import Identifiers
from agent.local.listen import LOOPBACK
from agent.runtime.inspected import bound_ports

log = logging.getLogger(__name__)

FILE = "ecs-container-metadata.json"
INSIDE = Path("/opt/ecs/metadata")


class Roles(NamedTuple):
    """Whether tasks of the network mode `host`, and all others, are shown where the credentials of their role are."""

    on_host: bool = True
    elsewhere: bool = True


ALL_ROLES = Roles()


class Furnisher:
    """Furnishes the containers of one agent."""

    def __init__(
        self, identifiers: Identifiers, *, base: str, region: str, file: "MetadataFile | None", roles: Roles = ALL_ROLES
    ) -> None:
        """`base` as in `listen.Ports`; `file` None where `ECS_ENABLE_CONTAINER_METADATA` is off."""
        self._identifiers = identifiers
        self._base = base
        self._region = region
        self._file = file
        self._roles = roles

    def furnish(self, task: TaskSpec, container: ContainerSpec, image_variables: Collection[str]) -> ContainerSpec:
        """The container with what the agent adds; `image_variables` are the names that its image sets.

        Raises:
            OSError: its metadata file cannot be written.
        """
        added = self.environment(task, container, image_variables)
        host_config = container.host_config
        if self._file is not None:
            host_config, variable = self._file.begin(task, container)
            added |= variable
        environment = {**container.environment, **added}
        return msgspec.structs.replace(container, environment=environment, host_config=host_config)

    def environment(self, task: TaskSpec, container: ContainerSpec, image_variables: Collection[str]) -> dict[str, str]:
        """The variables."""
        added = {}
        if self._base:
            endpoint = self._identifiers.endpoint(task.arn, container.name)
            added = {
                "ECS_CONTAINER_METADATA_URI": f"{self._base}/v3/{endpoint}",
                "ECS_CONTAINER_METADATA_URI_V4": f"{self._base}/v4/{endpoint}",
                "ECS_AGENT_URI": f"{self._base}/api/{endpoint}",
            }
        if task.credentials_id and (self._roles.on_host if task.network_mode == "host" else self._roles.elsewhere):
            added |= self._credentials(task)
        regions = ("AWS_REGION", "AWS_DEFAULT_REGION")
        if not any(name in container.environment or name in image_variables for name in regions):
            added |= dict.fromkeys(regions, self._region)
        return added

    def _credentials(self, task: TaskSpec) -> dict[str, str]:
        """SDKs take them from 169.254.170.2 (relative) or from the loopback (full), which in host mode is ours."""
        path, port = f"/v2/credentials/{task.credentials_id}", self._base.rpartition(":")[2]
        if task.network_mode == "host" and port.isdigit():
            return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{LOOPBACK}:{port}{path}"}
        return {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": path}

    def started(self, task: str, container: str, inspected: Inspected) -> None:
        """The container runs: complete its file."""
        if self._file is not None:
            self._file.complete(task, container, inspected)

    def removed(self) -> None:
        """A container was removed: drop what belongs to none any more."""
        if self._file is not None:
            self._file.sweep()


class MetadataFile:
    """One JSON file per container, in a folder of its own that is mounted into it.

    Members: `Cluster` ... `PortMappings`, `Networks` and `MetadataFileStatus` (`READY` once it is complete).
    """

    def __init__(
        self,
        identifiers: Identifiers,
        *,
        folder: Path,
        host_folder: Path,
        known: dict[str, str],
        tasks: Callable[[], Iterable[tuple[str, str]]],
    ) -> None:
        """Prepare; nothing is written yet.

        `host_folder` is `folder` as Docker finds it; `known` are members that are the same for all containers; `tasks`
        tells (task ARN, container name) of all that the agent has.
        """
        self._identifiers = identifiers
        self._folder = folder
        self._host_folder = host_folder
        self._known = known
        self._tasks = tasks

    def begin(self, task: TaskSpec, container: ContainerSpec) -> tuple[str, dict[str, str]]:
        """Write what is known before the create. Returns Docker's HostConfig with the mount, and the variable."""
        name = self._identifiers.folder(task.arn, container.name)
        members = {
            **self._known,
            "TaskARN": task.arn,
            "TaskDefinitionFamily": task.family,
            "TaskDefinitionRevision": task.version,
            "ContainerName": container.name,
            "ImageName": container.image,
        }
        self._write(name, members)
        host_config: dict[str, Any] = msgspec.json.decode(container.host_config or "{}")
        host_config["Binds"] = [*(host_config.get("Binds") or ()), f"{self._host_folder / name}:{INSIDE / name}"]
        inside = str(INSIDE / name / FILE)
        return msgspec.json.encode(host_config).decode(), {"ECS_CONTAINER_METADATA_FILE": inside}

    def complete(self, task: str, container: str, inspected: Inspected) -> None:
        """Add what only the running container shows. A file that cannot be written is a warning, not a failed task."""
        name = self._identifiers.folder(task, container)
        try:
            members: dict[str, Any] = msgspec.json.decode((self._folder / name / FILE).read_bytes())
            self._write(name, {**members, **_of_running(inspected), "MetadataFileStatus": "READY"})
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("The metadata file of %s in %s is not complete: %s", container, task, error)

    def sweep(self) -> None:
        """Remove the folders of containers that the agent does not know any more."""
        known = {self._identifiers.folder(task, container) for task, container in self._tasks()}
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)

    def _write(self, name: str, members: dict[str, Any]) -> None:
        """Whole or not at all: a container may read at any moment."""
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f".{FILE}"
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(members), indent=4))
        fresh.chmod(0o644)
        fresh.replace(folder / FILE)


def _of_running(inspected: Inspected) -> dict[str, Any]:
    mode = (inspected.get("HostConfig") or {}).get("NetworkMode", "default")
    ports = bound_ports((inspected.get("NetworkSettings") or {}).get("Ports"))
    return {
        "ContainerID": inspected["Id"],
        "DockerContainerName": f"/{inspected['Name'].lstrip('/')}",
        "ImageID": inspected["Image"],
        "PortMappings": [_mapping(port) for port in ports],
        "Networks": [{"NetworkMode": mode, "IPv4Addresses": [address]} for _, address in networks(inspected)],
    }


def _mapping(port: Port) -> dict[str, Any]:
    return {
        "ContainerPort": port.container_port,
        "HostPort": port.host_port,
        "BindIp": "0.0.0.0",  # noqa: S104 - Docker's own default
        "Protocol": port.protocol,
    }
