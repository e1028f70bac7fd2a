"""The envelopes: AWS JSON 1.1 over HTTP for the ECS API, `{"type", "message"}` frames for ACS.

Source: botocore's ECS model (metadata); amazon-ecs-agent `ecs-agent/wsclient` for the frames.
"""

from typing import Any

import msgspec

from wire.errors import AwsError

TARGET_PREFIX = "AmazonEC2ContainerServiceV20141113"
CONTENT_TYPE = "application/x-amz-json-1.1"
CAUSE_HEADER = "X-Berth-Cause"
"""Ours: the id of the event at the caller that led to this call; it becomes the `cause` in the story."""


class Frame(msgspec.Struct):
    """One ACS frame. `message` stays raw until somebody who knows `type` reads it."""

    type: str
    message: msgspec.Raw = msgspec.Raw(b"{}")


_frame_decoder = msgspec.json.Decoder(Frame)


def target(operation: str, prefix: str = TARGET_PREFIX) -> str:
    """Value of `X-Amz-Target` for an operation, ECS's unless another service's prefix is given."""
    return f"{prefix}.{operation}"


def request_headers(operation: str, prefix: str = TARGET_PREFIX) -> dict[str, str]:
    """Headers of a call to `operation`."""
    return {"Content-Type": CONTENT_TYPE, "X-Amz-Target": target(operation, prefix)}


def operation_of(target_header: str, prefix: str = TARGET_PREFIX) -> str | None:
    """Operation that `X-Amz-Target` names; None where the prefix is another service's."""
    found, dot, operation = target_header.partition(".")
    return operation if dot and found == prefix and operation else None


def encode_error(error: AwsError) -> bytes:
    """Body of an error answer."""
    return msgspec.json.encode({"__type": error.code, "message": error.message, **error.members})


def decode_error(status: int, body: bytes) -> AwsError:
    """Read an error answer, whatever it is."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        text = body.decode(errors="replace").strip()
        return AwsError(text[:200] or f"HTTP {status}", code=f"HTTP{status}", status=status)
    code = str(fields.get("__type", f"HTTP{status}")).rsplit("#", 1)[-1].split(":", 1)[0]
    message = str(fields.get("message") or fields.get("Message") or code)
    return AwsError(message, code=code, status=status)


def encode_frame(kind: str, message: object) -> str:
    """One ACS text frame."""
    return frame_bytes(kind, message).decode()


def frame_bytes(kind: str, message: object) -> bytes:
    """The same in UTF-8, as it goes over the wire."""
    return msgspec.json.encode({"type": kind, "message": message})


def decode_frame(text: str | bytes) -> Frame:
    """Read one ACS frame.

    Raises:
        msgspec.MsgspecError: `text` is no frame.
    """
    return _frame_decoder.decode(text)
