"""Where the endpoints listen: the loopback, and the addresses by which containers reach their host.

Amazon's fixed ports are the first agent's; the next ones take free ports and keep them, for containers carry the
address in their environment. `169.254.170.2` is used where whoever runs the host has given it that address
(`ip address add 169.254.170.2/32 dev lo`) and no other agent has taken it: this module changes nothing on the host.

Source: amazon-ecs-agent `agent/handlers/*_setup.go`, `ecs-init` (which redirects 169.254.170.2 by iptables).
"""

import errno
import logging
import socket
from contextlib import suppress

import msgspec

from agent.journal import Journal

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
LINK_LOCAL = "169.254.170.2"
LINK_LOCAL_PORT = 80
INTROSPECTION_PORT = 51678
METADATA_PORT = 51679
FREE_PORT_TRIES_MAX = 20
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EACCES)


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """What one agent listens on."""

    introspection: list[socket.socket]
    metadata: list[socket.socket]
    base: str
    """What stands before the path in the addresses that containers are given; empty where they cannot reach us."""
    addresses: tuple[str, ...]
    """The host's own, among those listened on."""

    @property
    def taken(self) -> frozenset[int]:
        """TCP ports of the host that are ours."""
        return frozenset(s.getsockname()[1] for s in (*self.introspection, *self.metadata))

    @property
    def introspection_address(self) -> str:
        """`ADDRESS:PORT` of the introspection, on the host itself."""
        return f"{LOOPBACK}:{self.introspection[0].getsockname()[1]}"

    def close(self) -> None:
        """Let them go."""
        for each in (*self.introspection, *self.metadata):
            each.close()


def take(journal: Journal, gateway: str | None, *, link_local: str = LINK_LOCAL) -> Ports:
    """Bind everything; `gateway` is the host's address on Docker's bridge.

    Raises:
        OSError: not even the loopback can be listened on.
    """
    introspection = _take_kept(journal, "introspection-port", (LOOPBACK,), INTROSPECTION_PORT)
    hosts = (LOOPBACK, gateway) if gateway and _is_ours(gateway) else (LOOPBACK,)
    metadata = _take_kept(journal, "metadata-port", hosts, METADATA_PORT)
    port = metadata[0].getsockname()[1]
    base = f"http://{gateway}:{port}" if len(hosts) > 1 else ""
    with suppress(OSError):
        metadata.append(_bind(link_local, LINK_LOCAL_PORT))
        base, hosts = f"http://{link_local}", (*hosts, link_local)
    if not base:
        log.warning(
            "Containers get no metadata endpoints: Docker's bridge (%s) is no address of this machine, "
            "and neither is %s.",
            gateway or "there is none",
            link_local,
        )
    return Ports(introspection=introspection, metadata=metadata, base=base, addresses=hosts)


def _take_kept(journal: Journal, fact: str, hosts: tuple[str, ...], first: int) -> list[socket.socket]:
    """One port on every host: the one of the last time, else the fixed one, else any."""
    known = journal.fact(fact)
    preferred = int(known) if known else first
    found = _bind_all(hosts, preferred)
    if found is None and known:
        log.warning(
            "Port %d is taken by another program: containers that were started before do not reach their %s any more.",
            preferred,
            fact.removesuffix("-port"),
        )
    for _ in range(FREE_PORT_TRIES_MAX):
        found = found or _bind_all(hosts, 0)
    if found is None:
        raise OSError(errno.EADDRINUSE, f"there is no port that is free on all of {', '.join(hosts)}")
    journal.note(fact, str(found[0].getsockname()[1]))
    return found


def _bind_all(hosts: tuple[str, ...], port: int) -> list[socket.socket] | None:
    bound: list[socket.socket] = []
    try:
        for host in hosts:
            bound.append(_bind(host, port))
            port = bound[0].getsockname()[1]
    except OSError as error:
        for each in bound:
            each.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return None
    return bound


def _bind(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
        listening.settimeout(0)
    except OSError:
        listening.close()
        raise
    return listening


def _is_ours(address: str) -> bool:
    try:
        _bind(address, 0).close()
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        return False
    return True
