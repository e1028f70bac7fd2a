"""Room on the host: what the machines ask of it is decided in memory, within the turn, and told in the story."""

from collections.abc import Callable
from typing import Any

from agent.core.events import Admitted, Event, Impossible
from agent.core.instructions import AskRoom, Instruction, NoteStopping, ReleaseHost, SetQueue, Tell, WithdrawRoom
from agent.core.queueing import Host, Waiting
from wire.resources import Amounts
from wire.story import Kind


class HostRoom:
    """Carries out what concerns the host's ledger and queue. `cause_of` names what a task does what it does for."""

    def __init__(self, host: Host, clock: Callable[[], float], cause_of: Callable[[str], str]) -> None:
        self._host = host
        self._clock = clock
        self._cause_of = cause_of

    def decide(self, instruction: Instruction, acts: list[Instruction]) -> list[Event]:
        """Decide, if it is about room; the story of it, and whatever is not, goes to `acts`.

        Returns what that means to tasks.
        """
        now, host, task = self._clock(), self._host, instruction.task
        admitted: list[Waiting] = []
        match instruction:
            case AskRoom(amounts=amounts) if not instruction.resumed and (why := host.why_never(amounts)):
                return [Impossible(task=task, reason=why)]
            case AskRoom():
                admitted = self._ask(instruction, acts)
            case WithdrawRoom():
                admitted = host.withdraw(task, now)
            case SetQueue(queue=queue):
                admitted = host.go_by(queue, now)
            case NoteStopping():
                host.note_stopping(task)
            case ReleaseHost(proof=proof):
                hold, admitted = host.release(task, proof, now)
                if hold is not None:
                    acts.append(self._line(Kind.HOST_ENDED, task, hold.amounts, proof=proof))
            case _:
                acts.append(instruction)
        for entry in admitted:
            waited = now - entry.since
            acts.append(self._line(Kind.HOST_HELD, entry.task, entry.amounts, waited_seconds=waited))
        return [Admitted(task=entry.task, cause=task) for entry in admitted]

    def _ask(self, ask: AskRoom, acts: list[Instruction]) -> list[Waiting]:
        """A task that held its room before a restart has it; any other queues, and may be the next."""
        if ask.resumed:
            self._host.restore(ask.task, ask.amounts, self._clock())
            acts.append(self._line(Kind.HOST_HELD, ask.task, ask.amounts, waited_seconds=0.0))
            return []
        admitted = self._host.ask(ask.task, ask.amounts, self._clock())
        if all(entry.task != ask.task for entry in admitted):
            lacks = self._host.lacks(ask.task)
            acts.append(self._line(Kind.HOST_QUEUED, ask.task, ask.amounts, lacks=lacks))
        return admitted

    def _line(self, kind: Kind, task: str, amounts: Amounts, **data: Any) -> Tell:
        return Tell(
            task=task,
            kind=kind,
            cause=self._cause_of(task),
            data={"cpu": amounts.cpu, "memory_mib": amounts.memory_mib, **data},
        )
