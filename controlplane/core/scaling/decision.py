"""What each policy wants of a service, and what comes of all of them together. Pure arithmetic.

Periods are seconds on the scaler's clock. An alarm remembers nothing: its state follows from the datapoints.
Source: Application Auto Scaling User Guide, "Target tracking", "Step scaling" (cooldowns, rounding, several policies);
ECS Developer Guide, "Automatically scale your Amazon ECS service" (bounds, deployments).
"""

import math
from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec

from controlplane.core.scaling.metrics import SPARE_PERIODS, recent
from controlplane.core.scaling.model import Activity, Adjustment, Step, Stepping, Tracking

HIGH_POINTS = 3
"""Datapoints of one minute above the target, before tasks are added."""
LOW_POINTS = 15
"""Below 90 per cent of the target, before any are taken away."""
LOW_RATIO = 0.9
POINTS_MAX = LOW_POINTS + SPARE_PERIODS


class Act(StrEnum):
    """What a policy, or all of them, want."""

    OUT = "scale-out"
    IN = "scale-in"
    NONE = "none"


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The target as it stands."""

    current: int
    minimum: int
    maximum: int


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """How long ago a policy last acted, in seconds of the scaler's clock; None: never."""

    out_seconds: float | None = None
    out_before: int = 0
    """The desired count before it."""
    in_seconds: float | None = None

    @staticmethod
    def of(last_out: Activity | None, last_in: Activity | None, *, now: float, scale: float) -> "Memory":
        """The memory at `now` (epoch seconds) on a clock that runs `scale` times as fast."""
        return Memory(
            out_seconds=None if last_out is None else (now - last_out.at) * scale,
            out_before=0 if last_out is None else last_out.before,
            in_seconds=None if last_in is None else (now - last_in.at) * scale,
        )


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """What one policy wants."""

    policy: str
    act: Act = Act.NONE
    desired: int = 0
    why: str
    alarm: str = ""
    """The alarm that rings; "" where none does."""
    is_tracking: bool = False
    keeps: bool = False
    """It tracks a target and may scale in, and is not ready to: then no other tracking policy takes anything away."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What comes of all policies."""

    act: Act
    desired: int
    why: str
    policy: str = ""
    alarm: str = ""
    bound: str = ""
    """`AlreadyAtMaxCapacity` or `AlreadyAtMinCapacity`, where that alone is in the way."""


class Pause(StrEnum):
    """Why the count is not reduced at all."""

    NONE = ""
    DEPLOYMENT = "a deployment is in progress"
    SUSPENDED = "scaling in is suspended"


def track(
    name: str,
    tracking: Tracking,
    datapoints: Sequence[float | None],
    bounds: Bounds,
    memory: Memory,
    *,
    alarms: Sequence[str],
) -> Want:
    """What a target tracking policy wants. `datapoints`: one a minute, oldest first; `alarms`: names, high and low."""
    high, low = recent(datapoints, HIGH_POINTS), recent(datapoints, LOW_POINTS)
    if len(high) < HIGH_POINTS:
        why = f"insufficient data: {len(high)} of {HIGH_POINTS} datapoints"
        return Want(policy=name, why=why, keeps=tracking.scales_in)
    seen = f"{high[-1]:.4g} against a target of {tracking.target:g}"
    above = _trailing(high, lambda value: value > tracking.target)
    below = _trailing(low, lambda value: value < tracking.target * LOW_RATIO)
    if above == HIGH_POINTS:
        return _track_out(name, tracking, high[-1], bounds, memory, alarm=alarms[0])
    if not tracking.scales_in:
        return Want(policy=name, why=f"{seen}; it may not scale in")
    if below == LOW_POINTS:
        return _track_in(name, tracking, high[-1], bounds, memory, alarm=alarms[-1])
    if above:
        why = f"{seen}, high for {above} of {HIGH_POINTS} datapoints"
    else:
        why = f"{seen}, low for {below} of {LOW_POINTS} datapoints" if below else f"{seen}, near enough"
    return Want(policy=name, why=why, keeps=True)


def step(
    name: str, stepping: Stepping, breach: float, bounds: Bounds, memory: Memory, *, alarm: str, is_below: bool
) -> Want:
    """What a step scaling policy wants while its alarm rings, so far (`breach`) from the alarm's threshold."""
    chosen = next((s for s in stepping.steps if _covers(s, breach, is_below=is_below)), None)
    if chosen is None:
        return Want(policy=name, why=f"no step is for {breach:+.4g} from the threshold", alarm=alarm)
    wanted = _adjusted(stepping, chosen.adjustment, bounds.current)
    seen = f"{breach:+.4g} from the threshold, {stepping.adjustment} {chosen.adjustment:+d}"
    if wanted > bounds.current:
        base = _base(bounds, memory, stepping.cooldown_seconds)
        wanted = _adjusted(stepping, chosen.adjustment, base)
        if wanted > bounds.current:
            return Want(policy=name, act=Act.OUT, desired=wanted, why=seen, alarm=alarm)
        left = stepping.cooldown_seconds - (memory.out_seconds or 0)
        return Want(policy=name, why=f"{seen}; cools down for {left:.0f} s more", alarm=alarm)
    if wanted < bounds.current:
        left = _cooling(memory.in_seconds, stepping.cooldown_seconds)
        if left:
            return Want(policy=name, why=f"{seen}; cools down for {left:.0f} s more", alarm=alarm)
        return Want(policy=name, act=Act.IN, desired=wanted, why=seen, alarm=alarm)
    return Want(policy=name, why=f"{seen}; that is no change", alarm=alarm)


