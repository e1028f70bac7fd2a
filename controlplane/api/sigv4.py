"""Signature Version 4 as the side that verifies computes it: the canonical request, and its signature.

It knows no keys but those it is given, and lets nobody in. The tests hold it against botocore's own signer.
Source: IAM User Guide, "Create a signed AWS API request".
"""

import hmac
import re
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import parse_qsl, quote

from botocore.utils import normalize_url_path

from controlplane.api.http import Headers

ALGORITHM = "AWS4-HMAC-SHA256"
SIGNERS_KEPT = 256
"""Of a key, a day, a region and a service: what a client says and signs with all day long is worked out once."""
_SIGNER = re.compile(
    ALGORITHM + r"\s+Credential=(?P<key>[^/]+)/(?P<scope>(?P<day>\d{8})/[^/]+/(?P<service>[^/]+)/aws4_request)"
    r"\s*,\s*SignedHeaders=(?P<headers>[^,\s]+)"
)
_SIGNATURE = re.compile(r"[0-9a-f]{64}")


class Signer(NamedTuple):
    """What an Authorization header says besides the signature: who signed, for what, and which headers."""

    key_id: str
    day: str
    """YYYYMMDD."""
    service: str
    scope: str
    """DAY/REGION/SERVICE/aws4_request."""
    headers: tuple[str, ...]
    """Lower case, sorted."""


def read(authorization: str) -> tuple[Signer, str] | None:
    """Signer and signature of the header; None where it is no signature of this kind."""
    before, _, signed = authorization.rpartition("Signature=")
    signer, signature = _signer(before), signed.rstrip()
    return (signer, signature) if signer is not None and _SIGNATURE.fullmatch(signature) else None


@lru_cache(SIGNERS_KEPT)
def _signer(text: str) -> Signer | None:
    found = _SIGNER.fullmatch(text.rstrip(" ,"))
    if found is None:
        return None
    covered = tuple(sorted(found["headers"].lower().split(";")))
    return Signer(found["key"], found["day"], found["service"], found["scope"], covered)


def signature(
    signer: Signer,
    secret: str,
    *,
    method: str,
    raw_path: str,
    headers: Headers,
    body_sha256: str,
    timestamp: str,
) -> str:
    """The signature that this request must carry. `raw_path` is path and query as they came over the wire."""
    path, _, query = raw_path.partition("?")
    path = path if path == "/" else quote(normalize_url_path(path), safe="/~")
    covered = [name for name in signer.headers if name in headers]
    lines = "\n".join([f"{name}:{' '.join(headers[name].split())}" for name in covered])
    query = _canonical_query(query) if query else ""
    canonical = f"{method}\n{path}\n{query}\n{lines}\n\n{';'.join(covered)}\n{body_sha256}"
    digest = sha256(canonical.encode()).hexdigest()
    signing = _keyed(secret, signer.scope).copy()
    signing.update(f"{ALGORITHM}\n{timestamp}\n{signer.scope}\n{digest}".encode())
    return signing.hexdigest()


def _canonical_query(query: str) -> str:
    """Clients differ in what they quote on the wire; what is signed is the one canonical form."""
    pairs = parse_qsl(query, keep_blank_values=True)
    return "&".join(sorted(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs))


@lru_cache(SIGNERS_KEPT)
def _keyed(secret: str, scope: str) -> hmac.HMAC:
    """An HMAC with the signing key: only copies of it are fed."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, digestmod="sha256")
