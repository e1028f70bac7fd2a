"""The public client of ExecuteCommand's data channel, as much of it as tests need, by the offsets of its layout alone.

Source: aws/session-manager-plugin `src/message`, `src/datachannel`.
"""

import hashlib
import json
import struct
import uuid
from typing import Any

import aiohttp

HEADER = 116
WAIT_SECONDS = 60


def packed(  # noqa: PLR0917 - the order of the layout
    kind: str, number: int, payload_type: int, payload: bytes, message_id: bytes, flags: int = 0
) -> bytes:
    """A message by its offsets, as the public client lays it out."""
    frame = bytearray(HEADER + 4 + len(payload))
    struct.pack_into(">I", frame, 0, HEADER)
    frame[4:36] = kind.encode().ljust(32)
    struct.pack_into(">I", frame, 36, 1)
    struct.pack_into(">QqQ", frame, 40, 1_800_000_000_000, number, flags)
    frame[64:72], frame[72:80] = message_id[8:], message_id[:8]
    frame[80:112] = hashlib.sha256(payload).digest()
    struct.pack_into(">II", frame, 112, payload_type, len(payload))
    frame[120:] = payload
    return bytes(frame)


class Client:
    """As much of the public client as a test needs: it acknowledges by hand."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.sent = 0
        self.acknowledged: list[int] = []

    async def say(self, payload_type: int, payload: bytes, *, number: int | None = None) -> bytes:
        message_id = uuid.uuid4().bytes
        number = self.sent if number is None else number
        self.sent = max(self.sent, number + 1)
        await self.socket.send_bytes(packed("input_stream_data", number, payload_type, payload, message_id))
        return message_id

    async def hear(self, *, acknowledges: bool = True) -> tuple[str, int, int, bytes]:
        """Kind, number, payload type and payload of the next message that is no acknowledgement."""
        while True:
            frame = await self.socket.receive_bytes(timeout=WAIT_SECONDS)
            assert struct.unpack_from(">I", frame, 0)[0] == HEADER
            kind = frame[4:36].decode().strip()
            number, _flags = struct.unpack_from(">qQ", frame, 48)
            payload_type, length = struct.unpack_from(">II", frame, 112)
            payload = frame[120:]
            assert len(payload) == length
            assert frame[80:112] == hashlib.sha256(payload).digest()
            if kind == "acknowledge":
                self.acknowledged.append(json.loads(payload)["AcknowledgedMessageSequenceNumber"])
                continue
            if kind == "output_stream_data" and acknowledges:
                content = {
                    "AcknowledgedMessageType": kind,
                    "AcknowledgedMessageId": str(uuid.UUID(bytes=frame[72:80] + frame[64:72])),
                    "AcknowledgedMessageSequenceNumber": number,
                    "IsSequentialMessage": True,
                }
                payload_out = json.dumps(content).encode()
                await self.socket.send_bytes(packed("acknowledge", 0, 0, payload_out, uuid.uuid4().bytes, 3))
            return kind, number, payload_type, payload

    async def shake_hands(self) -> None:
        _, number, payload_type, payload = await self.hear()
        assert (number, payload_type) == (0, 5)
        (action,) = json.loads(payload)["RequestedClientActions"]
        assert action["ActionType"] == "SessionType"
        done = [{"ActionType": "SessionType", "ActionStatus": 1, "ActionResult": None, "Error": ""}]
        answer = {"ClientVersion": "1.2.0.0", "ProcessedClientActions": done, "Errors": None}
        await self.say(6, json.dumps(answer).encode())
        _, number, payload_type, _ = await self.hear()
        assert (number, payload_type) == (1, 7)


def token(answer: dict[str, Any], **wrong: str) -> str:
    opening = {"MessageSchemaVersion": "1.0", "RequestId": str(uuid.uuid4()), "ClientId": str(uuid.uuid4())}
    return json.dumps(opening | {"TokenValue": answer["session"]["tokenValue"], "ClientVersion": "1.2.0.0"} | wrong)