def choose(wants: Sequence[Want], bounds: Bounds, *, pause: Pause, is_out_suspended: bool = False) -> Verdict:
    """Out by whoever wants most; in by whoever takes least, and by target tracking only where all of it agrees."""
    current = bounds.current
    outs = [want for want in wants if want.act is Act.OUT]
    if outs:
        return _out(max(outs, key=lambda want: want.desired), bounds, is_suspended=is_out_suspended)
    is_kept = any(want.keeps for want in wants)
    chosen = [want for want in wants if want.act is Act.IN and not (want.is_tracking and is_kept)]
    if not chosen:
        whys = "; ".join(f"{want.policy}: {want.why}" for want in wants)
        return Verdict(act=Act.NONE, desired=current, why=whys or "there is no policy")
    return _in(max(chosen, key=lambda want: want.desired), bounds, pause)


def within(bounds: Bounds) -> int:
    """The count that new bounds ask for at once."""
    return min(max(bounds.current, bounds.minimum), bounds.maximum)


def _track_out(name: str, tracking: Tracking, value: float, bounds: Bounds, memory: Memory, *, alarm: str) -> Want:
    base = _base(bounds, memory, tracking.out_cooldown_seconds)
    wanted = max(_proportional(base, value, tracking.target), base + 1)
    seen = f"{value:.4g} against a target of {tracking.target:g}"
    if wanted > bounds.current:
        return Want(policy=name, act=Act.OUT, desired=wanted, why=seen, alarm=alarm, is_tracking=True)
    left = _cooling(memory.out_seconds, tracking.out_cooldown_seconds)
    why = f"{seen}; cools down for {left:.0f} s more, and {wanted} are enough until then"
    return Want(policy=name, why=why, alarm=alarm, is_tracking=True, keeps=tracking.scales_in)


def _track_in(name: str, tracking: Tracking, value: float, bounds: Bounds, memory: Memory, *, alarm: str) -> Want:
    seen = f"{value:.4g} against a target of {tracking.target:g}"
    left = _cooling(memory.in_seconds, tracking.in_cooldown_seconds)
    if left:
        return Want(policy=name, why=f"{seen}; cools down for {left:.0f} s more", alarm=alarm, keeps=True)
    half = bounds.current - max(1, bounds.current // 2)
    wanted = max(_proportional(bounds.current, value, tracking.target), half)
    if wanted >= bounds.current:
        return Want(policy=name, why=f"{seen}; no whole task is too many", alarm=alarm, keeps=True)
    return Want(policy=name, act=Act.IN, desired=wanted, why=seen, alarm=alarm, is_tracking=True)


def _out(want: Want, bounds: Bounds, *, is_suspended: bool) -> Verdict:
    current = bounds.current
    desired = min(max(want.desired, bounds.minimum), bounds.maximum)
    none = Verdict(act=Act.NONE, desired=current, why="", policy=want.policy, alarm=want.alarm)
    if is_suspended:
        return msgspec.structs.replace(none, why=f"{want.policy}: {want.why}; scaling out is suspended")
    if desired <= current:
        why = f"{want.policy}: {want.why}; the maximum is {bounds.maximum}"
        return msgspec.structs.replace(none, why=why, bound="AlreadyAtMaxCapacity")
    why = f"{want.policy}: {want.why}"
    return msgspec.structs.replace(none, act=Act.OUT, desired=desired, why=why)


def _in(want: Want, bounds: Bounds, pause: Pause) -> Verdict:
    current = bounds.current
    desired = min(max(want.desired, bounds.minimum), bounds.maximum)
    none = Verdict(act=Act.NONE, desired=current, why="", policy=want.policy, alarm=want.alarm)
    if pause is not Pause.NONE:
        return msgspec.structs.replace(none, why=f"{want.policy}: {want.why}; {pause}")
    if desired >= current:
        why = f"{want.policy}: {want.why}; the minimum is {bounds.minimum}"
        return msgspec.structs.replace(none, why=why, bound="AlreadyAtMinCapacity")
    why = f"{want.policy}: {want.why}"
    return msgspec.structs.replace(none, act=Act.IN, desired=desired, why=why)


def _proportional(base: int, value: float, target: float) -> int:
    """Rounded up, but for what floating point adds."""
    return math.ceil(round(base * value / target, 9))


def _base(bounds: Bounds, memory: Memory, cooldown_seconds: float) -> int:
    """What the change is counted from: while a scale-out cools down, its tasks are part of the next one."""
    return memory.out_before if _cooling(memory.out_seconds, cooldown_seconds) else bounds.current


def _cooling(since_seconds: float | None, cooldown_seconds: float) -> float:
    """Seconds that are left of a cooldown; 0: it is over."""
    return 0 if since_seconds is None else max(0.0, cooldown_seconds - since_seconds)


def _covers(step: Step, breach: float, *, is_below: bool) -> bool:
    """Above a threshold the lower bound belongs to a step, below it the upper one."""
    lower = -math.inf if step.lower is None else step.lower
    upper = math.inf if step.upper is None else step.upper
    return lower < breach <= upper if is_below else lower <= breach < upper


def _adjusted(stepping: Stepping, adjustment: int, current: int) -> int:
    match stepping.adjustment:
        case Adjustment.EXACT:
            return adjustment
        case Adjustment.CHANGE:
            return max(0, current + adjustment)
        case Adjustment.PERCENT:
            return max(0, current + _percent(adjustment, current, stepping.least_change))


def _percent(adjustment: int, current: int, least: int) -> int:
    """Towards 0, but at least one, and at least what was asked for."""
    change = current * adjustment / 100
    if not change:
        return 0
    size = max(1, int(abs(change)), least)
    return size if change > 0 else -size


def _trailing(values: Sequence[float], holds: Callable[[float], bool]) -> int:
    """How many of the newest values hold, in a row."""
    count = 0
    for value in reversed(values):
        if not holds(value):
            break
        count += 1
    return count
