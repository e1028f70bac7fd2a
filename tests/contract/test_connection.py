"""A connection over real sockets: calls that are answered in place, and all else, which aiohttp answers."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import HttpVersion11, web
from aiohttp.http_parser import HttpRequestParser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlplane.api.http import Request, Response
from controlplane.connection import HEAD_BYTES_MAX, READ_BYTES_MAX, plain
from controlplane.door import Door

PLACE, AIOHTTP = "place", "aiohttp"


def call(body: bytes = b"{}", head: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


class Side:
    """A server that echoes, and says who has answered. A body that names a gate waits until that is open."""

    def __init__(self) -> None:
        self.gates: dict[bytes, asyncio.Event] = {b"gate": asyncio.Event()}
        self.served: list[bytes] = []
        self.came: asyncio.Queue[bytes] = asyncio.Queue()
        self.grow = 1

    def serve(self, request: Request) -> Any:
        self.served.append(request.body)
        self.came.put_nowait(request.body)
        return self._wait(request) if request.body in self.gates else self._echo(request.body)

    async def _wait(self, request: Request) -> Response:
        await self.gates[request.body].wait()
        return self._echo(request.body)

    def _echo(self, body: bytes) -> Response:
        return Response(200, body * self.grow, {"By": PLACE})

    async def other(self, request: web.BaseRequest) -> web.Response:
        return web.Response(body=await request.read(), headers={"By": AIOHTTP})

    async def start(self, *, idle_seconds_max: float = 600) -> None:
        self.door = Door(self.serve, web.Server(self.other), idle_seconds_max=idle_seconds_max)
        self._listener = await asyncio.get_running_loop().create_server(self.door, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._listener.close()
        await self.door.close(0)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


@pytest.fixture
async def side() -> AsyncIterator[Side]:
    side = Side()
    await side.start()
    async with asyncio.timeout(60):
        yield side
    await side.stop()


async def answer(reader: asyncio.StreamReader) -> tuple[int, str, bytes]:
    """Status, who answered, body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    status = int(head[0].split()[1])
    if status == 100:
        return await answer(reader)
    assert headers["date"].endswith("GMT")
    return status, headers.get("by", AIOHTTP), await reader.readexactly(int(headers["content-length"]))


async def caught_up(side: Side) -> None:
    """The server has read what was sent before, on any connection, and has done what follows from it."""
    reader, writer = await side.connect()
    for _ in range(3):
        writer.write(call(b"caught up"))
        await answer(reader)
    writer.close()


async def test_calls_are_answered_in_place_one_after_the_other(side: Side) -> None:
    reader, writer = await side.connect()
    for body in (b"", b"{}", b"x" * 60_000):
        writer.write(call(body))
        status, _, said = await answer(reader)
        assert (status, said) == (200, body)
    assert side.served[:2] == [b"", b"{}"]
    writer.close()


async def test_pipelined_calls_are_answered_in_their_order_and_what_is_no_call_behind_them(side: Side) -> None:
    reader, writer = await side.connect()
    writer.write(call(b"gate") + call(b"2"))
    assert await side.came.get() == b"gate"
    writer.write(call(b"3") + b"GET /y HTTP/1.1\r\nHost: x\r\n\r\n" + call(b"4"))
    await caught_up(side)
    assert b"2" not in side.served
    side.gates[b"gate"].set()
    assert [await answer(reader) for _ in range(5)] == [
        (200, PLACE, b"gate"),
        (200, PLACE, b"2"),
        (200, PLACE, b"3"),
        (200, AIOHTTP, b""),
        (200, AIOHTTP, b"4"),
    ]
    writer.close()


@pytest.mark.parametrize(
    ("sent", "status", "body"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200, b""),
        (b"POST /? HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1", 200, b"1"),
        (b"POST / HTTP/1.0\r\nHost: x\r\nContent-Length: 1\r\n\r\n1", 200, b"1"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n", 200, b"1"),
        (call(b"1", b"Transfer-Encoding: chunked\r\n"), 400, None),
        (call(b"1", b"Expect: 100-continue\r\n"), 200, b"1"),
        (call(b"1", b"Connection: close\r\n"), 200, b"1"),
        (call(gzip.compress(b"1", mtime=0), b"Content-Encoding: gzip\r\n"), 200, b"1"),
        (call(b"1", "X-Odd: \u00e9\r\n".encode()), 200, b"1"),
        (call(b"1" * 2 * READ_BYTES_MAX), 200, b"1" * 2 * READ_BYTES_MAX),
        (call(b"1", b"X: " + b"1" * 2 * HEAD_BYTES_MAX + b"\r\n"), 400, None),
        (call(b"1", b"".join(b"X%d: 1\r\n" % each for each in range(200))), 400, None),
        (call(b"1", b"Content-Length: 2\r\n"), 400, None),
        (call(b"1", b"X : 1\r\n"), 400, None),
        (call(b"1", b"X\r\n"), 400, None),
        (call(b"1", b"X: \x00\r\n"), 400, None),
        (call(b"1", b"X: 1\n2\r\n"), 400, None),
        (call(b"1", b"Content-Length: +1\r\n"), 400, None),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, None),
        (b"\x16\x03\x01" + b"\0" * 50, 400, None),
    ],
)
@pytest.mark.parametrize("before", [b"", call(b"0")])
async def test_what_is_no_plain_call_is_aiohttps_to_answer(
    side: Side, *, before: bytes, sent: bytes, status: int, body: bytes | None
) -> None:
    reader, writer = await side.connect()
    writer.write(before + sent)
    if before:
        assert await answer(reader) == (200, PLACE, b"0")
    found = await answer(reader)
    assert found[:2] == (status, AIOHTTP)
    assert body is None or found[2] == body
    writer.close()


