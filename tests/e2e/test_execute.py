"""ExecuteCommand into a real container: in a pipe, from a terminal, and as any client of the API would."""

import asyncio
import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios

import aiohttp
import pytest
from public_client import Client, token

OUTPUT, SIZE = 1, 3
"""Payload types of the public layout."""

pytestmark = pytest.mark.docker


def berth_exec(host, task, *command, **options):
    environment = {**os.environ, "AWS_ENDPOINT_URL_ECS": host.endpoint}
    return subprocess.Popen([sys.executable, "-m", "berth", "exec", task, "--", *command], env=environment, **options)


def in_a_pipe(host, task, *command, given=b""):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = berth_exec(host, task, *command, **pipes)
    out, err = process.communicate(given, timeout=60)
    return process.returncode, out, err


def in_a_terminal(host, task, *command, typed, columns, rows):
    """What a person sees who types that into a terminal of this size; and the exit code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = berth_exec(host, task, *command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    seen = b""
    try:
        for prompt, line in typed:
            while prompt not in seen:
                seen += _read(ours, seen)
            os.write(ours, line)
        while True:
            seen += _read(ours, seen)
    except OSError:  # the other end is closed
        return process.wait(60), seen
    finally:
        os.close(ours)


def _read(terminal, seen):
    """What it shows next."""
    assert select.select([terminal], [], [], 60)[0], f"nothing comes after {seen}"
    return os.read(terminal, 4096)


async def by_the_public_client(host, task):
    """boto3 opens the session, and a client that knows the public layout alone talks in it."""
    opened = host.ecs.execute_command(task=task, command="sh", interactive=True)
    async with aiohttp.ClientSession() as http, http.ws_connect(opened["session"]["streamUrl"]) as socket:
        await socket.send_str(token(opened))
        client = Client(socket)
        await client.shake_hands()
        await client.say(SIZE, b'{"cols":101,"rows":23}')
        await client.say(OUTPUT, b"stty size; cat /etc/hostname; exit 5\r")
        seen = b""
        while (heard := await client.hear())[0] != "channel_closed":
            seen += heard[3]
    assert b"23 101" in seen
    assert json.loads(heard[3])["SessionId"] == opened["session"]["sessionId"]


def test_a_command_in_a_running_container(host):
    definition = host.define(family="shell")
    task, docker_id = host.running(definition, enableExecuteCommand=True)

    code, out, err = in_a_pipe(host, task, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (code, out, err) == (7, b"out\n", b"err\n")
    long = b"0123456789abcdef" * 4096
    code, out, _ = in_a_pipe(host, task, "cat", given=long)
    assert (code, out) == (0, long)
    _, hostname, _ = in_a_pipe(host, task, "cat", "/etc/hostname")
    assert docker_id.startswith(hostname.decode().strip())

    code, seen = in_a_terminal(
        host,
        task,
        *("sh", "-c", "test -t 0 && echo terminal; read -r word; stty size; echo said $word; exit 3"),
        typed=[(b"terminal", b"hello\r")],
        columns=133,
        rows=37,
    )
    assert code == 3
    assert b"said hello" in seen
    assert b"37 133" in seen

    asyncio.run(by_the_public_client(host, task))

    plain = host.run_task(definition)
    code, _, err = in_a_pipe(host, plain, "true")
    assert (code, err.count(b"\n"), b"was not enabled" in err) == (2, 1, True)
    host.ecs.stop_task(task=task)
    host.wait_task(task, "STOPPED")
    code, _, err = in_a_pipe(host, task, "true")
    assert (code, b"TargetNotConnectedException" in err) == (2, True)
