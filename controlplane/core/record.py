"""What every record is: a frozen struct that the store keeps under (table, key)."""

from typing import ClassVar

import msgspec

HOLD_MOVES = 2
"""A hold begins and ends: each moves its instance's version."""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Something that the store keeps under (`table`, `key`). A tree, no cycle, so the garbage collector passes it by."""

    table: ClassVar[str]

    @property
    def key(self) -> str:
        """Unique in its table."""
        raise AssertionError(f"{type(self).__name__} names no key")
