"""What every record is: a frozen struct that the store keeps under (table, key)."""

from collections.abc import Callable
from functools import update_wrapper
from typing import ClassVar, Generic, TypeVar

import msgspec

HOLD_MOVES = 2
"""A hold begins and ends: each moves its instance's version."""
FOLLOWED_MAX = 20_000


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Something that the store keeps under (`table`, `key`); a tree, so the collector of cycles passes it by."""

    table: ClassVar[str]

    @property
    def key(self) -> str:
        """Unique in its table."""
        raise AssertionError(f"{type(self).__name__} names no key")


R = TypeVar("R", bound=Record)
V = TypeVar("V")


class following(Generic[R, V]):  # noqa: N801 - a decorator
    """What follows from a record alone is worked out once, and again when it has become another record."""

    def __init__(self, work_out: Callable[[R], V]) -> None:
        self._work_out = work_out
        self._kept: dict[str, tuple[R, V]] = {}
        update_wrapper(self, work_out)

    def __call__(self, record: R) -> V:
        """Readers do not change what they get: the next one gets the same."""
        kept = self._kept.get(record.key)
        if kept is not None and kept[0] is record:
            return kept[1]
        value = self._work_out(record)
        self._kept.pop(record.key, None)
        while len(self._kept) >= FOLLOWED_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[record.key] = (record, value)
        return value
