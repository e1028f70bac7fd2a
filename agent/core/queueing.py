"""The host's machine for admission: it owns the host ledger and the queue of tasks that wait for room.

Whoever is next under the queue's policy, and fits, is admitted *at the release itself*: `release` ends the hold and
answers with the tasks that it let in, so no wake-up can be lost (aws/amazon-ecs-agent#5138).
It knows amounts and order, and nothing of containers.

Source: amazon-ecs-agent `engine/host_resource_manager.go`, `docker_task_engine.go` (monitorQueuedTasks).
"""

from collections.abc import Callable, Iterable
from enum import StrEnum

import msgspec

from wire.holds import Hold, Ledger, Proof
from wire.resources import Amounts, Room


class QueuePolicy(StrEnum):
    """`ECS_TASK_QUEUE`: who may be admitted."""

    FIFO = "fifo"
    """The head, when it fits. Amazon's agent from 1.74.1."""
    SERIAL = "serial"
    """The head, when it fits and every task that was stopping when it arrived has stopped. Amazon's up to 1.72."""
    GREEDY = "greedy"
    """The first that fits (aws/amazon-ecs-agent#3822, never released)."""


class Waiting(msgspec.Struct, frozen=True):
    """A task in the queue."""

    task: str
    amounts: Amounts
    since: float
    behind: frozenset[str]
    """Tasks that were stopping, and held room, when this one arrived."""


class Host:
    """Ledger and queue of one host."""

    def __init__(self, registered: Amounts, policy: QueuePolicy = QueuePolicy.FIFO) -> None:
        self.ledger = Ledger(registered)
        self.policy = policy
        self._waiting: dict[str, Waiting] = {}
        self._stopping: set[str] = set()

    @property
    def waiting(self) -> Iterable[Waiting]:
        """The queue, head first."""
        return self._waiting.values()

    def why_never(self, amounts: Amounts) -> str:
        """Why a task of these amounts could not run here even if the host were empty; empty where it could."""
        whole = self.ledger.registered
        has = {
            "CPU": f"the task needs {amounts.cpu} CPU units, the host has {whole.cpu}",
            "MEMORY": f"the task needs {amounts.memory_mib} MiB of memory, the host has {whole.memory_mib}",
            "PORTS": f"the task needs a host port that is reserved ({_ports(amounts, whole)})",
            "GPU": f"the task needs the GPUs {sorted(amounts.gpu_ids)}, the host has {sorted(whole.gpu_ids)}",
        }
        lacking = Room.whole(whole).lacks(amounts)
        reasons = [f"RESOURCE:{name}: {has[name]}" for name in lacking]
        return f"ResourceInitializationError: {'; '.join(reasons)}" if reasons else ""

    def ask(self, task: str, amounts: Amounts, now: float) -> list[Waiting]:
        """Queue `task`; returns who was admitted. Asking twice changes nothing."""
        if task in self.ledger or task in self._waiting:
            return []
        self._waiting[task] = Waiting(task, amounts, now, frozenset(self._stopping))
        return self._admit(now)

    def restore(self, task: str, amounts: Amounts, now: float) -> None:
        """The task held its room before the agent was restarted: no question of fitting."""
        if task not in self.ledger:
            self.ledger.begin(Hold(task, amounts, now, "restored"))

    def note_stopping(self, task: str) -> None:
        """`task` has been told to stop and still holds its room."""
        if task in self.ledger:
            self._stopping.add(task)

    def withdraw(self, task: str, now: float) -> list[Waiting]:
        """Leave the queue; the next in line may fit."""
        return self._admit(now) if self._waiting.pop(task, None) else []

    def go_by(self, policy: QueuePolicy, now: float) -> list[Waiting]:
        """Another policy from now on; returns who is admitted by it."""
        self.policy = policy
        return self._admit(now)

    def release(self, task: str, proof: Proof, now: float) -> tuple[Hold | None, list[Waiting]]:
        """End the hold of `task`. Returns it, and who was admitted by that."""
        self._stopping.discard(task)
        self._waiting.pop(task, None)
        hold = self.ledger.end(task, proof)
        return hold, self._admit(now)

    def lacks(self, task: str) -> tuple[str, ...]:
        """What a waiting task does not find now; empty where it would fit (it waits for its turn, then)."""
        return self.ledger.lacks(self._waiting[task].amounts)

    def _admit(self, now: float) -> list[Waiting]:
        admitted = []
        while (entry := _NEXT[self.policy](self)) is not None:
            del self._waiting[entry.task]
            self.ledger.begin(Hold(entry.task, entry.amounts, now, "admitted"))
            admitted.append(entry)
        return admitted

    def _head_if_it_fits(self) -> Waiting | None:
        head = next(iter(self._waiting.values()), None)
        return head if head and not self.ledger.lacks(head.amounts) else None

    def _head_behind_nobody(self) -> Waiting | None:
        head = self._head_if_it_fits()
        return head if head and not head.behind & self._stopping else None

    def _first_that_fits(self) -> Waiting | None:
        return next((entry for entry in self._waiting.values() if not self.ledger.lacks(entry.amounts)), None)


def _ports(wanted: Amounts, reserved: Amounts) -> str:
    taken = [(port, "tcp") for port in wanted.ports & reserved.ports]
    taken += [(port, "udp") for port in wanted.ports_udp & reserved.ports_udp]
    return ", ".join(f"{port}/{protocol}" for port, protocol in sorted(taken))


_NEXT: dict[QueuePolicy, Callable[[Host], Waiting | None]] = {
    QueuePolicy.FIFO: Host._head_if_it_fits,  # noqa: SLF001 - the table belongs to the class
    QueuePolicy.SERIAL: Host._head_behind_nobody,  # noqa: SLF001
    QueuePolicy.GREEDY: Host._first_that_fits,  # noqa: SLF001
}
