"""As much of protobuf as an event needs: fields by their numbers, no schema.

Source: protobuf.dev, "Encoding".
"""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED32: 4, _FIXED64: 8}
_MORE = 0x80
"""Of a number's byte: another one follows."""

Fields = dict[int, int | bytes]
"""By field number; of a field that comes twice, the last."""


def fields(message: bytes) -> Fields:
    """A message's fields: numbers, and bytes of everything else.

    Raises:
        ValueError: it is no message.
    """
    found: Fields = {}
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        field, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            found[field], at = _varint(message, at)
            continue
        if kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in _FIXED_BYTES:
            length = _FIXED_BYTES[kind]
        else:
            raise ValueError(f"wire type {kind}")
        if at + length > len(message):
            raise ValueError("a field without an end")
        found[field] = message[at : at + length]
        at += length
    return found


def nested(message: Fields, field: int) -> Fields:
    """The message in a field; empty where there is none. Raises what `fields` raises."""
    value = message.get(field, b"")
    return fields(value) if isinstance(value, bytes) else {}


def number(message: Fields, field: int) -> int:
    """The number in a field; 0 where there is none, as protobuf has it."""
    value = message.get(field, 0)
    return value if isinstance(value, int) else 0


def text(field: int, value: str) -> bytes:
    """A field with a short text, encoded."""
    encoded = value.encode()
    assert len(encoded) < _MORE, "one byte of length"
    return bytes((field << 3 | _BYTES, len(encoded))) + encoded


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value |= (byte & ~_MORE) << shift
        at, shift = at + 1, shift + 7
        if byte < _MORE:
            return value, at
    raise ValueError("a number without an end")
