"""Ids in the addresses that containers are given: unguessable, and the same for a container's whole life.

They are derived from a secret in the agent's journal, so that no table of them must survive a restart. Amazon's
agent draws a random UUID per container (`v3EndpointID`); ours have the same form.
"""

import hashlib
import hmac
import secrets
import uuid

from agent.journal import Journal

_FACT = "endpoint-secret"


class Identifiers:
    """Maker of ids for one agent."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def of(cls, journal: Journal) -> "Identifiers":
        """With the secret of this data directory; made at first use."""
        known = journal.fact(_FACT)
        if known is None:
            known = secrets.token_hex(32)
            journal.note(_FACT, known)
        return cls(bytes.fromhex(known))

    def endpoint(self, task: str, container: str) -> str:
        """The id in the metadata and protection addresses of a container (`task` is the ARN)."""
        return self._derive("endpoint", task, container)

    def folder(self, task: str, container: str) -> str:
        """The name of the folder of a container's metadata file."""
        return self._derive("folder", task, container)

    def _derive(self, *parts: str) -> str:
        digest = hmac.digest(self._secret, "\n".join(parts).encode(), hashlib.sha256)
        return str(uuid.UUID(bytes=digest[:16], version=4))