async def test_a_call_in_pieces_is_answered_as_well(side: Side) -> None:
    reader, writer = await side.connect()
    for letter in call(b"piece"):
        writer.write(bytes([letter]))
        await writer.drain()
    assert (await answer(reader))[2] == b"piece"
    writer.close()


async def test_a_client_that_goes_away_does_not_take_its_call_along(side: Side) -> None:
    _, writer = await side.connect()
    writer.write(call(b"gate"))
    assert await side.came.get() == b"gate"
    writer.close()
    await writer.wait_closed()
    await caught_up(side)
    (answering,) = filter(None, [connection.answering for connection in side.door._connections])
    side.gates[b"gate"].set()
    assert (await answering).body == b"gate"
    await caught_up(side)
    assert not any(connection._is_lost for connection in side.door._connections)


async def test_who_does_not_read_is_not_answered_on_and_on(side: Side) -> None:
    side.grow = 200_000
    reader, writer = await side.connect()
    calls = 300
    writer.write(call(b"x") * calls)
    served = -1
    while served != len(side.served) or not served:
        served = len(side.served)
        await asyncio.sleep(0.3)
    assert served < calls / 2
    for _ in range(calls):
        assert len((await answer(reader))[2]) == side.grow
    writer.close()


async def test_at_the_end_idle_ones_are_closed_and_what_is_under_way_is_answered(side: Side) -> None:
    idle, busy, late = await side.connect(), await side.connect(), await side.connect()
    side.gates[b"late"] = asyncio.Event()
    idle[1].write(call(b"1"))
    assert (await answer(idle[0]))[2] == b"1"
    busy[1].write(call(b"gate") + call(b"never"))
    late[1].write(call(b"late"))
    assert {await side.came.get() for _ in range(3)} == {b"1", b"gate", b"late"}
    closing = asyncio.create_task(side.door.close(0.5))
    assert await idle[0].read() == b""
    side.gates[b"gate"].set()
    assert (await answer(busy[0]))[2] == b"gate"
    assert await busy[0].read() == b""
    assert await late[0].read() == b""
    await closing
    assert b"never" not in side.served
    for _, writer in (idle, busy, late):
        writer.close()


async def test_an_idle_connection_is_closed_and_one_that_waits_for_its_answer_is_not() -> None:
    side = Side()
    await side.start(idle_seconds_max=0.2)
    async with asyncio.timeout(60):
        idle, busy = await side.connect(), await side.connect()
        busy[1].write(call(b"gate"))
        assert await idle[0].read() == b""
        await asyncio.sleep(0.5)
        side.gates[b"gate"].set()
        assert (await answer(busy[0]))[2] == b"gate"
        assert await busy[0].read() == b""
    for _, writer in (idle, busy):
        writer.close()
    await side.stop()


PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAMES = st.sampled_from(
    [b"Host", b"host", b"X-A", b"Content-Length", b"Connection", b"Expect", b"X_b", b"", b" X", b"X "]
)
VALUES = st.sampled_from(
    [b"x", b"", b" a  b ", b"2", b"02", b"+2", b"1, 1", b"keep-alive", b"close", b"\t", b"\xe9", b"a:b"]
)
ENDS = st.sampled_from([b"\r\n", b"\n", b"\r", b"\r\n ", b"\0\r\n", b""])
LINES = st.lists(
    st.builds(lambda *parts: b"".join(parts), NAMES, st.sampled_from([b":", b": ", b" : ", b""]), VALUES, ENDS)
)


@PATIENT
@given(LINES, st.binary(max_size=4))
def test_what_is_read_in_place_aiohttp_reads_in_the_same_way(lines: list[bytes], body: bytes) -> None:
    received = b"POST / HTTP/1.1\r\nHost: y\r\n" + b"".join(lines) + b"Content-Length: 2\r\n\r\n" + body
    assert_same(received)


@PATIENT
@given(st.integers(0, 60), st.binary(min_size=1, max_size=3))
def test_wherever_a_byte_is_another(at: int, other: bytes) -> None:
    received = call(b"{}", b"X-Amz-Target: a\r\n")
    assert_same(received[:at] + other + received[at + len(other) :])


def assert_same(received: bytes) -> None:
    """Refused and left to aiohttp, or just what aiohttp reads."""
    found = plain(received, "http")
    if found is None:
        return
    request, size = found
    with asyncio.Runner() as runner:
        protocol: Any = Mock(_reading_paused=False)
        parser = HttpRequestParser(protocol, runner.get_loop(), 2**16, payload_exception=web.RequestPayloadError)
        ((message, payload), *_), is_upgraded, _ = parser.feed_data(received[:size])
        body = runner.run(payload.read())
    assert (message.method, message.path, message.version, is_upgraded) == ("POST", "/", HttpVersion11, False)
    assert not message.should_close
    assert {name.lower(): value for name, value in message.headers.items()} == request.headers
    assert (len(message.headers), body) == (len(request.headers), request.body)
