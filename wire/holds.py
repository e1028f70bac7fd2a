"""Holds: the one way in which room is taken, on the placement ledger and on the host ledger alike.

A hold begins once and ends once, and whoever ends it names the proof. Always: registered = free + sum of the holds.
This module knows nothing of policies: *when* to call `end` is decided by the two cores.
"""

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from wire.resources import Amounts, Room


class Proof(StrEnum):
    """Why a hold was allowed to end, from the weakest claim to the strongest."""

    STOP_REQUESTED = "STOP_REQUESTED"
    """Somebody asked the task to stop. Optimistic: the room may be taken for hours yet."""
    AGENT_RELEASED = "AGENT_RELEASED"
    """The agent reported the release; with eager release that is a promise, with on-exit a fact."""
    DEADLINE_PASSED = "DEADLINE_PASSED"
    """Signal plus stopTimeout have gone by."""
    LEASE_EXPIRED = "LEASE_EXPIRED"
    """The task waited too long for its room and is placed anew."""
    GAVE_UP = "GAVE_UP"
    """The stop was never proven; the agent declared it."""
    INSTANCE_LOST = "INSTANCE_LOST"
    """The instance itself has gone."""
    NEVER_STARTED = "NEVER_STARTED"
    """No container of the task was ever started, so there was nothing to stop."""
    EXIT_SEEN = "EXIT_SEEN"
    """Every container of the task has been seen to exit."""


class Hold(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Room that one subject (a task ARN) holds on one ledger."""

    subject: str
    amounts: Amounts
    since: float
    """Epoch seconds."""
    reason: str
    """What the hold is for: `placed`, `admitted`, `started by another agent` ..."""
    until: float | None = None
    """Epoch seconds at which the hold must have ended at the latest; None where nobody knows."""


class Ledger:
    """The holds on one instance. Ending a hold that is not there is a legal no-op."""

    __slots__ = ("_holds", "free", "registered")

    def __init__(self, registered: Amounts) -> None:
        self.registered = registered
        self.free = Room.whole(registered)
        """What is left; below zero only where a rule of this ledger allows over-commitment."""
        self._holds: dict[str, Hold] = {}

    def __contains__(self, subject: str) -> bool:
        return subject in self._holds

    def __iter__(self) -> Iterator[Hold]:
        return iter(self._holds.values())

    def __len__(self) -> int:
        return len(self._holds)

    def get(self, subject: str) -> Hold | None:
        """The hold of `subject`, if it has one."""
        return self._holds.get(subject)

    def lacks(self, want: Amounts) -> tuple[str, ...]:
        """What `want` does not find here now; empty where it fits."""
        return self.free.lacks(want)

    def begin(self, hold: Hold) -> None:
        """Take the room. The caller has asked `lacks`; a second hold of one subject is a mistake of ours."""
        assert hold.subject not in self._holds, f"{hold.subject} holds room already"
        self._holds[hold.subject] = hold
        self.free = self.free.minus(hold.amounts)

    def end(self, subject: str, proof: Proof) -> Hold | None:
        """Give the room back. Returns the hold that ended, or None where there was none."""
        assert isinstance(proof, Proof)
        hold = self._holds.pop(subject, None)
        if hold is None:
            return None
        self.free = self.free.plus(hold.amounts)
        if hold.amounts.names_any:  # what another one names, or was reserved, stays taken
            self.free = msgspec.structs.replace(
                self.free,
                ports_taken=self.registered.ports.union(*(h.amounts.ports for h in self)),
                ports_udp_taken=self.registered.ports_udp.union(*(h.amounts.ports_udp for h in self)),
                gpu_ids=self.registered.gpu_ids.difference(*(h.amounts.gpu_ids for h in self)),
            )
        self.check()
        return hold

    def limit(self, subject: str, until: float | None) -> None:
        """Say when the hold of `subject` must have ended at the latest (epoch seconds). The room stays taken."""
        self._holds[subject] = msgspec.structs.replace(self._holds[subject], until=until)

    def check(self) -> None:
        """Registered = free + sum of the holds."""
        cpu = memory_mib = gpus = 0
        for hold in self:
            cpu += hold.amounts.cpu
            memory_mib += hold.amounts.memory_mib
            gpus += hold.amounts.gpus
        whole, free = self.registered, self.free
        assert (whole.cpu - free.cpu, whole.memory_mib - free.memory_mib, whole.gpus - free.gpus) == (
            cpu,
            memory_mib,
            gpus,
        )
