"""TLS to the control plane: the host's CA certificates are read when the first connection needs them.

An agent that speaks plain HTTP never has them in memory (2 MiB). Knows no endpoint.
"""

import ssl
from typing import Any


class LazyTrust(ssl.SSLContext):
    """A client's context that trusts whom the host trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` say otherwise)."""

    _is_read = False

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """A connection begins: what is trusted must be known."""
        if not self._is_read:
            self.load_default_certs()
            self._is_read = True
        return super().wrap_bio(*arguments, **options)


def trust() -> LazyTrust:
    """Verifies certificate and host name; HTTP/1.1."""
    context = LazyTrust(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    return context
