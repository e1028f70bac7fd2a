"""A host of the toy cluster, what its containers do, and the words for what happened on it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from controlplane.core.model import Release
from wire.holds import Ledger
from wire.story import Kind, StoryLine


@dataclass
class Host:
    """An agent and its host."""

    arn: str
    release: Release
    ledger: Ledger
    queue: list[str] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)
    """Task ARN to queued, running, stopping or stopped."""


@dataclass
class Behaviour:
    """What a task's container does. Seconds."""

    starts_in: float = 0.3
    quits_in: float = 2.0
    """After TERM."""
    fails: bool = False
    """Never runs."""
    digest: str = ""
    """Of its image, as it is told with RUNNING."""


def happened(line: StoryLine, short: Callable[[str], str]) -> str:
    """One line of the story of a task in a few words; "" where it is about something else."""
    if line.kind == Kind.PLACEMENT_HELD:
        return f"holds {short(line.data['instance'])}"
    if line.kind == Kind.PLACEMENT_ENDED:
        return f"frees {short(line.data['instance'])} by {line.data['proof']}"
    if line.kind == Kind.TASK_STATUS:
        return str(line.data["last"])
    return "is to stop" if line.kind == Kind.TASK_DESIRED and line.data["desired"] == "STOPPED" else ""
