"""The stop of one container: signal, wait out the grace, kill, until the exit is seen.

The agent owns the grace clock, so the deadline is visible, is on disk, and survives a restart of the agent. What can
be seen from outside equals `docker stop`. This module knows neither Docker nor the task around the container.

Source of the grace: amazon-ecs-agent `docker_task_engine.go` (stopContainer); container `stopTimeout`, else
`ECS_CONTAINER_STOP_TIMEOUT`, else 30 s, at least 1 s, no upper bound.
"""

from enum import StrEnum

import msgspec

GRACE_SECONDS_MIN = 1.0
KILL_CHECK_SECONDS = 10.0
"""After SIGKILL the exit should follow at once; look again after this long (assumed)."""
RETRY_SECONDS = (1.0, 1.3, 1.7, 2.2, 5.0)
"""Waits after failed calls; the last one repeats. Source: `docker_task_engine.go` (1 s to 5 s, x 1.3)."""
FAILURES_BEFORE_GIVING_UP = 5
"""Source: `stopContainerMaxRetryCount`."""


class GiveUp(StrEnum):
    """`ECS_STOP_GIVE_UP`: what happens to a stop that Docker keeps refusing."""

    HOLD = "hold"
    """Try for ever and keep the room: a stop is over when the exit is seen. A deliberate difference to Amazon's."""
    DECLARE = "declare"
    """After five failures the container is declared stopped, alive or not, as Amazon's agent does."""


class Stage(StrEnum):
    """Where a stop stands."""

    ASKED = "ASKED"
    SIGNALLED = "SIGNALLED"
    KILLING = "KILLING"
    GAVE_UP = "GAVE_UP"


class Fact(StrEnum):
    """What can happen to a stop, but for the exit, which ends it in every stage."""

    SIGNAL_SENT = "SIGNAL_SENT"
    DEADLINE = "DEADLINE"
    KILL_SENT = "KILL_SENT"
    FAULT = "FAULT"
    SILENCE = "SILENCE"
    """A call failed because the runtime is away, or hangs."""
    RETRY = "RETRY"


class Act(StrEnum):
    """What the stop needs next."""

    SIGNAL = "SIGNAL"
    KILL = "KILL"
    WAIT_DEADLINE = "WAIT_DEADLINE"
    WAIT_RETRY = "WAIT_RETRY"


class Stop(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A stop under way. Times are epoch seconds; `deadline` is when SIGKILL is due."""

    stage: Stage = Stage.ASKED
    grace_seconds: float
    asked_at: float
    deadline: float
    failures: int = 0
    look_again_at: float = 0


def grace_seconds(stop_timeout_seconds: float, default_seconds: float) -> float:
    """The grace of a container; 0 is "not set"."""
    return max(stop_timeout_seconds or default_seconds, GRACE_SECONDS_MIN)


def begin(grace: float, now: float) -> tuple[Stop, Act]:
    """A container is asked to stop. Its clock is set anew when the signal has been delivered."""
    return Stop(grace_seconds=grace, asked_at=now, deadline=now + grace), Act.SIGNAL


def step(stop: Stop, fact: Fact, now: float, give_up: GiveUp) -> Act | None:
    """Move the stop on; None where the fact comes too late to matter."""
    match _TABLE.get((stop.stage, fact)):
        case None:
            return None
        case "wait for the deadline":
            stop.stage, stop.deadline, stop.failures = Stage.SIGNALLED, now + stop.grace_seconds, 0
            return Act.WAIT_DEADLINE
        case "kill":
            stop.stage = Stage.KILLING
            return Act.KILL
        case "look again":
            stop.look_again_at = now + KILL_CHECK_SECONDS
            return Act.WAIT_RETRY
        case "signal again":
            return Act.SIGNAL if now < stop.deadline else step(stop, Fact.DEADLINE, now, give_up)
        case _:
            return _after_fault(stop, now, give_up, is_away=fact is Fact.SILENCE)


def shift(stop: Stop, seconds: float) -> None:
    """The wall clock was set by so much; the rest of the grace is what it was."""
    stop.asked_at += seconds
    stop.deadline += seconds
    stop.look_again_at += seconds


def resume(stop: Stop) -> Act:
    """What a stop needs after a restart of the agent; the deadline stays the original one."""
    return _RESUMES[stop.stage]


def _after_fault(stop: Stop, now: float, give_up: GiveUp, *, is_away: bool) -> Act | None:
    stop.failures += 1
    if give_up is GiveUp.DECLARE and stop.failures >= FAILURES_BEFORE_GIVING_UP:
        stop.stage = Stage.GAVE_UP
        return None
    wait = RETRY_SECONDS[min(stop.failures, len(RETRY_SECONDS)) - 1]
    stop.look_again_at = now + wait
    if is_away and stop.stage is Stage.ASKED:  # nobody was signalled: the grace is whole when the runtime is back
        stop.deadline = stop.look_again_at + stop.grace_seconds
    return Act.WAIT_RETRY


_TABLE = {
    (Stage.ASKED, Fact.SIGNAL_SENT): "wait for the deadline",
    (Stage.ASKED, Fact.FAULT): "count the failure",
    (Stage.ASKED, Fact.SILENCE): "count the failure",
    (Stage.ASKED, Fact.RETRY): "signal again",
    (Stage.ASKED, Fact.DEADLINE): "kill",
    (Stage.SIGNALLED, Fact.DEADLINE): "kill",
    (Stage.KILLING, Fact.KILL_SENT): "look again",
    (Stage.KILLING, Fact.RETRY): "kill",
    (Stage.KILLING, Fact.FAULT): "count the failure",
    (Stage.KILLING, Fact.SILENCE): "count the failure",
}

_RESUMES = {
    Stage.ASKED: Act.SIGNAL,
    Stage.SIGNALLED: Act.WAIT_DEADLINE,
    Stage.KILLING: Act.KILL,
    Stage.GAVE_UP: Act.KILL,
}
