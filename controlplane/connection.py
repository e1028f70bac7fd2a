"""One connection: plain calls are read and answered here, the rest of what HTTP can be is aiohttp's.

A *plain* call is a `POST /` of HTTP/1.1 that has come whole, with its length, and with headers that ask nothing of the
transport. It is most of what comes. Whatever is not plain at first sight (a body in pieces, `Expect`, an upgrade, a
header that is not well formed, any other path) is aiohttp's from its first byte on, and so is all that comes after it:
what is wrong with it, and what its limits are, is decided there and nowhere else.

It knows no operation. Source: RFC 9112, sections 2 to 6, and 9.3.2 (answers come in the order of the calls).
"""

import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from controlplane.api.http import Request, Response

READ_BYTES_MAX = 64 * 1024
"""At once. asyncio itself asks for 256 KiB anew each time, which the system hands out and takes back page by page."""
HEAD_BYTES_MAX = 8190
HEADERS_MAX = 128
"""aiohttp's limits for one line, and for the number of headers: what is within both here is within all of aiohttp's."""

Serve = Callable[[Request], Response | Coroutine[Any, Any, Response] | asyncio.Future[Response]]

_buffer = memoryview(bytearray(READ_BYTES_MAX))
"""One for all connections: what was read into it is taken out before the loop turns to another."""


class Connection(asyncio.BufferedProtocol):
    """Answers plain calls one after the other; from the first other byte on, passes everything to aiohttp."""

    def __init__(
        self,
        serve: Serve,
        other: Callable[[], asyncio.Protocol],
        *,
        idle_seconds_max: float,
        among: set["Connection"],
    ) -> None:
        """`other` makes aiohttp's protocol. It is `among` the others until it is lost and nothing is under way."""
        self.answering: asyncio.Future[Response] | None = None
        self._serve = serve
        self._make_other = other
        self._other: asyncio.Protocol | None = None
        self._among = among
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._scheme = "http"
        self._received = b""
        self._is_blocked = self._is_closing = self._is_lost = False
        self._idle_seconds_max = idle_seconds_max
        self._idle_since = self._loop.time()
        self._timer: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if transport.get_extra_info("sslcontext"):
            self._scheme = "https"
        self._among.add(self)
        self._timer = self._loop.call_later(self._idle_seconds_max, self._look_if_idle)

    def get_buffer(self, _: int) -> memoryview:
        """Where the next bytes go."""
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes came. While an answer is under way, no more than these wait."""
        received = bytes(_buffer[:nbytes])
        if self._other is not None:
            self._other.data_received(received)
        elif self.answering is not None or self._is_blocked or self._is_closing:
            self._received += received
            self._transport.pause_reading()
        else:
            self._received = received
            self._go_on()

    def eof_received(self) -> bool | None:
        """The other side sends no more, and is sent no more."""
        return None if self._other is None else self._other.eof_received()

    def pause_writing(self) -> None:
        """The other side does not read: no further call is answered until it does."""
        self._is_blocked = True
        if self._other is not None:
            self._other.pause_writing()

    def resume_writing(self) -> None:
        """It reads again."""
        self._is_blocked = False
        if self._other is not None:
            self._other.resume_writing()
        elif self.answering is None and not self._is_closing:
            self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over. What is being decided is decided and kept all the same; only its answer has nowhere to go."""
        self._is_lost = True
        self._timer.cancel()
        if self._other is not None:
            self._other.connection_lost(exc)
        if self.answering is None:
            self._among.discard(self)

    def close(self) -> None:
        """Take no further call; an answer that is under way still goes out. What is aiohttp's, aiohttp closes."""
        self._is_closing = True
        if self.answering is None and self._other is None:
            self._transport.close()

    def _go_on(self) -> None:
        while self._received:
            call = plain(self._received, self._scheme)
            if call is None:
                self._hand_over()
                return
            request, size = call
            self._received = self._received[size:]
            response = self._serve(request)
            if not isinstance(response, Response):
                later = response if isinstance(response, asyncio.Future) else self._loop.create_task(response)
                later.add_done_callback(self._answer)
                self.answering = later
                return
            self._send(response)
            if self._is_blocked:
                return
        self._transport.resume_reading()

    def _answer(self, answering: "asyncio.Future[Response]") -> None:
        self.answering = None
        if self._is_lost:
            self._among.discard(self)
            return
        is_answered = not answering.cancelled() and answering.exception() is None
        if is_answered:
            self._send(answering.result())
        if self._is_closing or not is_answered:
            self._transport.close()
        elif not self._is_blocked:
            self._go_on()

    def _send(self, response: Response) -> None:
        self._transport.write(encoded(response))
        self._idle_since = self._loop.time()

    def _hand_over(self) -> None:
        self._timer.cancel()
        received, self._received = self._received, b""
        self._transport.resume_reading()
        self._other = self._make_other()
        self._other.connection_made(self._transport)
        self._other.data_received(received)

    def _look_if_idle(self) -> None:
        left = self._idle_since + self._idle_seconds_max - self._loop.time()
        if left <= 0 and self.answering is None and not self._is_blocked:
            self._transport.close()
        else:
            self._timer = self._loop.call_later(left if left > 0 else self._idle_seconds_max, self._look_if_idle)


_START = b"POST / HTTP/1.1\r\n"
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NOT_PLAIN = frozenset({"", "content-encoding", "expect", "te", "trailer", "transfer-encoding", "upgrade"})
"""Headers that ask something of the transport; "" stands for what is no name of one."""
_PRINTABLE = bytes(range(ord(" "), ord("~") + 1))
_LENGTH_DIGITS_MAX = len(str(READ_BYTES_MAX))


def plain(received: bytes, scheme: str) -> tuple[Request, int] | None:
    """The plain call at the beginning of what was received, and its size in bytes; None: something else is there."""
    ends = received.find(b"\r\n\r\n", 0, HEAD_BYTES_MAX)
    if ends < 0 or not received.startswith(_START):
        return None
    head = received[len(_START) : ends]
    lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        headers[_lower(name) if colon else ""] = value.strip(" ")
    length = headers.get("content-length", "")
    if not (
        len(headers) == len(lines) <= HEADERS_MAX  # none is repeated
        and "host" in headers
        and _NOT_PLAIN.isdisjoint(headers)
        and headers.get("connection", "keep-alive").lower() == "keep-alive"
        and len(head.translate(None, _PRINTABLE)) == len("\r\n") * (len(lines) - 1)  # of all else, line ends alone
        and length.isdecimal()
        and len(length) <= _LENGTH_DIGITS_MAX
    ):
        return None
    begins = ends + len(b"\r\n\r\n")
    size = begins + int(length)
    if len(received) < size:
        return None
    return Request("POST", "/", headers, received[begins:size], scheme), size


@lru_cache(256)
def _lower(name: str) -> str:
    return name.lower() if _NAME.fullmatch(name) else ""


def encoded(response: Response) -> bytes:
    """An answer as it goes over the wire."""
    head = (
        _status_line(response.status),
        *map(": ".join, response.headers.items()),
        f"Content-Length: {len(response.body)}",
        f"Date: {_date(int(time.time()))}",
        "\r\n",
    )
    return "\r\n".join(head).encode() + response.body


@lru_cache
def _status_line(status: int) -> str:
    return f"HTTP/1.1 {status:d} {HTTPStatus(status).phrase}"


@lru_cache(1)
def _date(epoch_seconds: int) -> str:
    return formatdate(epoch_seconds, usegmt=True)
