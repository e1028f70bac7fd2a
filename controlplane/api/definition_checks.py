"""What AWS or Docker would refuse in a task definition's volumes, network, secrets, logs and Linux parameters.

Source: API reference, `Volume`, `ContainerDefinition`, `LinuxParameters`; error texts as AWS gives them where known.
"""

from collections.abc import Mapping
from typing import Any

from controlplane.core.placement.constraints import refuse
from wire.errors import ClientException
from wire.logs import AWSLOGS
from wire.numerals import whole

NOT_IN_AWSVPC = ("hostname", "links", "dnsServers", "dnsSearchDomains", "extraHosts")
"""Members of a container that a network namespace shared with others has no room for."""
SWAPPINESS_MAX = 100

_SAME_PORTS = ("awsvpc", "host")
"""Network modes in which a container has no other port than its own."""


def check_rest(body: Mapping[str, Any]) -> None:
    """Refuse what cannot be run as it says.

    Raises:
        ClientException: one sentence.
    """
    volumes = body.get("volumes", ())
    names = [volume.get("name", "") for volume in volumes]
    for volume in volumes:
        _check_volume(volume, names)
    sentence = refuse(body.get("placementConstraints", ()))
    if sentence is not None:
        raise ClientException(sentence)
    for container in body["containerDefinitions"]:
        _check_mounts(container, names)
        _check_references(container)
        _check_log(container)
        _check_linux(container)
        if not has_whole_gpus(container):
            raise _invalid(container, "A number of GPUs is a whole number of at least 1.")
        if body.get("networkMode") in _SAME_PORTS:
            _check_ports(container, body["networkMode"])
        if body.get("networkMode") == "awsvpc":
            _check_awsvpc(container)


def has_whole_gpus(container: Mapping[str, Any]) -> bool:
    """Whether the numbers of GPUs that a container, or an override of one, asks for are numbers."""
    wanted = (each for each in container.get("resourceRequirements", ()) if each["type"] == "GPU")
    return all(whole(each.get("value", "")) for each in wanted)


def _check_volume(volume: Mapping[str, Any], names: list[str]) -> None:
    name = volume.get("name", "")
    if not name:
        raise ClientException("Volume.name should not be null or empty.")
    if names.count(name) > 1:
        raise ClientException(f"Volume names must be unique: {name!r} is used {names.count(name)} times.")
    docker = volume.get("dockerVolumeConfiguration")
    if docker is None:
        return
    if "host" in volume:
        raise ClientException(f"Volume {name!r} is either of the host or of Docker, not both.")
    if docker.get("autoprovision") and docker.get("scope", "task") != "shared":
        raise ClientException(f"Volume {name!r}: autoprovision is for volumes of the scope shared.")


def _check_mounts(container: Mapping[str, Any], names: list[str]) -> None:
    for mount in container.get("mountPoints", ()):
        if mount.get("sourceVolume", "") not in names:
            raise ClientException(f"Unknown volume '{mount.get('sourceVolume', '')}'.")
        if not mount.get("containerPath"):
            raise _invalid(container, "A mount point needs a 'containerPath'.")


def _check_references(container: Mapping[str, Any]) -> None:
    explicit = {pair.get("name") for pair in container.get("environment", ())}
    for secret in container.get("secrets", ()):
        if secret["name"] in explicit:
            raise ClientException(
                f"The secret name must be unique and not shared with any new or existing environment variables set on "
                f"the container, such as '{secret['name']}'."
            )
    for file in container.get("environmentFiles", ()):
        if not (file["value"].startswith("arn:aws:s3:::") and file["value"].endswith(".env")):
            raise _invalid(container, "An environment file is the S3 ARN of an object whose name ends with '.env'.")


def _check_log(container: Mapping[str, Any]) -> None:
    log = container.get("logConfiguration", {})
    if log.get("logDriver") == AWSLOGS and not log.get("options", {}).get("awslogs-group"):
        raise ClientException("Log driver awslogs requires options: awslogs-region, awslogs-group.")


def _check_linux(container: Mapping[str, Any]) -> None:
    linux = container.get("linuxParameters", {})
    if not 0 <= linux.get("swappiness", 0) <= SWAPPINESS_MAX:
        raise _invalid(container, f"'swappiness' must be between 0 and {SWAPPINESS_MAX}.")
    if linux.get("maxSwap", 0) < 0 or linux.get("sharedMemorySize", 0) < 0:
        raise _invalid(container, "'maxSwap' and 'sharedMemorySize' must not be negative.")
    if linux.get("maxSwap") is not None and not container.get("memory"):
        raise _invalid(container, "'maxSwap' needs a hard limit, 'memory', to be added to.")


def _check_awsvpc(container: Mapping[str, Any]) -> None:
    for member in NOT_IN_AWSVPC:
        if container.get(member):
            raise _invalid(container, f"'{member}' is not supported when networkMode 'awsvpc' is specified.")


def _check_ports(container: Mapping[str, Any], mode: str) -> None:
    for mapping in container.get("portMappings", ()):
        if mapping.get("hostPort") and mapping["hostPort"] != mapping.get("containerPort"):
            raise ClientException(
                f"When networkMode={mode}, the host ports and container ports in port mappings must match."
            )


def _invalid(container: Mapping[str, Any], sentence: str) -> ClientException:
    return ClientException(f"Invalid setting for container '{container['name']}'. {sentence}")
