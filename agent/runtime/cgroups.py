"""The limits of a task as a whole: a cgroup that its containers are made in, or their own limits scaled to it.

The cgroup is made under cgroup v1, where Docker's parent is a plain path. Elsewhere (cgroup v2, an agent that may not
write there, an engine of another machine) each container gets its part. Source: amazon-ecs-agent
`api/task/task_linux.go` (BuildCgroupRoot, buildLinuxResourceSpec), `taskresource/cgroup`.
"""

import contextlib
from pathlib import Path
from typing import Any

from agent.core.spec import BYTES_PER_MIB, ContainerSpec, TaskSpec
from agent.runtime.options import Options, TaskLimits

CPU_SHARES_MIN = 2
MEMORY_MIB_MIN = 6
"""Docker's own minimum."""
SCALED_PERIOD_US = 100_000
_LIMITED = ("cpu", "memory", "pids")


class NoCgroupsError(Exception):
    """`ECS_ENABLE_TASK_CPU_MEM_LIMIT=true` cannot be kept here; one sentence."""


def has_limits(task: TaskSpec) -> bool:
    """Whether the task has a size of its own."""
    return bool(task.cpu_vcpus or task.memory_mib)


class TaskCgroups:
    """Cgroups `/ecs/<task id>` of a host whose engine uses cgroup v1."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._root = options.cgroup_root

    @classmethod
    def of_host(cls, options: Options, *, engine_is_v1: bool) -> "TaskCgroups | None":
        """The host's, where it has some that we may write.

        Raises:
            NoCgroupsError: it has none, and is said to have.
        """
        if options.task_limits is TaskLimits.OFF:
            return None
        why = "" if engine_is_v1 else "its Docker Engine is not a local one on cgroup v1"
        try:
            for controller in _LIMITED:
                if not why:
                    (options.cgroup_root / controller / "ecs").mkdir(exist_ok=True)
        except OSError as error:
            why = f"{error.filename} cannot be made ({error.strerror})"
        if not why:
            return cls(options)
        if options.task_limits is TaskLimits.ON:
            raise NoCgroupsError(f"ECS_ENABLE_TASK_CPU_MEM_LIMIT=true cannot be kept on this host: {why}.")
        return None

    def parent(self, task: TaskSpec) -> str:
        """Docker's `CgroupParent` of the task's containers."""
        return f"/ecs/{_task_id(task)}"

    def make(self, task: TaskSpec) -> None:
        """Make the task's cgroup with its limits, or set them again.

        Raises:
            OSError: it cannot be made.
        """
        period_us = self._options.cgroup_period_us
        limits: dict[str, list[tuple[str, int]]] = {"cpu": [], "memory": [], "pids": []}
        if task.cpu_vcpus:
            limits["cpu"] += [
                ("cpu.cfs_period_us", period_us),
                ("cpu.cfs_quota_us", max(round(task.cpu_vcpus * period_us), 1000)),
            ]
        shares = round(task.cpu_vcpus * 1024) or sum(max(c.cpu, CPU_SHARES_MIN) for c in task.containers)
        limits["cpu"].append(("cpu.shares", shares))
        if task.memory_mib:
            limits["memory"].append(("memory.limit_in_bytes", task.memory_mib * BYTES_PER_MIB))
        if self._options.pids_limit:
            limits["pids"].append(("pids.max", self._options.pids_limit))
        for controller, values in limits.items():
            directory = self._directory(controller, task)
            directory.mkdir(parents=True, exist_ok=True)
            for name, value in values:
                (directory / name).write_text(str(value))

    def remove(self, task: TaskSpec) -> None:
        """Remove the task's cgroup in every controller: Docker has made it in those that we left alone.

        Raises:
            OSError: something still lives in it.
        """
        for controller in self._root.iterdir():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                self._directory(controller.name, task).rmdir()

    def _directory(self, controller: str, task: TaskSpec) -> Path:
        return self._root / controller / "ecs" / _task_id(task)


def scaled(task: TaskSpec, container: ContainerSpec) -> dict[str, Any]:
    """`HostConfig` members that hold one container to its part of the task's size.

    Of the CPU a container gets the part that its shares are of all the task's shares; memory that no hard limit has
    taken is divided among the containers without one.
    """
    host: dict[str, Any] = {}
    if task.cpu_vcpus:
        shares = {c.name: max(c.cpu, CPU_SHARES_MIN) for c in task.containers}
        part = shares[container.name] / sum(shares.values())
        host["CpuPeriod"] = SCALED_PERIOD_US
        host["CpuQuota"] = max(round(task.cpu_vcpus * part * SCALED_PERIOD_US), 1000)
    if task.memory_mib and not container.memory_mib:
        unlimited = sum(1 for c in task.containers if not c.memory_mib)
        left_mib = task.memory_mib - sum(c.memory_mib for c in task.containers)
        host["Memory"] = max(left_mib // unlimited, MEMORY_MIB_MIN) * BYTES_PER_MIB
    return host


def _task_id(task: TaskSpec) -> str:
    return task.arn.rsplit("/", 1)[-1]
