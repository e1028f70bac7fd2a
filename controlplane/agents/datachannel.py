"""The server's end of one data channel: numbered messages both ways, acknowledged, in order, sent again where need be.

It carries payloads and knows no container. Source: aws/session-manager-plugin `src/datachannel`: what a client
acknowledges, and that one which is not ready yet drops output without acknowledging it.
"""

import asyncio
import hmac
import uuid
from collections.abc import AsyncIterator, Callable

import msgspec
from aiohttp import WSMsgType, web

from wire.datachannel import ACKNOWLEDGE_FLAGS, PAYLOAD_BYTES_MAX, Kind, Message, Payload, decode, encode

UNACKNOWLEDGED_MAX = 256
"""Messages on their way to the client; who has more to say waits."""
EARLY_MAX = 1000
"""Messages from the client that came before the one that is due."""
RESEND_SECONDS, RESEND_LOOK_SECONDS = 0.5, 0.1
RESENDS_MAX = 300
"""Then the client is taken to be gone. Source: session-manager-plugin `config.ResendMaxAttempt` (5 minutes)."""


class OpenDataChannel(msgspec.Struct, rename="pascal"):
    """The client's first word, a text frame."""

    token_value: str
    client_version: str = ""


class _Acknowledged(msgspec.Struct):
    number: int = msgspec.field(name="AcknowledgedMessageSequenceNumber")


class _OnItsWay(msgspec.Struct):
    frame: bytes
    sent_at: float
    resends: int = 0


class DataChannel:
    """One client's channel. `clock` is epoch seconds."""

    def __init__(self, socket: web.WebSocketResponse, session_id: str, clock: Callable[[], float]) -> None:
        self._socket = socket
        self._session_id = session_id
        self._clock = clock
        self._next_out = 0
        self._next_in = 0
        self._on_its_way: dict[int, _OnItsWay] = {}
        self._room = asyncio.Semaphore(UNACKNOWLEDGED_MAX)
        self._early: dict[int, Message] = {}

    async def opened(self, token: str) -> OpenDataChannel | None:
        """The client's first word; None where it is none, or has not the right token."""
        frame = await self._socket.receive()
        if frame.type is not WSMsgType.TEXT:
            return None
        try:
            opening = msgspec.json.decode(frame.data, type=OpenDataChannel)
        except msgspec.MsgspecError:
            return None
        return opening if hmac.compare_digest(opening.token_value.encode(), token.encode()) else None

    async def send(self, payload_type: Payload, payload: bytes) -> None:
        """One payload, in pieces where it is long; waits while too much is on its way."""
        for start in range(0, len(payload), PAYLOAD_BYTES_MAX):
            await self._room.acquire()
            frame = self._frame(Kind.OUTPUT, self._next_out, payload_type, payload[start : start + PAYLOAD_BYTES_MAX])
            self._on_its_way[self._next_out] = _OnItsWay(frame, self._clock())
            self._next_out += 1
            await self._socket.send_bytes(frame)

    async def received(self) -> AsyncIterator[tuple[int, bytes]]:
        """Payloads of the client with their types, each once and in order; ends with the connection.

        Raises:
            ValueError: a message that is none.
        """
        async for frame in self._socket:
            if frame.type is not WSMsgType.BINARY:
                continue
            message = decode(frame.data)
            if message.kind == Kind.ACKNOWLEDGE:
                self._take_acknowledgement(message)
            elif message.kind == Kind.INPUT and message.number < self._next_in + EARLY_MAX:
                await self._acknowledge(message)
                if message.number >= self._next_in:
                    self._early[message.number] = message
                while self._next_in in self._early:
                    due = self._early.pop(self._next_in)
                    self._next_in += 1
                    yield due.payload_type, due.payload

    async def resend(self) -> None:
        """Send again what is not acknowledged; returns when the client is taken to be gone."""
        while True:
            await asyncio.sleep(RESEND_LOOK_SECONDS)
            late = self._clock() - RESEND_SECONDS
            for message in [each for each in self._on_its_way.values() if each.sent_at < late]:
                message.sent_at, message.resends = self._clock(), message.resends + 1
                if message.resends > RESENDS_MAX:
                    return
                await self._socket.send_bytes(message.frame)

    async def delivered(self) -> None:
        """Wait until everything is acknowledged."""
        for _ in range(UNACKNOWLEDGED_MAX):
            await self._room.acquire()

    async def close(self, output: str = "") -> None:
        """Tell the client that the session is over, with a sentence where it did not end by itself."""
        closed = {
            "MessageId": str(uuid.uuid4()),
            "CreatedDate": str(round(self._clock() * 1000)),
            "DestinationId": "",
            "SessionId": self._session_id,
            "MessageType": Kind.CLOSED,
            "SchemaVersion": 1,
            "Output": output,
        }
        await self._socket.send_bytes(self._frame(Kind.CLOSED, 0, Payload.NONE, msgspec.json.encode(closed)))

    def _take_acknowledgement(self, message: Message) -> None:
        number = msgspec.json.decode(message.payload, type=_Acknowledged).number
        if self._on_its_way.pop(number, None) is not None:
            self._room.release()

    async def _acknowledge(self, message: Message) -> None:
        content = {
            "AcknowledgedMessageType": message.kind,
            "AcknowledgedMessageId": message.id_text,
            "AcknowledgedMessageSequenceNumber": message.number,
            "IsSequentialMessage": True,
        }
        await self._socket.send_bytes(
            self._frame(Kind.ACKNOWLEDGE, 0, Payload.NONE, msgspec.json.encode(content), ACKNOWLEDGE_FLAGS)
        )

    def _frame(self, kind: Kind, number: int, payload_type: Payload, payload: bytes, flags: int = 0) -> bytes:
        created_ms = round(self._clock() * 1000)
        return encode(Message(kind, number, payload_type, payload, uuid.uuid4().bytes, created_ms, flags))
