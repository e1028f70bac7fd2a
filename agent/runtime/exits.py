"""Who tells an exit first: containerd where it can be heard, else Docker's event. Both may; one is enough.

Whether memory ran out, the container's cgroup says then; where it says nothing, a SIGKILL that nobody here sent is not
believed (Docker's `oom` may come after its `die`). Nor is the end of a container with published ports: they are free
when Docker says so, not when the process is gone.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from agent.runtime.containerd import ExitEvents
from agent.runtime.inspected import OUT_OF_MEMORY, epoch_seconds
from agent.runtime.memory import kill_counter, was_killed
from agent.runtime.port import ContainerLife, Found
from agent.runtime.spec import CONTAINER_LABEL, TASK_LABEL

KILLED = 137
"""128 + SIGKILL."""


class Exits:
    """Follows containers that run. `on_end` is told what containerd knows."""

    def __init__(self, on_end: Callable[[Found], None]) -> None:
        self._on_end = on_end
        self._events = ExitEvents()
        self._started_at: dict[str, float] = {}
        self._killed: set[str] = set()
        self._told: set[str] = set()
        self._counters: dict[str, Path] = {}
        self._ran_out: dict[str, bool] = {}
        """Whether memory ran out, of those who have ended."""

    def follow(self, inspected: dict[str, Any]) -> None:
        """A container as Docker has it; followed where it runs. Following it twice changes nothing."""
        docker_id, state = inspected["Id"], inspected["State"]
        started_at = epoch_seconds(state["StartedAt"])
        if not state["Running"] or started_at is None:
            return
        if self._started_at.get(docker_id) != started_at:
            self._events.forget(docker_id)
            self._killed.discard(docker_id)
            self._told.discard(docker_id)
            self._ran_out.pop(docker_id, None)
            self._started_at[docker_id] = started_at
        labels = inspected["Config"]["Labels"]
        found = Found(
            docker_id=docker_id,
            task=labels.get(TASK_LABEL, ""),
            container=labels.get(CONTAINER_LABEL, ""),
            life=ContainerLife.EXITED,
        )
        has_ports = bool(inspected["HostConfig"].get("PortBindings"))
        if self._events.follow(
            docker_id, state["Pid"], lambda code, at: self._ended(found, code, at, has_ports=has_ports)
        ):
            counter = kill_counter(docker_id, state["Pid"])
            if counter is not None:
                self._counters[docker_id] = counter

    def killed(self, docker_id: str) -> None:
        """We are about to send SIGKILL."""
        self._killed.add(docker_id)

    def is_strange(self, docker_id: str, exit_code: int | None) -> bool:
        """Whether it ended by a SIGKILL that nobody here sent, and it is not known whether memory ran out."""
        return exit_code == KILLED and docker_id not in self._killed and docker_id not in self._ran_out

    def ran_out(self, docker_id: str) -> bool:
        """Whether memory is known to have run out in the life that has ended."""
        return self._ran_out.get(docker_id, False)

    def is_old(self, docker_id: str, at: float) -> bool:
        """Whether a `die` of that time (epoch seconds, Docker's) is of a life before, or has been told of this one."""
        return docker_id in self._told or at < self._started_at.get(docker_id, 0.0)

    def forget(self, docker_id: str) -> None:
        """The container is removed."""
        self._events.forget(docker_id)
        self._counters.pop(docker_id, None)
        self._ran_out.pop(docker_id, None)
        self._started_at.pop(docker_id, None)
        self._killed.discard(docker_id)
        self._told.discard(docker_id)

    async def close(self) -> None:
        """Follow nothing any more."""
        await self._events.close()

    def _ended(self, found: Found, code: int, at: float, *, has_ports: bool) -> None:
        docker_id = found.docker_id
        if self.is_old(docker_id, at):
            return
        self._events.forget(docker_id)
        counter = self._counters.pop(docker_id, None)
        ran_out = was_killed(counter) if counter is not None else None
        if ran_out is not None:
            self._ran_out[docker_id] = ran_out
        if has_ports or self.is_strange(docker_id, code):
            return
        self._told.add(docker_id)
        error = OUT_OF_MEMORY if ran_out else ""
        self._on_end(msgspec.structs.replace(found, exit_code=code, finished_at=at, error=error))
