"""SigV4: who may talk to a control plane that has keys: whoever has its key pair, and task roles, within limits.

Without keys (loopback only) every request passes, whatever it is signed with. The signature is computed by botocore's
own signer, from the headers that the caller says it signed. Source: IAM User Guide, "Signature Version 4".
"""

import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from controlplane.api.role_keys import Claims, Mint
from wire.errors import AwsError

CLOCK_SKEW_SECONDS_MAX = 300
"""How far a caller's clock may be off. Source: IAM User Guide, "Troubleshoot Signature Version 4" (5 minutes)."""

SERVICES = frozenset({"ecs", "logs"})
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request"
    r"\s*,\s*SignedHeaders=(?P<headers>[^,\s]+)\s*,\s*Signature=(?P<signature>[0-9a-f]{64})\s*$"
)
_TIMESTAMP = "%Y%m%dT%H%M%SZ"
_FORBIDDEN = 403


class Keys(NamedTuple):
    """A key pair: the one that is let in, or one that was made from it."""

    access_key_id: str
    secret_access_key: str


def verify(
    keys: Keys | None, *, method: str, raw_path: str, headers: Mapping[str, str], body: bytes, now: float
) -> Claims | None:
    """Let the request pass, or say why not. Returns the task role whose keys signed it; None for the configured ones.

    `raw_path` is path and query as they came, `now` epoch seconds.

    Raises:
        AwsError: 403, with AWS's name for what is wrong with the signature.
    """
    if keys is None:
        return None
    if not headers.get("Authorization"):
        raise _refused("MissingAuthenticationTokenException", "Missing Authentication Token")
    signed = _AUTHORIZATION.match(headers["Authorization"])
    if signed is None or signed["service"] not in SERVICES:
        raise _refused(
            "IncompleteSignatureException",
            "The Authorization header is no AWS4-HMAC-SHA256 signature for the service ecs or logs.",
        )
    used, role = _keys_of(keys, signed["key"], headers.get("X-Amz-Security-Token", ""))
    covered = signed["headers"].split(";")
    if any(name.lower().startswith("x-amz-") and name.lower() not in covered for name in headers):
        raise _refused("IncompleteSignatureException", "Every X-Amz- header has to be signed.")
    timestamp = _fresh_timestamp(headers.get("X-Amz-Date", ""), now)
    content_hash = headers.get("X-Amz-Content-SHA256")
    expected = _signature(
        used, signed, method=method, raw_path=raw_path, headers=headers, body=body, timestamp=timestamp
    )
    body_is_whole = content_hash is None or hmac.compare_digest(content_hash, sha256(body).hexdigest())
    if not body_is_whole or not hmac.compare_digest(expected, signed["signature"]):
        raise _refused(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details.",
        )
    if role is not None and role.expires <= now:
        raise _refused("ExpiredTokenException", "The security token included in the request is expired")
    return role


def permit(role: Claims | None, operation: str) -> None:
    """Let a task role do what task roles may.

    Raises:
        AwsError: 403 AccessDeniedException.
    """
    if role is not None and not role.may(operation):
        raise _refused(
            "AccessDeniedException",
            f"User: {role.role} of the task {role.task} is not authorized to perform: {operation}; "
            "task roles may read, protect tasks and write logs.",
        )


def _keys_of(keys: Keys, key_id: str, token: str) -> tuple[Keys, Claims | None]:
    """The pair that a request with this key id must be signed with."""
    if key_id == keys.access_key_id:
        return keys, None
    known = Mint(keys.secret_access_key).known(token)
    if known is None or not hmac.compare_digest(known[1].access_key_id.encode(), key_id.encode()):
        raise _refused("UnrecognizedClientException", "The security token included in the request is invalid.")
    claims, minted = known
    return Keys(minted.access_key_id, minted.secret_access_key), claims


def _fresh_timestamp(text: str, now: float) -> str:
    try:
        at = datetime.strptime(text, _TIMESTAMP).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise _refused("IncompleteSignatureException", "X-Amz-Date is missing or no timestamp.") from None
    if abs(at - now) > CLOCK_SKEW_SECONDS_MAX:
        server_time = datetime.fromtimestamp(now, UTC).strftime(_TIMESTAMP)
        raise _refused(
            "InvalidSignatureException",
            f"Signature expired: {text} is more than {CLOCK_SKEW_SECONDS_MAX // 60} min. away from {server_time}",
        )
    return text


def _signature(
    keys: Keys,
    signed: re.Match[str],
    *,
    method: str,
    raw_path: str,
    headers: Mapping[str, str],
    body: bytes,
    timestamp: str,
) -> str:
    covered = {name: headers[name] for name in signed["headers"].split(";") if name in headers}
    path, _, query = raw_path.partition("?")
    # Clients differ in what they quote on the wire; what is signed is the one canonical form.
    params: Any = parse_qsl(query, keep_blank_values=True)
    url = f"http://{headers.get('Host', '')}{path}"
    request: Any = AWSRequest(method=method, url=url, headers=covered, data=body, params=params)
    request.context["timestamp"] = timestamp
    signer: Any = SigV4Auth(Credentials(*keys), signed["service"], signed["region"])
    signature: str = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    return signature


def _refused(code: str, message: str) -> AwsError:
    return AwsError(message, code=code, status=_FORBIDDEN)
