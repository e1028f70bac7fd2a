"""AWS Signature Version 4, as small as the agent needs it.

botocore would cost the agent 10 MB and more; the control plane verifies with botocore's own signer, and the tests
hold this one against it. Source: AWS General Reference, "Signing AWS API requests".
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import msgspec

ALGORITHM = "AWS4-HMAC-SHA256"


class Credentials(msgspec.Struct, frozen=True):
    """Keys of whoever signs."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""


class Signer(msgspec.Struct, frozen=True):
    """Signs requests for the service `ecs` in one region."""

    credentials: Credentials
    region: str
    service: str = "ecs"

    def sign(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, epoch_seconds: float
    ) -> dict[str, str]:
        """The headers to add to the request: Authorization, X-Amz-Date, and the session token where there is one."""
        at = datetime.fromtimestamp(epoch_seconds, UTC)
        stamp, day = at.strftime("%Y%m%dT%H%M%SZ"), at.strftime("%Y%m%d")
        parts = urlsplit(url)
        signed = {name.lower(): value.strip() for name, value in headers.items()}
        signed |= {"host": parts.netloc, "x-amz-date": stamp}
        added = {"X-Amz-Date": stamp}
        if self.credentials.session_token:
            signed["x-amz-security-token"] = added["X-Amz-Security-Token"] = self.credentials.session_token
        names = ";".join(sorted(signed))
        request = "\n".join(
            (
                method,
                quote(parts.path or "/"),
                _canonical_query(parts.query),
                "".join(f"{name}:{signed[name]}\n" for name in sorted(signed)),
                names,
                hashlib.sha256(body).hexdigest(),
            )
        )
        scope = f"{day}/{self.region}/{self.service}/aws4_request"
        text = "\n".join((ALGORITHM, stamp, scope, hashlib.sha256(request.encode()).hexdigest()))
        signature = hmac.new(self._key(day), text.encode(), hashlib.sha256).hexdigest()
        credential = f"{self.credentials.access_key_id}/{scope}"
        authorization = f"{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
        return {**added, "Authorization": authorization}

    def _key(self, day: str) -> bytes:
        key = f"AWS4{self.credentials.secret_access_key}".encode()
        for part in (day, self.region, self.service, "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key


def _canonical_query(query: str) -> str:
    """Sorted; the caller has percent-encoded every value, blanks included."""
    pairs = sorted(part.partition("=") for part in query.split("&") if part)
    return "&".join(f"{name}={value}" for name, _, value in pairs)
