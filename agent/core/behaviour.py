"""How a scripted container behaves, read from the same environment as the image `berth/stubborn` reads.

So one task definition plays the same part in Docker and without it. Pure: it tells times, it does not wait.
"""

from collections.abc import Mapping
from enum import StrEnum
from math import inf

import msgspec

KILLED = 137
"""128 + SIGKILL, as Docker reports it."""


class OnTerm(StrEnum):
    """`ON_TERM`: what the process does on its stop signal."""

    QUIT = "quit"
    """Quit after `QUIT_SECONDS`."""
    IGNORE = "ignore"
    """Nothing: it waits for SIGKILL, unless a job has arrived (SIGUSR1)."""
    WORK = "work"
    """Work on for `JOB_SECONDS`, then quit."""


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """One container's script. Times are seconds."""

    start_seconds: float = 0
    """What its start takes."""
    on_term: OnTerm = OnTerm.QUIT
    quit_seconds: float = 0
    job_seconds: float = 0
    exit_code: int = 0
    run_seconds: float | None = None
    """Exits by itself after this long; None: never."""
    healthy_seconds: float | None = None
    """Its health check, if it has one, first succeeds after this long; None: never."""
    says: str = ""
    """Lines that it says before it is ready."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Behaviour":
        """Read the variables of the image; what is missing or unreadable has the image's default."""
        on_term = environment.get("ON_TERM", OnTerm.QUIT)
        return cls(
            on_term=OnTerm(on_term) if on_term in list(OnTerm) else OnTerm.QUIT,
            start_seconds=_number(environment, "START_SECONDS") or 0,
            quit_seconds=_number(environment, "QUIT_SECONDS") or 0,
            job_seconds=_number(environment, "JOB_SECONDS") or 0,
            exit_code=int(_number(environment, "EXIT_CODE") or 0),
            run_seconds=_number(environment, "RUN_SECONDS"),
            healthy_seconds=_number(environment, "HEALTHY_SECONDS"),
            says=environment.get("SAY", ""),
        )

    def exits_after(self, signal: str, *, has_job: bool) -> float | None:
        """Seconds from a signal to the exit; None where the signal changes nothing."""
        if signal == "SIGKILL":
            return 0.0
        is_deaf = self.on_term is OnTerm.IGNORE and not has_job
        if signal not in ("SIGTERM", "SIGQUIT", "SIGINT") or is_deaf:
            return None
        return self.job_seconds if has_job or self.on_term is OnTerm.WORK else self.quit_seconds

    def words_on(self, signal: str, *, has_job: bool, is_quitting: bool) -> str:
        """What it says to a signal; "" to one that it does not hear."""
        name = signal.removeprefix("SIG")
        if name not in ("TERM", "QUIT", "INT", "USR1"):
            return ""
        if is_quitting:
            return f"{name}: is stopping already"
        if name == "USR1":
            return f"{name}: a job arrives"
        if self.on_term is OnTerm.WORK or has_job:
            return f"{name}: has a job, works on for {self.job_seconds:g} s"
        return f"{name}: ignored" if self.on_term is OnTerm.IGNORE else f"{name}: quits in {self.quit_seconds:g} s"

    def last_words(self, *, was_told: bool, has_job: bool) -> str:
        """What it says when it exits by itself, or because it `was_told` to."""
        if not was_told:
            return f"ran for {self.run_seconds or 0:g} s, exits {self.exit_code}"
        return f"{'job done' if has_job or self.on_term is OnTerm.WORK else 'quit'}, exits {self.exit_code}"


def _number(environment: Mapping[str, str], name: str) -> float | None:
    """The variable's value; None where it is missing, or no number that a clock or an exit code can have."""
    try:
        number = float(environment[name])
    except (KeyError, ValueError):
        return None
    return number if 0 <= number < inf else None
