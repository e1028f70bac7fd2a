"""The record of a rule: tasks by the clock, or by events. What makes it start them stands in `controlplane/rules`."""

from typing import Any, ClassVar

from controlplane.core.record import Record


class Rule(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A rule of EventBridge that starts tasks, by a schedule or by events. Key: its name."""

    table: ClassVar[str] = "rules"

    name: str
    arn: str
    schedule: str = ""
    """`rate(...)` or `cron(...)`; "" for a rule of events."""
    pattern: str = ""
    """JSON of its event pattern; "" for a rule of the clock."""
    state: str = "ENABLED"
    body: dict[str, Any] = {}
    """Description, role and tags, kept and given back."""
    targets: tuple[dict[str, Any], ...] = ()
    """EventBridge's `Target`s."""
    next_at: float | None = None
    """Epoch seconds of its next tick; None: it has none."""
    waits_from: int = 0
    """Store's revision before its last change by somebody: it waits for events of later ones."""
    created_at: float = 0

    @property
    def key(self) -> str:
        return self.name
