"""When scheduled actions are due: once, by rates, by cron, in a zone, within a span of time."""

from datetime import datetime

import pytest

from controlplane.rules.timing import ScheduleError
from controlplane.scaling.timing import next_after


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


NOW = at("2026-03-28T12:00:00+00:00")


@pytest.mark.parametrize(
    ("expression", "zone", "expected"),
    [
        ("at(2026-03-28T13:00:00)", "UTC", "2026-03-28T13:00:00+00:00"),
        ("at(2026-03-28T14:00:00)", "Europe/Berlin", "2026-03-28T14:00:00+01:00"),
        ("at(2026-03-28T12:30:00)", "Europe/Berlin", None),  # it has gone by
        ("cron(0 22 * * ? *)", "UTC", "2026-03-28T22:00:00+00:00"),
        ("cron(0 22 * * ? *)", "Europe/Berlin", "2026-03-28T22:00:00+01:00"),
        ("cron(0 8 * * ? *)", "Europe/Berlin", "2026-03-29T08:00:00+02:00"),  # the clock was put forward
        ("rate(5 minutes)", "UTC", "2026-03-28T12:05:00+00:00"),
    ],
)
def test_the_next_time(expression: str, zone: str, expected: str | None) -> None:
    assert next_after(expression, NOW, zone=zone) == (None if expected is None else at(expected))


def test_a_span_of_time() -> None:
    start, end = at("2026-04-01T00:00:00+00:00"), at("2026-04-02T00:00:00+00:00")
    nightly = "cron(0 22 * * ? *)"
    first = next_after(nightly, NOW, zone="UTC", start_at=start, end_at=end)
    assert first == at("2026-04-01T22:00:00+00:00")
    assert next_after(nightly, first, zone="UTC", start_at=start, end_at=end) is None
    assert next_after("rate(1 hour)", NOW, zone="UTC", start_at=start) == start + 3600
    assert next_after(nightly, NOW, zone="UTC", start_at=1e308) is None, "no calendar has that day"
    with pytest.raises(ScheduleError):
        next_after("cron(soon)", NOW, zone="UTC", start_at=1e308)
    assert next_after(nightly, NOW, zone="Europe/Berlin", start_at=at("2199-12-31T23:30:00+00:00")) is None
    assert next_after("at(2100-01-01T00:00:00)", NOW, zone="UTC", start_at=4e9) == 4102444800
    assert next_after("at(2100-01-01T00:00:00)", NOW, zone="UTC", start_at=4.2e9) is None, "not before its start"


@pytest.mark.parametrize(
    ("expression", "zone"),
    [
        ("at(noon)", "UTC"),
        ("at(2026-02-30T00:00:00)", "UTC"),
        ("cron(x)", "UTC"),
        ("", "UTC"),
        ("rate(1 hour)", "Atlantis"),
    ],
)
def test_what_is_no_schedule(expression: str, zone: str) -> None:
    with pytest.raises(ScheduleError):
        next_after(expression, NOW, zone=zone)
