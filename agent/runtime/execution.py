"""A command in a running container, over Docker's exec: bytes in, bytes out, the size of its terminal, its exit code.

Source: Docker Engine API, "Exec" (the stream is raw with a terminal, framed with stdout and stderr apart without).
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from typing import Any

import docker.errors
import requests.exceptions

from agent.runtime.connection import QUICK_SECONDS, connect
from agent.runtime.port import RuntimeCallError

CHUNK_BYTES = 16 * 1024
STDOUT, STDERR = 1, 2
LOOKS_MAX = 100
LOOK_AGAIN_SECONDS = 0.05
"""How often a command whose output has ended is asked whether it has."""
_FRAME = struct.Struct(">BxxxI")
_FAILURES = (docker.errors.APIError, requests.exceptions.RequestException)


class Execution:
    """One command that runs. `await Execution.start(...)`, then read it to its end, then `close`."""

    def __init__(self, client: Any, exec_id: str, connection: Any, *, has_terminal: bool) -> None:
        self._client = client
        self._id = exec_id
        self._connection = connection
        self._socket = getattr(connection, "_sock", connection)
        self._socket.setblocking(False)  # noqa: FBT003 - the socket's own interface
        # What came in one packet with Docker's headers is in the buffer of who read these.
        self._early: bytes = connection._response.raw._fp.fp.peek()  # noqa: SLF001 - the SDK shows it nowhere else
        self._has_terminal = has_terminal

    @classmethod
    async def start(cls, docker_id: str, command: list[str], *, has_terminal: bool) -> "Execution":
        """Start `command` in a container.

        Raises:
            RuntimeCallError: Docker refuses; the container does not run, or Docker is away.
        """
        return await asyncio.to_thread(cls._started, docker_id, command, has_terminal=has_terminal)

    @classmethod
    def _started(cls, docker_id: str, command: list[str], *, has_terminal: bool) -> "Execution":
        client = connect(QUICK_SECONDS)
        try:
            made = client.exec_create(docker_id, command, stdin=True, tty=has_terminal)["Id"]
            connection = client.exec_start(made, tty=has_terminal, socket=True)
        except _FAILURES as error:
            client.close()
            raise RuntimeCallError("CannotExecuteCommandError", str(error)) from error
        return cls(client, made, connection, has_terminal=has_terminal)

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """What it says, with STDOUT or STDERR; with a terminal all is STDOUT. Ends when the command has ended."""
        received = b""
        async for chunk in self._chunks():
            if self._has_terminal:
                yield STDOUT, chunk
                continue
            received += chunk
            while len(received) >= _FRAME.size:
                stream, size = _FRAME.unpack_from(received)
                if len(received) < _FRAME.size + size:
                    break
                yield stream, received[_FRAME.size : _FRAME.size + size]
                received = received[_FRAME.size + size :]

    async def _chunks(self) -> AsyncIterator[bytes]:
        if self._early:
            yield self._early
        loop = asyncio.get_running_loop()
        while chunk := await loop.sock_recv(self._socket, CHUNK_BYTES):
            yield chunk

    async def write(self, data: bytes) -> None:
        """Give it input. What has ended takes none."""
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().sock_sendall(self._socket, data)

    def end_input(self) -> None:
        """No more input will come."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(1)

    async def resize(self, columns: int, rows: int) -> None:
        """The terminal has this size now. What has ended takes none."""
        with contextlib.suppress(*_FAILURES):
            await asyncio.to_thread(self._client.exec_resize, self._id, height=rows, width=columns)

    async def exit_code(self) -> int:
        """Its exit code, once the output has ended, which Docker may know before it knows the end of the command.

        Raises:
            RuntimeCallError: Docker does not say, or the command has closed its output and goes on.
        """
        for _ in range(LOOKS_MAX):
            try:
                found = await asyncio.to_thread(self._client.exec_inspect, self._id)
            except _FAILURES as error:
                raise RuntimeCallError("CannotExecuteCommandError", str(error)) from error
            if not found["Running"] and found["ExitCode"] is not None:
                return int(found["ExitCode"])
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        raise RuntimeCallError("CannotExecuteCommandError", "The command has closed its output and still runs.")

    def close(self) -> None:
        """Let go of it. A command with a terminal gets SIGHUP from that; without one, the end of its input."""
        with contextlib.suppress(OSError):
            self._connection.close()
            self._socket.close()
        self._client.close()
