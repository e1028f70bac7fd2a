"""Target tracking over the reservation: when to add instances, when to take some away, and why not now.

Periods are seconds on the scaler's clock, which may run faster than the wall's; the numbers are AWS's. What an alarm
remembers between two looks, its low datapoints in a row, comes in and goes out.
Source: ECS Developer Guide, "Amazon ECS managed scaling behavior" (alarms, 0 instances, half a minute, 15 minutes).
"""

from enum import StrEnum
from fractions import Fraction

import msgspec

from controlplane.core.capacity.needs import reservation

METRIC_SECONDS = 60.0
"""Between two datapoints."""
LOW_POINTS = 15
"""Datapoints below the target before anything is taken away. One above it is enough to add."""
QUIET_SECONDS = 15 * 60.0
"""Nothing is taken away for so long after a scale-out."""
FIRST_LAUNCH = 2
"""From no instance at all."""


class Tracking(msgspec.Struct, frozen=True, kw_only=True):
    """`managedScaling` of a capacity provider."""

    target_percent: int = 100
    least_step: int = 1
    most_step: int = 10_000
    warmup_seconds: float = 300


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One datapoint, and the group as it stands."""

    needed: int
    """M."""
    running: int
    """N."""
    desired: int
    """The group's desired capacity."""
    minimum: int
    maximum: int
    youngest_seconds: float | None = None
    """Age of the instance that was launched last; None: there is none."""
    since_scale_out_seconds: float | None = None
    """None: there was none."""
    is_incompatible: bool = False
    """Tasks wait, and none of them could run on the smallest type: the metric is held at the target."""


class Act(StrEnum):
    """What came of a look."""

    OUT = "scale-out"
    IN = "scale-in"
    NONE = "none"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The decision, and the sentence that goes with it."""

    act: Act
    desired: int
    percent: Fraction
    why: str
    low_points: int
    """Datapoints in a row below the target, this one included."""


def decide(tracking: Tracking, reading: Reading, low_points: int = 0) -> Verdict:
    """Look at one datapoint; `low_points` is what the verdict before it said."""
    target = tracking.target_percent
    percent = Fraction(target) if reading.is_incompatible else reservation(reading.needed, reading.running)
    low_points = low_points + 1 if percent < target else 0
    act, desired = Act.NONE, reading.desired
    if percent > target:
        act, desired, why = _out(tracking, reading)
    elif percent < target:
        act, desired, why = _in(tracking, reading, low_points)
    elif reading.is_incompatible:
        why = "what waits fits no instance of the smallest type"
    else:
        why = "the reservation is at its target"
    return Verdict(act=act, desired=desired, percent=percent, why=why, low_points=low_points)


def _out(tracking: Tracking, reading: Reading) -> tuple[Act, int, str]:
    wanted = _tracked(tracking, reading) if reading.running else FIRST_LAUNCH
    within = min(wanted, reading.maximum)
    if within <= reading.desired:
        is_full = wanted > reading.desired
        at = f"the group is at its maximum of {reading.maximum}" if is_full else "as many are asked for already"
        return Act.NONE, reading.desired, at
    age = reading.youngest_seconds
    if age is not None and age < tracking.warmup_seconds:
        return Act.NONE, reading.desired, f"the newest instance warms up for {tracking.warmup_seconds - age:.0f} s more"
    return Act.OUT, within, _both(reading)


def _in(tracking: Tracking, reading: Reading, low_points: int) -> tuple[Act, int, str]:
    wanted = max(_tracked(tracking, reading), reading.minimum)
    since = reading.since_scale_out_seconds
    if wanted >= reading.desired:
        is_least = reading.minimum == reading.desired
        why = f"the group is at its minimum of {reading.minimum}" if is_least else "no whole instance is too many"
        return Act.NONE, reading.desired, why
    if low_points < LOW_POINTS:
        return Act.NONE, reading.desired, f"low for {low_points} of {LOW_POINTS} datapoints"
    if since is not None and since < QUIET_SECONDS:
        return Act.NONE, reading.desired, f"the last scale-out is {since:.0f} s ago, less than {QUIET_SECONDS:.0f}"
    half = reading.desired - max(1, reading.desired // 2)
    return Act.IN, max(wanted, half), _both(reading)


def _tracked(tracking: Tracking, reading: Reading) -> int:
    """N x reservation / target, rounded up."""
    return -(-100 * reading.needed // tracking.target_percent)


def _both(reading: Reading) -> str:
    return f"{reading.needed} needed, {reading.running} running"
