"""Child processes of the development server: started apart from the terminal, watched, ended, never restarted.

A child writes to a log file, and runs in a session of its own, so a Ctrl-C reaches only the supervisor. This module
does not know what the children are.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

LAST_LINES = 12
"""Lines of a log that are shown when a child dies."""
TAIL_BYTES = 16 * 1024
PYTHON = (sys.executable, "-P", "-m")
"""Runs a module of ours. `-P`: a folder `agent` where the user happens to stand is not our agent."""


def environment(**ours: str) -> dict[str, str]:
    """What a program of ours is given: the user's environment without settings of its kind, and `ours`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BERTH_", "ECS_"))}
    code = str(Path(__file__).parent.parent)
    paths = [code, *filter(None, [inherited.get("PYTHONPATH")])]
    return {**inherited, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", **ours}


class Child:
    """One child process."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self.is_wanted = True
        """False from the moment at which it was asked to end."""
        self._process = process

    @classmethod
    async def start(cls, name: str, program: Sequence[str], *, settings: Mapping[str, str], log: Path) -> "Child":
        """Start a program, tied to this process (see `berth.tether`)."""
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *PYTHON,
                "berth.tether",
                str(os.getpid()),
                *program,
                env=environment(**settings),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Exit code, negative for a signal; None: it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for its end. Returns the exit code; negative for a signal."""
        return await self._process.wait()

    async def end(self, within_seconds: float) -> None:
        """Ask it to end, and kill it where it has not by then."""
        self.is_wanted = False
        self._send(signal.SIGTERM)
        try:
            async with asyncio.timeout(within_seconds):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        """End it at once."""
        self.is_wanted = False
        self._send(signal.SIGKILL)

    def last_lines(self) -> list[str]:
        """The end of its log."""
        with self.log.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(log.tell() - TAIL_BYTES, 0))
            return log.read().decode(errors="replace").splitlines()[-LAST_LINES:]

    def obituary(self, exit_code: int) -> str:
        """What is told when it died unasked: a sentence and the end of its log."""
        how = f"was killed by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"ended with code {exit_code}"
        told = "".join(f"\n    {line}" for line in self.last_lines()) or "\n    (its log is empty)"
        return f"{self.name} {how}; the end of {self.log}:{told}"

    def _send(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
