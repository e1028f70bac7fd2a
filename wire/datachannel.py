"""Frames of the data channel: how the client of an ExecuteCommand session and the other end talk over a websocket.

A header of fixed layout (big-endian) and a payload under a SHA-256; a stream of numbered messages in each direction,
each acknowledged by its number. Only shapes are here, no behaviour.
Source: aws/session-manager-plugin `src/message` (layout, names), `src/datachannel` (what is answered to what).
"""

import hashlib
import struct
import uuid
from enum import IntEnum, StrEnum
from typing import NamedTuple

_HEADER = struct.Struct(">I32sIQqQ16s32sI")
_LENGTH = struct.Struct(">I")
SCHEMA_VERSION = 1
PAYLOAD_BYTES_MAX = 1024
"""Of one message of output; longer output is cut into several. Source: amazon-ssm-agent `StreamDataPayloadSize`."""
ACKNOWLEDGE_FLAGS = 3
"""SYN and FIN: an acknowledgement is a stream of its own."""


class Kind(StrEnum):
    """`MessageType`."""

    INPUT = "input_stream_data"
    OUTPUT = "output_stream_data"
    ACKNOWLEDGE = "acknowledge"
    CLOSED = "channel_closed"


class Payload(IntEnum):
    """`PayloadType`."""

    NONE = 0
    OUTPUT = 1
    """Bytes of the terminal, in both directions."""
    SIZE = 3
    """`{"cols", "rows"}` of the terminal."""
    HANDSHAKE_REQUEST = 5
    HANDSHAKE_RESPONSE = 6
    HANDSHAKE_COMPLETE = 7
    FLAG = 10
    STDERR = 11
    EXIT_CODE = 12


class Flag(IntEnum):
    """What a payload of the type FLAG says (4 bytes)."""

    TERMINATE = 2
    END_OF_INPUT = 0x62657274
    """Ours: no more bytes will come; for commands that read a pipe to its end."""


class Message(NamedTuple):
    """One message. `created_ms` is epoch milliseconds."""

    kind: str
    number: int
    payload_type: int
    payload: bytes
    id: bytes
    created_ms: int
    flags: int = 0

    @property
    def id_text(self) -> str:
        """The id as it stands in an acknowledgement."""
        return str(uuid.UUID(bytes=self.id))


def encode(message: Message) -> bytes:
    """A message as it goes over the wire."""
    header = _HEADER.pack(
        _HEADER.size,
        message.kind.encode().ljust(32),
        SCHEMA_VERSION,
        message.created_ms,
        message.number,
        message.flags,
        message.id[8:] + message.id[:8],  # the lower half goes first
        hashlib.sha256(message.payload).digest(),
        message.payload_type,
    )
    return header + _LENGTH.pack(len(message.payload)) + message.payload


def decode(frame: bytes) -> Message:
    """Read one message.

    Raises:
        ValueError: it is cut short, or its payload is not what its digest says.
    """
    try:
        length, kind, _, created, number, flags, halves, digest, payload_type = _HEADER.unpack_from(frame)
        (size,) = _LENGTH.unpack_from(frame, length)
    except struct.error:
        raise ValueError("A message of the data channel is cut short.") from None
    payload = frame[length + _LENGTH.size :]
    if len(payload) != size or (size and hashlib.sha256(payload).digest() != digest):
        raise ValueError("The payload of a message is not what its length and digest say.")
    name = kind.strip(b" \x00").decode(errors="replace")
    return Message(name, number, payload_type, payload, halves[8:] + halves[:8], created, flags)
