"""What a host says about the tasks that it runs: the part of the agent's configuration that its runtime needs."""

from enum import StrEnum
from pathlib import Path

import msgspec


class TaskLimits(StrEnum):
    """`ECS_ENABLE_TASK_CPU_MEM_LIMIT`: whether a task's own cpu and memory are held."""

    AUTO = ""
    """By a cgroup of the task's where one can be made, else by its containers' limits."""
    ON = "true"
    """By a cgroup; an agent that cannot make one ends."""
    OFF = "false"
    """Not at all."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How this host runs containers. The defaults are Amazon's where the variable is."""

    task_limits: TaskLimits = TaskLimits.AUTO
    cgroup_root: Path = Path("/sys/fs/cgroup")
    cgroup_period_us: int = 100_000
    """`ECS_CGROUP_CPU_PERIOD`."""
    pids_limit: int = 0
    """`ECS_TASK_PIDS_LIMIT`; 0 is none."""
    refuse_privileged: bool = False
    """`ECS_DISABLE_PRIVILEGED`."""
    gpu_runtime: str = ""
    """`ECS_NVIDIA_RUNTIME`: Docker's runtime for containers with GPUs; "": NVIDIA's where the engine has it."""
    pause_image: str = "berth/pause:latest"
    create_seconds: int = 240
    """`ECS_CONTAINER_CREATE_TIMEOUT`."""
    start_seconds: int = 240
    """`ECS_CONTAINER_START_TIMEOUT`."""
    secrets: str = ""
    """`BERTH_SECRETS`: path of a JSON file, or URL prefix."""
