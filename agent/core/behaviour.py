"""How a scripted container behaves, read from the same environment as the image `berth/stubborn` reads.

So one task definition plays the same part in Docker and without it. Pure: it tells times, it does not wait.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

KILLED = 137
"""128 + SIGKILL, as Docker reports it."""


class OnTerm(StrEnum):
    """`ON_TERM`: what the process does on its stop signal."""

    QUIT = "quit"
    """Quit after `QUIT_SECONDS`."""
    IGNORE = "ignore"
    """Nothing: it waits for SIGKILL."""
    WORK = "work"
    """Work on for `JOB_SECONDS`, then quit."""


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """One container's script. Times are seconds."""

    on_term: OnTerm = OnTerm.QUIT
    quit_seconds: float = 0
    job_seconds: float = 0
    exit_code: int = 0
    run_seconds: float | None = None
    """Exits by itself after this long; None: never."""
    healthy_seconds: float | None = None
    """Its health check, if it has one, first succeeds after this long; None: never."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Behaviour":
        """Read the variables of the image; what is missing or unreadable has the image's default."""
        run_seconds = environment.get("RUN_SECONDS")
        healthy_seconds = environment.get("HEALTHY_SECONDS")
        on_term = environment.get("ON_TERM", OnTerm.QUIT)
        return cls(
            on_term=OnTerm(on_term) if on_term in list(OnTerm) else OnTerm.QUIT,
            quit_seconds=float(environment.get("QUIT_SECONDS", "0")),
            job_seconds=float(environment.get("JOB_SECONDS", "0")),
            exit_code=int(environment.get("EXIT_CODE", "0")),
            run_seconds=float(run_seconds) if run_seconds else None,
            healthy_seconds=float(healthy_seconds) if healthy_seconds else None,
        )

    def exits_after(self, signal: str, *, has_job: bool) -> float | None:
        """Seconds from a signal to the exit; None where the signal changes nothing."""
        if signal == "SIGKILL":
            return 0.0
        if signal not in ("SIGTERM", "SIGQUIT", "SIGINT") or self.on_term is OnTerm.IGNORE:
            return None
        return self.job_seconds if has_job or self.on_term is OnTerm.WORK else self.quit_seconds
