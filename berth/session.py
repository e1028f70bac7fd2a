"""The client's end of one data channel: what `berth exec` speaks instead of the public session-manager-plugin.

It carries bytes between the session and whoever reads and writes them; it knows no terminal.
Source: aws/session-manager-plugin `src/datachannel`.
"""

import time
import uuid
from collections.abc import AsyncIterator

import aiohttp
import msgspec

from wire.datachannel import ACKNOWLEDGE_FLAGS, Flag, Kind, Message, Payload, decode, encode

CLIENT_VERSION = "berth"
INPUT_BYTES_MAX = 1024


class _Closed(msgspec.Struct):
    output: str = msgspec.field(name="Output", default="")


class SessionBroken(Exception):
    """The session ended before its command; the message is the server's sentence."""


class ClientSession:
    """One session. `open` it, then read `output` to its end; input may be written meanwhile."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._next_out = 0
        self._next_in = 0
        self.exit_code: int | None = None

    async def open(self, token: str) -> None:
        """Show the token that the API gave."""
        opening = {
            "MessageSchemaVersion": "1.0",
            "RequestId": str(uuid.uuid4()),
            "TokenValue": token,
            "ClientId": str(uuid.uuid4()),
            "ClientVersion": CLIENT_VERSION,
        }
        await self._socket.send_str(msgspec.json.encode(opening).decode())

    async def output(self) -> AsyncIterator[tuple[Payload, bytes]]:
        """OUTPUT and STDERR as they come, until the command has ended; HANDSHAKE_COMPLETE when input may be sent.

        Raises:
            SessionBroken: it ended otherwise.
        """
        async for frame in self._socket:
            if frame.type is not aiohttp.WSMsgType.BINARY:
                continue
            message = decode(frame.data)
            if message.kind == Kind.CLOSED:
                said = msgspec.json.decode(message.payload, type=_Closed).output
                if said:
                    raise SessionBroken(said)
                return
            if message.kind != Kind.OUTPUT:
                continue
            await self._acknowledge(message)
            if message.number != self._next_in:
                continue  # sent twice: a connection keeps the order
            self._next_in += 1
            match message.payload_type:
                case Payload.HANDSHAKE_REQUEST:
                    await self._answer_handshake(message)
                case Payload.EXIT_CODE:
                    self.exit_code = int(message.payload)
                case _:
                    yield Payload(message.payload_type), message.payload
        raise SessionBroken("The connection was lost.")

    async def write(self, data: bytes) -> None:
        """Input of the command."""
        for start in range(0, len(data), INPUT_BYTES_MAX):
            await self._send(Payload.OUTPUT, data[start : start + INPUT_BYTES_MAX])

    async def end_input(self) -> None:
        """No more input will come."""
        await self._send(Payload.FLAG, Flag.END_OF_INPUT.to_bytes(4, "big"))

    async def resize(self, columns: int, rows: int) -> None:
        """The terminal has this size now."""
        await self._send(Payload.SIZE, msgspec.json.encode({"cols": columns, "rows": rows}))

    async def _answer_handshake(self, message: Message) -> None:
        actions = msgspec.json.decode(message.payload)["RequestedClientActions"]
        done = [{"ActionType": each["ActionType"], "ActionStatus": 1, "ActionResult": None} for each in actions]
        answer = {"ClientVersion": CLIENT_VERSION, "ProcessedClientActions": done, "Errors": []}
        await self._send(Payload.HANDSHAKE_RESPONSE, msgspec.json.encode(answer))

    async def _acknowledge(self, message: Message) -> None:
        content = {
            "AcknowledgedMessageType": message.kind,
            "AcknowledgedMessageId": message.id_text,
            "AcknowledgedMessageSequenceNumber": message.number,
            "IsSequentialMessage": True,
        }
        payload = msgspec.json.encode(content)
        await self._socket.send_bytes(_frame(Kind.ACKNOWLEDGE, 0, Payload.NONE, payload, ACKNOWLEDGE_FLAGS))

    async def _send(self, payload_type: Payload, payload: bytes) -> None:
        number, self._next_out = self._next_out, self._next_out + 1
        await self._socket.send_bytes(_frame(Kind.INPUT, number, payload_type, payload))


def _frame(kind: Kind, number: int, payload_type: Payload, payload: bytes, flags: int = 0) -> bytes:
    return encode(Message(kind, number, payload_type, payload, uuid.uuid4().bytes, round(time.time() * 1000), flags))
