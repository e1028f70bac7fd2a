"""When a scheduled action is next due: `at(...)`, `rate(...)`, `cron(...)`, in a time zone. Pure; `now` comes in.

Source: Application Auto Scaling User Guide, "Scheduled scaling". Rates and cron are read as EventBridge's are.
"""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from controlplane.rules import timing
from controlplane.rules.timing import ScheduleError

_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_CRON_ENDS = datetime(2200, 1, 1, tzinfo=UTC).timestamp()
"""Its years end with 2199. Source: EventBridge User Guide, "Cron expressions"."""


def next_after(
    expression: str, at: float, *, zone: str, start_at: float | None = None, end_at: float | None = None
) -> float | None:
    """The first time behind `at` (epoch seconds), not before `start_at`, not behind `end_at`; None: never again.

    Raises:
        ScheduleError: no schedule, or no time zone.
    """
    behind = at if start_at is None else max(at, start_at - 1)
    due = _next(expression, behind, zone=_zone(zone), since=at if start_at is None else start_at)
    if due is None or due <= behind or (end_at is not None and due > end_at):
        return None
    return due


def _next(expression: str, at: float, *, zone: ZoneInfo, since: float) -> float | None:
    once = _AT.fullmatch(expression)
    if once is not None:
        try:
            return datetime.fromisoformat(once[1]).replace(tzinfo=zone).timestamp()
        except ValueError as error:
            raise ScheduleError(expression) from error
    if not expression.startswith("cron("):
        return timing.next_after(expression, at, since=since)
    # The zone's clock, read as if it were UTC.
    local = datetime.fromtimestamp(min(at, _CRON_ENDS), zone).replace(tzinfo=UTC)
    due = timing.next_after(expression, local.timestamp(), since=0)
    return None if due is None else datetime.fromtimestamp(due, UTC).replace(tzinfo=zone).timestamp()


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ScheduleError(name) from error
