"""The answer to an agent's websocket that is not let in. Both sessions give it; the agent reads its name.

Source: amazon-ecs-agent `ecs-agent/wsclient/decode.go` (DecodeConnectionError); observed.
"""

import msgspec
from aiohttp import web

from controlplane.core.model import Instance
from wire import envelope
from wire.errors import AwsError
from wire.status import InstanceStatus


def refusal(instance: Instance | None, arn: str) -> web.Response | None:
    """The answer to an upgrade that is refused; None where the instance may connect."""
    if instance is None:
        kind, sentence = "InvalidInstanceException", f"There is no container instance {arn[:200]!r}."
    elif instance.status is InstanceStatus.INACTIVE:
        kind, sentence = "InactiveInstanceException", f"The container instance {arn} has been deregistered."
    else:
        return None
    body = msgspec.json.encode({"type": kind, "message": {"message": f"{kind}: {sentence}"}})
    return web.Response(status=400, body=body, content_type="application/json")


def refused_by(error: AwsError) -> web.Response:
    """The answer to an upgrade whose signature does not stand."""
    return web.Response(status=error.status, body=envelope.encode_error(error), content_type=envelope.CONTENT_TYPE)
