"""When schedules are due."""

from datetime import UTC, datetime

import pytest

from controlplane.rules.timing import ScheduleError, check, next_after


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def due(expression: str, behind: str, times: int = 1, since: str = "2026-01-01 00:00:00") -> list[str]:
    now, found = at(behind), []
    for _ in range(times):
        first = next_after(expression, now, since=at(since))
        if first is None:
            break
        assert first > now
        now = first
        found.append(datetime.fromtimestamp(first, UTC).strftime("%Y-%m-%d %H:%M:%S"))
    return found


@pytest.mark.parametrize(
    ("expression", "behind", "times"),
    [
        ("cron(0 12 * * ? *)", "2026-11-21 12:00:00", ["2026-11-22 12:00:00"]),
        ("cron(0/15 * * * ? *)", "2026-11-21 23:44:59", ["2026-11-21 23:45:00", "2026-11-22 00:00:00"]),
        ("cron(0 18 ? * MON-FRI *)", "2026-11-20 18:00:00", ["2026-11-23 18:00:00", "2026-11-24 18:00:00"]),
        ("cron(0 8 1 jan,jul ? *)", "2026-11-21 00:00:00", ["2027-01-01 08:00:00", "2027-07-01 08:00:00"]),
        ("cron(0 0 L * ? *)", "2027-02-01 00:00:00", ["2027-02-28 00:00:00", "2027-03-31 00:00:00"]),
        ("cron(0 0 15W * ? *)", "2026-08-01 00:00:00", ["2026-08-14 00:00:00"]),  # the 15th is a Saturday
        ("cron(0 0 ? * 6L *)", "2026-11-01 00:00:00", ["2026-11-27 00:00:00"]),  # last Friday
        ("cron(0 0 ? * L *)", "2026-11-22 00:00:00", ["2026-11-28 00:00:00"]),  # Saturday ends the week
        ("cron(0 0 ? * 2#1 *)", "2026-11-03 00:00:00", ["2026-12-07 00:00:00"]),  # first Monday
        ("cron(30 10 29 2 ? *)", "2026-01-01 00:00:00", ["2028-02-29 10:30:00", "2032-02-29 10:30:00"]),
        ("cron(0 0 1 1 ? 2027)", "2026-11-21 00:00:00", ["2027-01-01 00:00:00"]),
        ("cron(0 0 1 1 ? 2020)", "2026-11-21 00:00:00", []),
        ("rate(5 minutes)", "2026-01-01 00:00:00", ["2026-01-01 00:05:00", "2026-01-01 00:10:00"]),
        ("rate(1 hour)", "2026-01-01 01:00:01", ["2026-01-01 02:00:00"]),
        ("rate(2 days)", "2026-01-01 00:00:00", ["2026-01-03 00:00:00"]),
        ("rate(1 minute)", "2025-12-31 00:00:00", ["2026-01-01 00:01:00"]),
    ],
)
def test_due(expression: str, behind: str, times: list[str]) -> None:
    assert due(expression, behind, max(len(times), 1)) == times


@pytest.mark.parametrize(
    "expression",
    [
        "rate(1 minutes)",
        "rate(5 minute)",
        "rate(0 minutes)",
        "rate(-1 minutes)",
        "rate(5 seconds)",
        "rate(5)",
        "cron(* * * * * *)",
        "cron(0 12 * * MON *)",
        "cron(0 12 * * ?)",
        "cron(61 * * * ? *)",
        "cron(0 0 LW * ? *)",
        "cron()",
        "cron(0 12 * * ? *",
        "every day",
        "at(2026-01-01T00:00:00)",
    ],
)
def test_no_schedules(expression: str) -> None:
    with pytest.raises(ScheduleError):
        check(expression)
