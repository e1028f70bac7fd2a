"""What every record is: a frozen struct that the store keeps under (table, key)."""

from collections.abc import Callable
from functools import wraps
from typing import ClassVar, TypeVar

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


def following(work_out: Callable[[R], V]) -> Callable[[R], V]:
    """What follows from a record alone is worked out once, and again when it has become another record.

    Readers do not change what they get: the next one gets the same. They are of one thread.
    """
    kept: dict[int, V] = {}
    """By the identity of a record, which no other gets as long as the record stands in `records`."""
    records: dict[str, R] = {}

    def keep(record: R) -> V:
        value = work_out(record)
        kept.pop(id(records.pop(record.key, None)), None)
        while len(records) >= FOLLOWED_MAX:
            del kept[id(records.pop(next(iter(records))))]
        records[record.key] = record
        kept[id(record)] = value
        return value

    @wraps(work_out)
    def followed(record: R) -> V:
        try:
            return kept[id(record)]
        except KeyError:
            return keep(record)

    return followed
