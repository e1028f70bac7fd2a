"""`overrides` of RunTask and StartTask, held against the task definition that they are laid over.

Source: API reference, `TaskOverride`, `ContainerOverride`; error texts as AWS gives them where they are known.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from controlplane.api import limits
from controlplane.core.cost import cpu_units, mebibytes, overridden
from wire.errors import InvalidParameterException

CHARACTERS_MAX = 8192
"""Of their JSON. Source: API reference, RunTask `overrides`."""

_SIZES = ("cpu", "memory", "memoryReservation")


def check(body: Mapping[str, Any], overrides: Mapping[str, Any]) -> None:
    """Refuse overrides that the definition (`body`) has no container for, or that contradict it or themselves.

    Raises:
        InvalidParameterException: one sentence.
        ClientException: our agents could not act on them.
    """
    if len(msgspec.json.encode(overrides).decode()) > CHARACTERS_MAX:
        raise InvalidParameterException(f"Container Overrides length must be at most {CHARACTERS_MAX}")
    names = {container["name"] for container in body["containerDefinitions"]}
    given = [override.get("name") for override in overrides.get("containerOverrides", ())]
    for name in given:
        if name not in names:
            raise InvalidParameterException(
                f"Override for container named {name} is not a container in the TaskDefinition."
            )
        if given.count(name) > 1:
            raise InvalidParameterException(f"The container {name} is overridden more than once.")
    limits.refuse_overrides(overrides)
    _check_sizes(body, overrides)


def _check_sizes(body: Mapping[str, Any], overrides: Mapping[str, Any]) -> None:
    try:
        for member, read in (("cpu", cpu_units), ("memory", mebibytes)):
            if overrides.get(member) and read(overrides[member]) <= 0:
                raise InvalidParameterException(f"Invalid setting for task: {member} must be more than 0.")
        memory = overrides.get("memory") or body.get("memory")
        limit = mebibytes(memory) if memory else None
    except ValueError as error:
        raise InvalidParameterException(str(error)) from None
    for container in overridden(body, overrides):
        name = container["name"]
        if any(container.get(member, 0) < 0 for member in _SIZES):
            raise InvalidParameterException(f"Invalid setting for container '{name}'. Sizes must not be negative.")
        largest = max(container.get("memory", 0), container.get("memoryReservation", 0))
        if container.get("memory") and container.get("memoryReservation", 0) > container["memory"]:
            raise InvalidParameterException(
                f"Invalid setting for container '{name}'. 'memory' must cover 'memoryReservation'."
            )
        if limit is not None and largest > limit:
            raise InvalidParameterException(
                f"Invalid setting for container '{name}'. The task's memory is {limit} MiB, less than the container's."
            )
        for file in container.get("environmentFiles", ()):
            if not (file["value"].startswith("arn:aws:s3:::") and file["value"].endswith(".env")):
                raise InvalidParameterException(
                    f"Invalid setting for container '{name}'. An environment file is the S3 ARN of an object "
                    "whose name ends with '.env'."
                )
