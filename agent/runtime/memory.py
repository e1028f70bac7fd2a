"""Whether the kernel has killed in a container for want of memory: its cgroup counts that, before it sends the signal.

The path is found while the first process lives; the cgroup is there until Docker has cleaned up after the container's
end. Where it cannot be read, nothing is known. Source: Linux `mm/oom_kill.c`; `Documentation/admin-guide/cgroup-v2.rst`
(`memory.events`), `cgroup-v1/memory.rst` (`memory.oom_control`).
"""

from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
_COUNT = "oom_kill "


def kill_counter(docker_id: str, pid: int, *, proc: Path = Path("/proc"), cgroups: Path = CGROUPS) -> Path | None:
    """The file that counts in the memory cgroup of a container whose first process is `pid`; None: not to be seen."""
    try:
        rows = (proc / str(pid) / "cgroup").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for row in rows:
        _, controllers, path = row.split(":", 2)
        if docker_id not in path:
            continue
        if "memory" in controllers.split(","):
            return cgroups / "memory" / path.lstrip("/") / "memory.oom_control"
        if not controllers:
            v2 = cgroups / path.lstrip("/") / "memory.events"
            if v2.exists():  # else it is the tree without controllers that stands beside those of version 1
                return v2
    return None


def was_killed(counter: Path) -> bool | None:
    """Whether a process was killed there; None: the cgroup is gone, or counts nothing."""
    try:
        rows = counter.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return next((row.removeprefix(_COUNT) != "0" for row in rows if row.startswith(_COUNT)), None)
