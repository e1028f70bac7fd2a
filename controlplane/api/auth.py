"""SigV4: who may talk to a control plane that has keys: whoever has one of its pairs, and task roles, within limits.

Without keys (loopback only) every request passes, whatever it is signed with. What a signature is, is `sigv4`'s.
Source: IAM User Guide, "Signature Version 4", "Troubleshoot".
"""

import hmac
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256

from controlplane.api import sigv4
from controlplane.api.http import Headers, Request
from controlplane.api.keys import KeyRing
from controlplane.api.role_keys import Claims, Mint
from wire.errors import AwsError

CLOCK_SKEW_SECONDS_MAX = 300
"""How far a caller's clock may be off. Source: IAM User Guide, "Troubleshoot Signature Version 4" (5 minutes)."""

SERVICES = frozenset({"ecs", "events", "logs", "sts", "application-autoscaling", "monitoring"})
_TIMESTAMP = "%Y%m%dT%H%M%SZ"
_FORBIDDEN = 403
_UNSIGNED = ("UNSIGNED-PAYLOAD", "STREAMING-")
"""Values of X-Amz-Content-SHA256 that say: the body is not covered, or signed piece by piece. S3 alone takes them."""


def verify(keys: KeyRing | None, request: Request, now: float) -> Claims | None:
    """Let the request pass, or say why not. Returns the task role whose keys signed it; None for the configured ones.

    `now` is epoch seconds.

    Raises:
        AwsError: 403, with AWS's name for what is wrong with the signature.
    """
    if keys is None:
        return None
    headers = request.headers
    signer, signature = _claimed(headers)
    secret, role = _secret_of(keys, signer.key_id, headers.get("x-amz-security-token", ""))
    timestamp = _fresh_timestamp(headers.get("x-amz-date", ""), signer.day, now)
    expected = sigv4.signature(
        signer,
        secret,
        method=request.method,
        raw_path=request.target,
        headers=headers,
        body_sha256=_whole(headers.get("x-amz-content-sha256"), request.body),
        timestamp=timestamp,
    )
    if not hmac.compare_digest(expected, signature):
        raise _mismatch()
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
            "task roles may read, protect tasks, write logs and put metrics.",
        )


def _claimed(headers: Headers) -> tuple[sigv4.Signer, str]:
    """Who says that it has signed the request, once that covers what it has to, and the signature."""
    authorization = headers.get("authorization")
    if not authorization:
        raise _refused("MissingAuthenticationTokenException", "Missing Authentication Token")
    claimed = sigv4.read(authorization)
    fault = _fault_of(claimed[0] if claimed else None, tuple(headers))
    if fault or claimed is None:
        raise _refused("IncompleteSignatureException", fault)
    return claimed


@lru_cache(sigv4.SIGNERS_KEPT)
def _fault_of(signer: sigv4.Signer | None, names: tuple[str, ...]) -> str:
    """Why this signer's signature of a request with headers of these names is none for us; "" where it may be."""
    if signer is None or signer.service not in SERVICES:
        return f"The Authorization header is no {sigv4.ALGORITHM} signature for one of {', '.join(sorted(SERVICES))}."
    if not {"host", *(name for name in names if name.startswith("x-amz-"))}.issubset(signer.headers):
        return "The Host header and every X-Amz- header have to be signed."
    return ""


def _secret_of(keys: KeyRing, key_id: str, token: str) -> tuple[str, Claims | None]:
    """The secret that a request with this key id must be signed with."""
    secret = keys.secret_of(key_id)
    if secret is not None:
        return secret, None
    known = Mint(keys.first.secret_access_key).known(token)
    if known is None or not hmac.compare_digest(known[1].access_key_id.encode(), key_id.encode()):
        raise _refused("UnrecognizedClientException", "The security token included in the request is invalid.")
    claims, minted = known
    return minted.secret_access_key, claims


def _fresh_timestamp(text: str, day: str, now: float) -> str:
    at = _epoch_seconds(text)
    if at is not None and text.startswith(day) and abs(at - now) <= CLOCK_SKEW_SECONDS_MAX:
        return text
    raise _untimely(at, text, day, now)


def _untimely(at: float | None, text: str, day: str, now: float) -> AwsError:
    if at is None:
        return _refused("IncompleteSignatureException", "X-Amz-Date is missing or no timestamp.")
    if day != text[:8]:
        return _refused(
            "InvalidSignatureException",
            f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{day}' != '{text[:8]}', from '{text}'.",
        )
    minutes = CLOCK_SKEW_SECONDS_MAX // 60
    if at < now:
        earliest = f"{_stamp(now - CLOCK_SKEW_SECONDS_MAX)} ({_stamp(now)} - {minutes} min.)"
        return _refused("InvalidSignatureException", f"Signature expired: {text} is now earlier than {earliest}")
    latest = f"{_stamp(now + CLOCK_SKEW_SECONDS_MAX)} ({_stamp(now)} + {minutes} min.)"
    return _refused("InvalidSignatureException", f"Signature not yet current: {text} is still later than {latest}")


@lru_cache(64)
def _epoch_seconds(text: str) -> float | None:
    try:
        return datetime.strptime(text, _TIMESTAMP).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _stamp(epoch_seconds: float) -> str:
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime(_TIMESTAMP)


def _whole(announced: str | None, body: bytes) -> str:
    """SHA-256 of the body, which is what was announced, where something was."""
    if announced is not None and announced.startswith(_UNSIGNED):
        raise _refused(
            "InvalidSignatureException",
            f"X-Amz-Content-SHA256 is {announced[:100]}: sign the whole body; unsigned and chunked ones are for S3.",
        )
    digest = sha256(body).hexdigest()
    if announced is not None and not hmac.compare_digest(announced.encode(), digest.encode()):
        raise _mismatch()
    return digest


def _mismatch() -> AwsError:
    return _refused(
        "InvalidSignatureException",
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
        "Access Key and signing method. Consult the service documentation for details.",
    )


def _refused(code: str, message: str) -> AwsError:
    return AwsError(message, code=code, status=_FORBIDDEN)
