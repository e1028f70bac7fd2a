"""`berth exec`: a command in a running container, with a terminal or in a pipe, without any plugin."""

import asyncio
import contextlib
import os
import shlex
import signal
import sys
import termios
import tty
from collections.abc import Iterator

import aiohttp
import click

from berth.cli.connection import ask, endpoint_option
from berth.client import EcsClient
from berth.errors import UserError
from berth.session import ClientSession, SessionBroken
from wire.datachannel import Payload
from wire.execution import PLAIN_MEMBER

READ_BYTES = 16 * 1024
FRAME_BYTES_MAX = 1 << 20


@click.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("task")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--container", help="Name of the container, where the task has more than one.")
@click.option("--cluster", default="default", show_default=True, help="Name of the cluster.")
@endpoint_option
def exec(  # noqa: A001 - the command's own name
    task: str, command: tuple[str, ...], container: str | None, cluster: str, endpoint: str
) -> int:
    """Run COMMAND in a container of TASK, given by its ARN or id.

    The task must have been started with enableExecuteCommand. From a terminal the command gets one; in a pipe it gets
    the input to its end, its output and its errors stay apart. Ends with the command's exit code.
    """
    members = {"cluster": cluster, "task": task, "command": shlex.join(command), "interactive": True}
    members |= {"container": container} if container else {}
    has_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    members |= {PLAIN_MEMBER: not has_terminal}
    try:
        return ask(endpoint, lambda client: _run(client, members, has_terminal=has_terminal))
    except SessionBroken as error:
        raise UserError(str(error)) from error


async def _run(client: EcsClient, members: dict[str, object], *, has_terminal: bool) -> int:
    opened = (await client.call("ExecuteCommand", **members))["session"]
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(opened["streamUrl"], max_msg_size=FRAME_BYTES_MAX) as socket,
    ):
        session = ClientSession(socket)
        await session.open(opened["tokenValue"])
        with _raw() if has_terminal else contextlib.nullcontext():
            return await _talk(session, has_terminal=has_terminal)


async def _talk(session: ClientSession, *, has_terminal: bool) -> int:
    feeding: asyncio.Task[None] | None = None
    try:
        async for kind, data in session.output():
            if kind is Payload.HANDSHAKE_COMPLETE:
                feeding = asyncio.create_task(_feed(session))
                if has_terminal:
                    await _follow_size(session)
            else:
                os.write(sys.stderr.fileno() if kind is Payload.STDERR else sys.stdout.fileno(), data)
    finally:
        if feeding is not None:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
    return session.exit_code or 0


async def _feed(session: ClientSession) -> None:
    """Standard input, to its end."""
    while data := await _readable(sys.stdin.fileno()):
        await session.write(data)
    await session.end_input()


async def _readable(descriptor: int) -> bytes:
    """The next bytes, once there are some; no thread is left waiting for them at our end."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[bytes] = loop.create_future()

    def read() -> None:
        loop.remove_reader(descriptor)
        arrived.set_result(os.read(descriptor, READ_BYTES))

    try:
        loop.add_reader(descriptor, read)
    except PermissionError:  # a file: there is always something, and no event for it
        return os.read(descriptor, READ_BYTES)
    try:
        return await arrived
    finally:
        loop.remove_reader(descriptor)


async def _follow_size(session: ClientSession) -> None:
    sizes: set[asyncio.Task[None]] = set()

    def tell() -> None:
        task = asyncio.create_task(session.resize(*os.get_terminal_size(sys.stdout.fileno())))
        sizes.add(task)
        task.add_done_callback(sizes.discard)

    asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, tell)
    await session.resize(*os.get_terminal_size(sys.stdout.fileno()))


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """The terminal hands every key on, and is as it was afterwards."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
