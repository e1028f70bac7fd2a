"""Values of the cluster query language that have an order of their own: versions, times, numbers."""

import calendar
import re

_VERSION = re.compile(r"v?(\d{1,9}(?:\.\d{1,9}){0,3})(?:[-+].*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d{1,15})?", re.ASCII)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(?:Z|([+-])(\d\d):?(\d\d))?)?", re.ASCII
)


def version_key(text: str) -> tuple[int, ...] | None:
    """A version as numbers, without zeros at its end (1.2 is 1.2.0); None where it is none."""
    found = _VERSION.fullmatch(text)
    if found is None:
        return None
    numbers = [int(number) for number in found[1].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def epoch_seconds(text: str) -> int | None:
    """A date or time as epoch seconds; without a zone it is UTC (assumed). None where it is none."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    year, month, day = int(found[1]), int(found[2]), int(found[3])
    hour, minute, second = (int(part or 0) for part in found.group(4, 5, 6))
    east_hours, east_minutes = (int(part or 0) for part in found.group(8, 9))
    if not year or not 1 <= month <= 12 or not 1 <= day <= calendar.monthrange(year, month)[1]:  # noqa: PLR2004
        return None
    if hour > 23 or minute > 59 or second > 60 or east_hours > 23 or east_minutes > 59:  # noqa: PLR2004 - a clock's
        return None
    east = (east_hours * 3600 + east_minutes * 60) * (-1 if found[7] == "-" else 1)
    return calendar.timegm((year, month, day, hour, minute, second)) - east


def number(text: str) -> float | None:
    """A decimal number; None where it is none."""
    return float(text) if _NUMBER.fullmatch(text) else None


def is_version(text: str) -> bool:
    """Whether it is a version."""
    return version_key(text) is not None


def is_time(text: str) -> bool:
    """Whether it is a date or a time."""
    return epoch_seconds(text) is not None
