"""The host's GPUs: those of Amazon's information file, or as many as a declared instance type has, made up.

Source: amazon-ecs-agent `agent/gpu/nvidia_gpu_manager_unix.go`: ecs-init writes the file, the agent reads it when
`ECS_ENABLE_GPU_SUPPORT` is set, and goes on without GPUs where it is missing.
"""

import uuid
from pathlib import Path

import msgspec

INFORMATION_FILE = Path("/var/lib/ecs/gpu/nvidia-gpu-info.json")


class Gpus(msgspec.Struct, frozen=True):
    """What the host has; the file's own member names."""

    driver_version: str = msgspec.field(name="DriverVersion", default="")
    ids: frozenset[str] = msgspec.field(name="GPUIDs", default=frozenset())


def found(path: Path) -> Gpus | None:
    """What the information file says; None where there is none.

    Raises:
        ValueError: it cannot be read; one sentence.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Gpus)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise ValueError(f"The GPUs of this host cannot be read from {path}: {error}.") from error


def played(count: int, instance_id: str) -> Gpus:
    """`count` GPUs that are not there, of names that are this instance's alone, and always the same."""
    names = (uuid.uuid5(uuid.NAMESPACE_OID, f"{instance_id} {nth}") for nth in range(count))
    return Gpus(ids=frozenset(f"GPU-{name}" for name in names))
