"""`overrides` of RunTask and StartTask, held against the task definition that they are laid over.

Source: API reference, `TaskOverride`, `ContainerOverride`; error texts as AWS gives them where they are known.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from controlplane.api import limits
from controlplane.api.definition_checks import has_whole_gpus
from controlplane.core.cost import cpu_units, mebibytes, overridden
from wire.errors import InvalidParameterException

CHARACTERS_MAX = 8192
"""Of their JSON. Source: API reference, RunTask `overrides`."""


def check(body: Mapping[str, Any], overrides: Mapping[str, Any]) -> None:
    """Refuse overrides that the definition (`body`) has no container for, or that contradict it or themselves.

    Raises:
        InvalidParameterException: one sentence.
        ClientException: our agents could not act on them.
    """
    if not overrides:
        return
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
        sentence = _fault(container, limit)
        if sentence is not None:
            raise InvalidParameterException(f"Invalid setting for container '{container['name']}'. {sentence}")


def _fault(container: Mapping[str, Any], limit_mib: int | None) -> str | None:
    """What is wrong with a container as it comes out of the overrides; `limit_mib` is the whole task's memory."""
    memory, reservation = container.get("memory", 0), container.get("memoryReservation", 0)
    files = [file["value"] for file in container.get("environmentFiles", ())]
    rules = {
        "Sizes must not be negative.": min(container.get("cpu", 0), memory, reservation) >= 0,
        "'memory' must cover 'memoryReservation'.": not memory or reservation <= memory,
        f"The task's memory is {limit_mib} MiB, less than the container's.": (
            limit_mib is None or max(memory, reservation) <= limit_mib
        ),
        "A number of GPUs is a whole number of at least 1.": has_whole_gpus(container),
        "An environment file is the S3 ARN of an object whose name ends with '.env'.": all(
            value.startswith("arn:aws:s3:::") and value.endswith(".env") for value in files
        ),
    }
    return next((sentence for sentence, is_kept in rules.items() if not is_kept), None)
