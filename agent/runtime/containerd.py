"""Exits as containerd tells them: some 35 ms before Docker's own event, with Docker's own code and time.

The shim reaps a container's first process, looks at its clock and publishes both; dockerd takes its `ExitCode` and
`State.FinishedAt` from that, after more work. We hear what dockerd hears. Which containerd it is, a container's shim
says itself, on its command line. Where there is no telling (another pid namespace, no right to the socket), or the
stream has broken, nothing comes from here and Docker's event is the word.

Source: containerd `api/services/events/v1/events.proto`, `api/events/task.proto`, `runtime/v2/shim` (its arguments);
moby `daemon/monitor.go`. gRPC is one request and one stream of answers here; a library for all of it would cost more
memory than the agent has left.
"""

import asyncio
import contextlib
import struct
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

from agent.runtime import protobuf
from agent.runtime.protobuf import fields, nested, number

_HEADERS = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/containerd.services.events.v1.Events/Subscribe"),
    (":authority", "localhost"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
)
_PREFIX = struct.Struct(">BI")
"""Before each gRPC message: whether it is compressed, and its length in bytes."""
_FILTERS, _ENVELOPE_EVENT, _ANY_VALUE = 1, 4, 2
_CONTAINER_ID, _PROCESS_ID, _EXIT_STATUS, _EXITED_AT = 1, 2, 4, 5
_SECONDS, _NANOS = 1, 2
READ_BYTES = 65536
MESSAGE_BYTES_MAX = 1 << 20
"""An event has some 200 bytes."""
STREAMS_MAX = 4
"""Containerds listened to at once: one, and another while Docker is moved."""
FOLLOWED_MAX = 4096

OnEnd = Callable[[int, float], None]
"""Called in the loop's thread: the exit code (128 + the signal where one ended it), and when, in epoch seconds."""


class Shim(NamedTuple):
    """Where a container's shim publishes."""

    address: str
    """Path of containerd's socket."""
    namespace: str


class ExitEvents:
    """Follows containers to the end of their first process."""

    def __init__(self) -> None:
        self._followed: dict[str, OnEnd] = {}
        self._streams: dict[Shim, asyncio.Task[None]] = {}

    def follow(self, docker_id: str, pid: int, on_end: OnEnd) -> bool:
        """Tell the end of a container whose first process is `pid`. False where that cannot be known."""
        shim = shim_of(docker_id, pid)
        if shim is None or len(self._followed) >= FOLLOWED_MAX:
            return False
        if shim not in self._streams:
            if len(self._streams) >= STREAMS_MAX:
                return False
            self._streams[shim] = stream = asyncio.create_task(self._listen(shim), name=f"exits of {shim.address}")
            stream.add_done_callback(lambda _: self._streams.pop(shim, None))
        self._followed[docker_id] = on_end
        return True

    def forget(self, docker_id: str) -> None:
        """Follow it no longer."""
        self._followed.pop(docker_id, None)

    async def close(self) -> None:
        """Listen no more."""
        self._followed.clear()
        streams = list(self._streams.values())
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)

    async def _listen(self, shim: Shim) -> None:
        """Until the stream breaks; whoever is followed next begins another."""
        with contextlib.suppress(OSError, ProtocolError, EOFError, ValueError):
            reader, writer = await asyncio.open_unix_connection(shim.address)
            with contextlib.closing(writer):
                await self._subscribe(shim.namespace, reader, writer)

    async def _subscribe(self, namespace: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = H2Connection(H2Configuration(client_side=True))
        connection.initiate_connection()
        stream = connection.get_next_available_stream_id()
        wish = protobuf.text(_FILTERS, f'topic=="/tasks/exit",namespace=="{namespace}"')
        connection.send_headers(stream, _HEADERS)
        connection.send_data(stream, _PREFIX.pack(0, len(wish)) + wish, end_stream=True)
        received = bytearray()
        while True:
            writer.write(connection.data_to_send())
            for event in connection.receive_data(await _some(reader)):
                received += _body(connection, event)
            for message in _messages(received):
                self._tell(message)

    def _tell(self, envelope: bytes) -> None:
        happened = nested(nested(fields(envelope), _ENVELOPE_EVENT), _ANY_VALUE)
        docker_id = happened.get(_CONTAINER_ID, b"")
        if docker_id != happened.get(_PROCESS_ID) or not isinstance(docker_id, bytes):
            return  # a process that somebody executed in it
        on_end = self._followed.get(docker_id.decode())
        if on_end is not None:
            at = nested(happened, _EXITED_AT)
            on_end(number(happened, _EXIT_STATUS), number(at, _SECONDS) + number(at, _NANOS) * 1e-9)


def shim_of(docker_id: str, pid: int) -> Shim | None:
    """The shim that is the parent of a container's first process; None where there is none to be seen."""
    try:
        # The name, in parentheses, may hold anything; the parent is the second field after it.
        parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        words = Path(f"/proc/{parent}/cmdline").read_text().split("\0")
    except (OSError, IndexError, UnicodeDecodeError):
        return None
    said = dict(pairwise(words))
    if said.get("-id") != docker_id or not said.get("-address") or not said.get("-namespace"):
        return None
    return Shim(said["-address"].removeprefix("unix://"), said["-namespace"])


async def _some(reader: asyncio.StreamReader) -> bytes:
    read = await reader.read(READ_BYTES)
    if not read:
        raise EOFError
    return read


def _body(connection: H2Connection, event: Event) -> bytes:
    match event:
        case StreamEnded() | StreamReset() | ConnectionTerminated():
            raise EOFError
        case DataReceived():
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            return event.data
    return b""


def _messages(received: bytearray) -> Iterator[bytes]:
    """Whole messages at the head of what has been received; they are taken away from it."""
    while len(received) >= _PREFIX.size:
        _, length = _PREFIX.unpack_from(received)
        if length > MESSAGE_BYTES_MAX:
            raise ValueError(f"a message of {length} bytes")
        end = _PREFIX.size + length
        if len(received) < end:
            return
        message = bytes(received[_PREFIX.size : end])
        del received[:end]
        yield message
