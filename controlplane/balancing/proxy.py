"""What a proxy must do for us. There is HAProxy; tests have one that is played; both pass one contract suite."""

from collections.abc import Mapping
from typing import Protocol

from controlplane.core.balancing.picture import Picture, Seen

Place = tuple[str, str]
"""(name of the pool, name of the server)."""


class ProxyError(Exception):
    """The proxy is not there, or does not do as it is told: one sentence for a person. Showing again may help."""


class Proxy(Protocol):
    """A proxy that looks as its last picture says. Level-driven: showing the same picture again changes nothing."""

    @property
    def requests(self) -> Mapping[str, int]:
        """How many requests each pool (name) has been sent until the last look, over all its lives; it never falls."""
        ...

    async def show(self, picture: Picture) -> None:
        """Look like that from now on; no connection of a server that stays is cut. Starts what does not run.

        Raises:
            ProxyError: it could not; the next call begins anew.
        """
        ...

    async def look(self) -> Mapping[Place, Seen]:
        """What its checks say; servers without a result are left out.

        Raises:
            ProxyError: it does not answer.
        """
        ...

    async def close(self) -> None:
        """End it, with all its connections. A later picture starts it again."""
        ...
