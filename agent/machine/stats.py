"""What a container uses, read from its cgroup and its network namespace: no call to Docker, no stream held open.

One reading is a handful of small kernel files. Both cgroup versions; with Docker's cgroupfs and systemd drivers; also
below a cgroup of the task's own (`/ecs/<task id>`). What cannot be read is absent, never an error.
Source: Linux `Documentation/admin-guide/cgroup-v1`, `cgroup-v2.rst`; amazon-ecs-agent `agent/stats/utils_unix.go`.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

NANOSECONDS = 1_000_000_000
_LOOPBACK = "lo"
_NET_COLUMNS = 12
"""Columns of /proc/net/dev up to the last that is read."""


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of all interfaces but the loopback, since the container started."""

    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a container."""

    at: float
    """Epoch seconds."""
    cpu_nanoseconds: int
    """CPU time since the container started."""
    memory_bytes: int
    """With the page cache."""
    cache_bytes: int = 0
    memory_limit_bytes: int | None = None
    """None where there is none."""
    read_bytes: int = 0
    written_bytes: int = 0
    network: Network | None = None
    """None where the container has no network of its own."""


class Cgroups:
    """Where the containers' cgroups are, and how they are read."""

    def __init__(self, root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc")) -> None:
        self._root = root
        self._proc = proc
        self._is_v2 = (root / "cgroup.controllers").exists()

    def read(self, docker_id: str, task_id: str = "") -> Reading | None:
        """What the container uses now; None where it has no cgroup here (it has ended, or Docker is elsewhere)."""
        for path in _places(docker_id, task_id):
            with contextlib.suppress(OSError, ValueError, LookupError):
                return self._read_v2(path) if self._is_v2 else self._read_v1(path)
        return None

    def _read_v1(self, path: str) -> Reading:
        memory = self._root / "memory" / path
        stat = _pairs(memory / "memory.stat")
        limit = _number(memory / "memory.limit_in_bytes")
        io = _io_v1(self._root / "blkio" / path / "blkio.throttle.io_service_bytes")
        return Reading(
            at=time.time(),
            cpu_nanoseconds=_number(self._root / "cpuacct" / path / "cpuacct.usage"),
            memory_bytes=_number(memory / "memory.usage_in_bytes"),
            cache_bytes=stat.get("total_cache", stat.get("cache", 0)),
            memory_limit_bytes=limit if limit < 1 << 62 else None,
            read_bytes=io[0],
            written_bytes=io[1],
            network=self._network(memory / "cgroup.procs"),
        )

    def _read_v2(self, path: str) -> Reading:
        group = self._root / path
        limit = (group / "memory.max").read_text().strip()
        io = _io_v2(group / "io.stat")
        return Reading(
            at=time.time(),
            cpu_nanoseconds=_pairs(group / "cpu.stat")["usage_usec"] * 1000,
            memory_bytes=_number(group / "memory.current"),
            cache_bytes=_pairs(group / "memory.stat").get("file", 0),
            memory_limit_bytes=None if limit == "max" else int(limit),
            read_bytes=io[0],
            written_bytes=io[1],
            network=self._network(group / "cgroup.procs"),
        )

    def _network(self, procs: Path) -> Network | None:
        with contextlib.suppress(OSError, ValueError, LookupError):
            process = self._proc / procs.read_text().split(maxsplit=1)[0]
            if _namespace(process) == _namespace(self._proc / "self"):
                return None  # the host's own network
            return _network(process / "net" / "dev")
        return None


def cpu_percent(before: Reading, after: Reading, cores: float) -> float | None:
    """CPU between two readings, percent of `cores`; None where no time has passed, or it ran backwards."""
    elapsed = (after.at - before.at) * NANOSECONDS
    used = after.cpu_nanoseconds - before.cpu_nanoseconds
    return used / (elapsed * cores) * 100 if elapsed > 0 and used >= 0 else None


def _places(docker_id: str, task_id: str) -> Iterator[str]:
    if task_id:
        yield f"ecs/{task_id}/{docker_id}"
        yield f"ecstasks.slice/ecstasks-{task_id}.slice/docker-{docker_id}.scope"
    yield f"docker/{docker_id}"
    yield f"system.slice/docker-{docker_id}.scope"


def _number(path: Path) -> int:
    return int(path.read_text())


def _pairs(path: Path) -> dict[str, int]:
    lines = (line.split() for line in path.read_text().splitlines())
    return {name: int(value) for name, value in lines}


def _io_v1(path: Path) -> tuple[int, int]:
    """Lines such as `8:0 Read 4096`."""
    done = {"Read": 0, "Write": 0}
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            _, _, operation = line.partition(" ")
            name, _, value = operation.partition(" ")
            if name in done:
                done[name] += int(value)
    return done["Read"], done["Write"]


def _io_v2(path: Path) -> tuple[int, int]:
    """Lines such as `8:0 rbytes=4096 wbytes=0 rios=1`."""
    done = {"rbytes": 0, "wbytes": 0}
    with contextlib.suppress(OSError):
        for field in path.read_text().split():
            name, _, value = field.partition("=")
            if name in done:
                done[name] += int(value)
    return done["rbytes"], done["wbytes"]


def _namespace(process: Path) -> str:
    return str((process / "ns" / "net").readlink())


def _network(path: Path) -> Network | None:
    """`/proc/<pid>/net/dev`: two lines of headings, then `eth0: <8 of receiving> <8 of sending>`."""
    rows = []
    for line in path.read_text().splitlines()[2:]:
        name, _, rest = line.partition(":")
        numbers = [int(field) for field in rest.split()]
        if name.strip() != _LOOPBACK and len(numbers) >= _NET_COLUMNS:
            rows.append([*numbers[0:4], *numbers[8:12]])
    if not rows:
        return None
    return Network(**dict(zip(Network.__struct_fields__, map(sum, zip(*rows, strict=True)), strict=True)))
