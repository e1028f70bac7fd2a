"""What a responder may use: the engine's ear, its books, and the little that a session must remember.

A responder takes a frame in and gives the answering frames; what they promise is on disk by then.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import msgspec

from agent.backend.credentials import CredentialStore
from agent.core.events import Event
from agent.core.state import TaskState
from wire.envelope import Frame, encode_frame
from wire.execution import ExecuteCommandMessage

Submit = Callable[[Event], Awaitable[None]]
"""Gives the engine a fact; returns when everything about it is on disk."""

_TIMELINE_FACT = "manifest-timeline"


class Facts(Protocol):
    """Facts about the host that survive: the journal."""

    def fact(self, name: str) -> str | None:
        """A fact, or None."""

    def note(self, name: str, value: str) -> None:
        """Keep a fact."""


class Timeline:
    """The highest number that the control plane has put on a payload (`seqNum`) or a manifest (`timeline`).

    Those of manifests are on disk, those of payloads in memory, as in Amazon's agent.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._highest = int(facts.fact(_TIMELINE_FACT) or 0)

    def saw_payload(self, number: int) -> None:
        """A payload carried this number."""
        self._highest = max(self._highest, number)

    def advance(self, number: int) -> bool:
        """A manifest carries this number; whether it is news. On disk when this returns."""
        if number <= self._highest:
            return False
        self._facts.note(_TIMELINE_FACT, str(number))
        self._highest = number
        return True


class Desk:
    """One agent's. `tasks` lists what the engine knows; `examine` has the runtime looked at, `execute` a command run.

    `set_policy` takes what goes for `ECS_RESOURCE_RELEASE`, `ECS_TASK_QUEUE` and `ECS_STOP_GIVE_UP`; on disk when it
    returns. It raises ValueError where it cannot be read.
    """

    def __init__(
        self,
        *,
        submit: Submit,
        tasks: Callable[[], Iterable[TaskState]],
        facts: Facts,
        credentials: CredentialStore,
        examine: Callable[[], None] = lambda: None,
        execute: Callable[[ExecuteCommandMessage], None] = lambda _message: None,
        set_policy: Callable[[str, str, str], None] = lambda _release, _queue, _give_up: None,
    ) -> None:
        self.submit = submit
        self.tasks = tasks
        self.timeline = Timeline(facts)
        self.credentials = credentials
        self.examine = examine
        self.execute = execute
        self.set_policy = set_policy
        self.manifest_id = ""
        """Id of the newest manifest, until the answer to our question about it has come."""


Respond = Callable[[Frame, Desk], Awaitable[list[str]]]
"""Takes a frame in; returns the answering frames. Awaits until what they say is on disk."""


def encode(message: msgspec.Struct) -> str:
    """A message as a frame of its own type."""
    return encode_frame(type(message).__name__, message)
