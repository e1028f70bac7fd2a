"""A plan: everything that one decision changes, with the versions that it was made from.

A plan holds no choices any more. The store commits it whole or answers with a conflict; then a fresh view, a new plan.
"""

import msgspec

from controlplane.core.record import Record
from wire.holds import Proof
from wire.story import StoryLine

Key = tuple[str, str]
"""(table, key of the record)."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Puts, deletes, and the story that goes with them, in one commit.

    `expected` maps every record that the decision leaned on to its revision, 0 for "was not there". `ended` names the
    proof of every hold (by its task's ARN) that these puts end.
    """

    cause: str
    puts: tuple[Record, ...] = ()
    deletes: tuple[Key, ...] = ()
    expected: dict[Key, int] = {}
    ended: dict[str, Proof] = {}
    story: tuple[StoryLine, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.puts or self.deletes or self.story)

    @property
    def changed(self) -> tuple[Key, ...]:
        """Keys of the records that it changes; none where it only tells."""
        return (*[(record.table, record.key) for record in self.puts], *self.deletes)

    @property
    def is_tale(self) -> bool:
        """It changes no record, it only tells."""
        return not (self.puts or self.deletes)

    def __str__(self) -> str:
        """The printed plan, which golden tests compare."""
        lines = [f"put    {record.table} {record.key.rsplit('/', 1)[-1]}" for record in self.puts]
        lines += [f"delete {table} {key.rsplit('/', 1)[-1]}" for table, key in self.deletes]
        lines += [f"tell   {line.kind} {line.subject.rsplit('/', 1)[-1]}" for line in self.story]
        return "\n".join(lines)


class Conflict(Exception):
    """The world moved between the view and the commit. Look again and decide again."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
