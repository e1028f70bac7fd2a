"""What must be so before anything is started: an engine that answers, a free port. Each failure is one sentence."""

import asyncio
import contextlib
import random
import socket
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from berth.children import PYTHON, environment
from berth.errors import UserError

CHECK_SECONDS = 30
FREE_FROM, FREE_BELOW, FREE_TRIES = 20_000, 32_768, 20
"""Linux's own range begins at 32768 (`net.ipv4.ip_local_port_range`)."""


def check_sinks(webhook: str, file: Path | None) -> None:
    """See that events can go where they are to go.

    Raises:
        UserError: they cannot.
    """
    if webhook and urlsplit(webhook).scheme not in {"http", "https"}:
        raise UserError(f"--events-webhook is {webhook!r}, but must be an http or https URL.")
    if file is not None and not file.absolute().parent.is_dir():
        raise UserError(f"The folder of --events-file, {file.absolute().parent}, is not there.")


async def engine_version() -> str:
    """Ask the agent whether it can use the Docker Engine; returns what it says about it.

    Raises:
        UserError: in the agent's words: no engine answers, or its socket is not permitted.
    """
    process = await asyncio.create_subprocess_exec(
        *PYTHON,
        "agent",
        "check",
        env=environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise UserError(f"The Docker Engine did not answer within {CHECK_SECONDS} s.") from None
    if process.returncode != 0:
        said = errors.decode(errors="replace").strip().splitlines()
        raise UserError(said[-1] if said else "The Docker Engine does not answer.")
    return output.decode(errors="replace").strip()


def check_port(host: str, port: int) -> None:
    """The port must be free.

    Raises:
        UserError: it is busy; the sentence names who has it where this can be found.
    """
    with socket.socket() as probe:
        # As the server will: a port whose connections only linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise UserError(f"You may not listen on port {port}: choose one above 1023 with --port.") from None
        except OSError:
            raise UserError(
                f"Port {port} is taken{_by_whom(port)}: stop that, or choose another one with --port."
            ) from None


def free_port(host: str) -> int:
    """Any port that is free now, beneath those that the kernel gives to whoever asks for any: it stays free longer."""
    for port in random.sample(range(FREE_FROM, FREE_BELOW), FREE_TRIES):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((host, port))
            return port
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _by_whom(port: int) -> str:
    try:
        for connection in psutil.net_connections(kind="tcp"):
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and connection.pid and address and address.port == port:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        pass
    return ""
