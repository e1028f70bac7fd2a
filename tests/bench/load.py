"""A load of HTTP requests from one loop: bytes made beforehand go out, the answers are counted. It reads no bodies.

Every connection has one request on its way at a time. `bench_api.py` sends the same load to both sides.
"""

import asyncio
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from wire import envelope

REGION = "us-east-1"


def signed(endpoint: str, operation: str, body: bytes, keys: tuple[str, str]) -> bytes:
    """One request as it goes over the wire, signed with botocore's own signer for the next five minutes."""
    host = urlsplit(endpoint).netloc
    request = AWSRequest("POST", f"{endpoint}/", envelope.request_headers(operation) | {"Host": host}, body)
    SigV4Auth(Credentials(*keys), "ecs", REGION).add_auth(request)
    headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return f"POST / HTTP/1.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Connection(asyncio.Protocol):
    """Sends the next request as soon as the last is answered, until it is told to stop."""

    def __init__(self, next_request: Callable[[], bytes]) -> None:
        self.answers = 0
        self.failures: list[bytes] = []
        self.ended = asyncio.get_running_loop().create_future()
        self.stopping = False
        self._next_request = next_request
        self._received = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._next_request())

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        if head < 0:
            return
        headers = bytes(self._received[:head]).lower()
        length = int(headers.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(self._received) < head + 4 + length:
            return
        self.answers += 1
        if not headers.startswith(b"http/1.1 200") and len(self.failures) < 1:
            self.failures.append(bytes(self._received))
        self._received.clear()
        if self.stopping or b"connection: close" in headers:
            self._transport.close()
        else:
            self._transport.write(self._next_request())

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(error)


async def rate(endpoint: str, connections: int, seconds: float, next_request: Callable[[], bytes]) -> float:
    """Answers a second over `connections` for `seconds`. A connection that the server closes is opened anew."""
    parts = urlsplit(endpoint)
    loop, ends = asyncio.get_running_loop(), time.monotonic() + seconds
    answers, failures = 0, []

    async def keep_asking() -> None:
        nonlocal answers
        while time.monotonic() < ends:
            transport, one = await loop.create_connection(lambda: Connection(next_request), parts.hostname, parts.port)
            await asyncio.wait({one.ended}, timeout=ends - time.monotonic())
            one.stopping = True
            answers += one.answers
            failures.extend(one.failures)
            transport.close()

    began = time.monotonic()
    await asyncio.gather(*(keep_asking() for _ in range(connections)))
    assert not failures, failures[0].decode(errors="replace")
    return answers / (time.monotonic() - began)
