"""Commands in running containers: the agent connects each to the control plane that asked for it.

A session holds nothing that must survive: when the connection goes, or the agent, the command's input ends.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Protocol
from urllib.parse import quote

import aiohttp
import msgspec

from agent.backend.ecsclient import EcsClient
from agent.backend.websocket import connect, hang_up
from agent.core.state import TaskState
from agent.runtime.port import RuntimeCallError
from wire.execution import EXECUTION_PATH, Control, ExecuteCommandMessage, Stream

EXECUTIONS_MAX = 100
"""Sessions at one time; who comes then is refused."""
log = logging.getLogger(__name__)


class Execution(Protocol):
    """A command that runs: see `agent.runtime.execution`."""

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """What it says, with 1 for its output and 2 for its errors."""

    async def write(self, data: bytes) -> None:
        """Give it input."""

    def end_input(self) -> None:
        """No more input will come."""

    async def resize(self, columns: int, rows: int) -> None:
        """The terminal has this size now."""

    async def exit_code(self) -> int:
        """Once the output has ended."""

    def close(self) -> None:
        """Let go of it."""


class Start(Protocol):
    """Starts a command in a container. Raises `RuntimeCallError`."""

    def __call__(self, docker_id: str, command: list[str], /, *, has_terminal: bool) -> Awaitable[Execution]: ...


class Executions:
    """The commands that one agent runs for others."""

    def __init__(self, client: EcsClient, tasks: Callable[[], Iterable[TaskState]], start: Start) -> None:
        self._client = client
        self._tasks = tasks
        self._start = start
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, message: ExecuteCommandMessage) -> None:
        """Run it beside everything else."""
        job = asyncio.create_task(self._serve(message))
        self._running.add(job)
        job.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """End every session."""
        for job in self._running:
            job.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _serve(self, message: ExecuteCommandMessage) -> None:
        endpoint, token = self._client.endpoint, quote(message.token, safe="")
        try:
            url = f"{endpoint}{EXECUTION_PATH}/{message.session_id}?token={token}"
            socket = await connect(self._client, url)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("The session %s could not be connected: %s", message.session_id, error)
            return
        try:
            await self._run(message, socket)
        except RuntimeCallError as error:
            await _say(socket, Control(error=str(error)))
        except (ConnectionError, aiohttp.ClientError) as error:
            log.info("The session %s broke: %s", message.session_id, error)
        finally:
            await hang_up(socket)

    async def _run(self, message: ExecuteCommandMessage, socket: aiohttp.ClientWebSocketResponse) -> None:
        if len(self._running) > EXECUTIONS_MAX:
            raise RuntimeCallError("TooManyExecutions", f"more than {EXECUTIONS_MAX} commands run on this host")
        docker_id = self._docker_id(message)
        execution = await self._start(docker_id, message.command, has_terminal=message.has_terminal)
        listening = asyncio.create_task(_listen(socket, execution))
        speaking = asyncio.create_task(_speak(socket, execution))
        try:
            await asyncio.wait({listening, speaking}, return_when=asyncio.FIRST_COMPLETED)
            if speaking.done():
                speaking.result()
                await _say(socket, Control(exit_code=await execution.exit_code()))
        finally:
            listening.cancel()
            speaking.cancel()
            await asyncio.gather(listening, speaking, return_exceptions=True)
            execution.close()

    def _docker_id(self, message: ExecuteCommandMessage) -> str:
        for state in self._tasks():
            for container in state.containers:
                if (state.spec.arn, container.spec.name) == (message.task_arn, message.container):
                    return container.docker_id
        raise RuntimeCallError("NoSuchContainer", f"no container {message.container} of {message.task_arn} is here")


async def _listen(socket: aiohttp.ClientWebSocketResponse, execution: Execution) -> None:
    async for frame in socket:
        if frame.type is aiohttp.WSMsgType.BINARY:
            await execution.write(frame.data[1:])
            continue
        with contextlib.suppress(msgspec.MsgspecError):
            control = msgspec.json.decode(frame.data, type=Control)
            if control.size is not None:
                await execution.resize(*control.size)
            if control.ended:
                execution.end_input()


async def _speak(socket: aiohttp.ClientWebSocketResponse, execution: Execution) -> None:
    async for stream, data in execution.output():
        which = Stream.ERROR if stream == Stream.ERROR else Stream.OUTPUT
        await socket.send_bytes(bytes((which,)) + data)


async def _say(socket: aiohttp.ClientWebSocketResponse, control: Control) -> None:
    with contextlib.suppress(ConnectionError, aiohttp.ClientError):
        await socket.send_str(msgspec.json.encode(control).decode())
