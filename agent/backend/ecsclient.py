"""The ECS API as the agent calls it: signed JSON 1.1 over HTTP. It decides nothing about retries.

Source: amazon-ecs-agent `ecs-agent/api/ecs/client/ecs_client.go` (`RoundtripTimeout` 42 s).
"""

import time
from typing import Any

import aiohttp
import msgspec

from agent.backend.sigv4 import Credentials, Signer
from wire.envelope import CAUSE_HEADER, TARGET_PREFIX, decode_error, request_headers
from wire.errors import AwsError

ROUND_TRIP_SECONDS = 42
TRANSIENT_CODES = frozenset({"ThrottlingException", "ServerException", "LimitExceededException", "ServiceUnavailable"})


class BackendUnreachableError(Exception):
    """No answer of a control plane: refused, cut off, too late, or somebody else's."""


def is_transient(error: AwsError) -> bool:
    """Whether the same call may go through later."""
    return error.code in TRANSIENT_CODES or error.status >= 500  # noqa: PLR2004 - HTTP's own border


class EcsClient:
    """Calls operations of one endpoint."""

    def __init__(self, session: aiohttp.ClientSession, endpoint: str, signer: Signer) -> None:
        self.session = session
        self.endpoint = endpoint.rstrip("/")
        self.signer = signer

    def signed_by(self, credentials: Credentials) -> "EcsClient":
        """A client of the same endpoint for somebody else's keys."""
        return EcsClient(self.session, self.endpoint, Signer(credentials, self.signer.region))

    async def call(
        self, operation: str, request: object, *, cause: str = "", prefix: str = TARGET_PREFIX
    ) -> dict[str, Any]:
        """One call; `prefix` is that of another service on the same port.

        Raises:
            AwsError: the control plane refused, by the name and in the words that it gave.
            BackendUnreachableError: there was no answer, or none that can be read.
        """
        body = msgspec.json.encode(request)
        headers = request_headers(operation, prefix)
        url = f"{self.endpoint}/"
        headers |= self.signer.sign("POST", url, headers, body, time.time())
        if cause:
            headers[CAUSE_HEADER] = cause
        try:
            timeout = aiohttp.ClientTimeout(total=ROUND_TRIP_SECONDS)
            async with self.session.post(url, data=body, headers=headers, timeout=timeout) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise BackendUnreachableError(f"{operation}: {str(error) or type(error).__name__}") from error
        if response.status >= 400:  # noqa: PLR2004 - HTTP's own border
            refused = decode_error(response.status, answer)
            refused.request_id = response.headers.get("x-amzn-RequestId", "")
            raise refused
        try:
            return msgspec.json.decode(answer or b"{}", type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise BackendUnreachableError(f"{operation}: the answer is no JSON object") from error
