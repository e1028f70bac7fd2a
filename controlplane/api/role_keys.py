"""Temporary keys of task roles: made from the keys that the control plane has, and known again without a store.

The session token says whose they are and until when, signed; key id and secret follow from the token. Nothing is
kept, so a restart forgets nothing, and whoever changes the configured keys ends every token at once.
Source: IAM User Guide, "Temporary security credentials" (key ids begin with ASIA).
"""

import base64
import hmac
from hashlib import sha256
from typing import NamedTuple

import msgspec

TOKEN_CHARACTERS_MAX = 4096
_KEY_ID_CHARACTERS = 16
_READS = ("Describe", "List", "Get", "Filter")
_WRITES = frozenset({"UpdateTaskProtection", "CreateLogGroup", "CreateLogStream", "PutLogEvents", "PutMetricData"})


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says. `expires` is epoch seconds."""

    task: str
    """ARN."""
    role: str
    """ARN."""
    expires: int

    def may(self, operation: str) -> bool:
        """Look, protect tasks, write logs and put metrics: a container must not govern the cluster it runs on."""
        return operation.startswith(_READS) or operation in _WRITES


class Minted(NamedTuple):
    """Temporary keys. Their values are shown to the agent of the task, and to nobody else."""

    access_key_id: str
    secret_access_key: str
    session_token: str


class Mint:
    """Makes temporary keys from one secret, and knows its own again."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"berth: keys of task roles", sha256)

    def make(self, claims: Claims) -> Minted:
        """The same claims make the same keys."""
        text = base64.urlsafe_b64encode(msgspec.json.encode(claims)).decode()
        return self._keys(f"{text}.{self._digest('token', text).hex()}")

    def known(self, token: str) -> tuple[Claims, Minted] | None:
        """Whose token this is, expired or not, and the keys that belong to it; None where it is none of ours."""
        text, _, signature = token.partition(".")
        if len(token) > TOKEN_CHARACTERS_MAX or not token.isascii():
            return None
        if not hmac.compare_digest(self._digest("token", text).hex(), signature):
            return None
        return msgspec.json.decode(base64.urlsafe_b64decode(text), type=Claims), self._keys(token)

    def _keys(self, token: str) -> Minted:
        key_id = base64.b32encode(self._digest("id", token)).decode()[:_KEY_ID_CHARACTERS]
        return Minted(f"ASIA{key_id}", base64.b64encode(self._digest("secret", token)).decode(), token)

    def _digest(self, purpose: str, text: str) -> bytes:
        return hmac.digest(self._key, f"{purpose}:{text}".encode(), sha256)
