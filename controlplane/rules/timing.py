"""When a schedule is next due: `rate(5 minutes)` and `cron(0 12 * * ? *)`, in UTC. Pure; `now` comes in.

Source: EventBridge User Guide, "Schedule types". The cron fields are read by aws-croniter.
"""

import re
from datetime import UTC, datetime

from aws_croniter import AwsCroniter

_RATE = re.compile(r"rate\((\d{1,9}) (minute|hour|day)(s?)\)")
_CRON = re.compile(r"cron\(([^()]{1,250})\)")
_UNIT_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
_DAY_OF_WEEK = 4


class ScheduleError(ValueError):
    """The expression is none that EventBridge takes."""


def check(expression: str) -> None:
    """Refuse what is no schedule.

    Raises:
        ScheduleError: see there.
    """
    next_after(expression, 0, since=0)


def next_after(expression: str, at: float, *, since: float) -> float | None:
    """The first time behind `at` (epoch seconds) at which the schedule is due; None: never again.

    A rate counts from `since`, when the rule was made, changed or enabled.

    Raises:
        ScheduleError: see there.
    """
    rate = _RATE.fullmatch(expression)
    if rate is not None:
        period = _period_seconds(int(rate[1]), rate[2], plural=bool(rate[3]))
        return since + (max(at - since, 0) // period + 1) * period
    cron = _CRON.fullmatch(expression)
    if cron is None:
        raise ScheduleError(expression)
    return _next_cron(cron[1], at)


def _period_seconds(value: int, unit: str, *, plural: bool) -> int:
    if value < 1 or plural == (value == 1):
        raise ScheduleError("a rate is 1 of a unit, or several of its plural")
    return value * _UNIT_SECONDS[unit]


def _next_cron(text: str, at: float) -> float | None:
    fields = text.split()
    if len(fields) > _DAY_OF_WEEK and fields[_DAY_OF_WEEK].upper() == "L":
        fields[_DAY_OF_WEEK] = "7"  # the last day of a week; the library knows only 6L and the like
    try:
        found = AwsCroniter(" ".join(fields).upper()).get_next(datetime.fromtimestamp(at, UTC))
    except Exception as error:  # the library has no common class for what it refuses
        raise ScheduleError(text) from error
    first = found[0] if isinstance(found, list) else found
    return None if first is None else float(first.timestamp())
