"""The control plane as the program that it is, for what only a process can show: its end, and its beginning."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Self

import witness
from ports import free_port

ROOT = Path(__file__).parents[2]
START_SECONDS = 60


class Program:
    """`python -m controlplane`; the second start takes the port of the first."""

    def __init__(self, *arguments: str, program: tuple[str, ...] = ("-m", "controlplane")) -> None:
        """`program`: what Python runs; a test may put a few lines around it."""
        self._arguments = arguments
        self.program = program
        self._process: asyncio.subprocess.Process | None = None
        self.first_line = ""
        self.port = str(free_port())
        self._log: IO[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None:
            await self.end(signal.SIGKILL)
        assert self._log is not None
        self._log.seek(0)
        said = self._log.read().decode(errors="replace")
        witness.call("the control plane's log", lambda: said)
        self._log.close()

    async def start(self) -> None:
        self._process = await run(*self._arguments, "--port", self.port, program=self.program, log=self._log)
        self.first_line = await self.line()

    async def line(self) -> str:
        """The next thing that it says."""
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            return (await self._process.stdout.readline()).decode()

    async def ended(self) -> int:
        """Wait until it has ended by itself; the exit code."""
        process, self._process = self._process, None
        assert process is not None
        async with asyncio.timeout(START_SECONDS):
            return await process.wait()

    async def end(self, number: signal.Signals) -> int:
        """Send a signal; the exit code."""
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(number)
        await process.communicate()
        assert process.returncode is not None
        return process.returncode


async def run(
    *arguments: str,
    program: tuple[str, ...] = ("-m", "controlplane"),
    log: IO[bytes] | None = None,
    **environment: str,
) -> asyncio.subprocess.Process:
    """Start the program, without any BERTH_ setting but those given; what it logs can be read, or goes to `log`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BERTH_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *program, *arguments),
        cwd=ROOT,
        env=clean | environment,
        stdout=subprocess.PIPE,
        stderr=log or subprocess.PIPE,
    )


async def refusal(*arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and stderr of a start that is not to succeed."""
    process = await run(*arguments, **environment)
    async with asyncio.timeout(START_SECONDS):
        out, err = await process.communicate()
    assert out == b""
    assert process.returncode is not None
    return process.returncode, err.decode()
