"""Ports of the loopback for the servers of tests: no two tests have the same one, whichever processes run them.

They lie beneath the range from which the kernel takes a port for whoever asks for any: one found by `bind(0)` may be
somebody else's before its server listens, or between a server's end and its next start.
"""

import atexit
import contextlib
import random
import socket
from pathlib import Path

LOWEST, BLOCK, TRIES_MAX = 10_000, 50, 1000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_left: list[int] = []
_held: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on, and that is given to nobody else."""
    for _ in range(TRIES_MAX):
        port = _left.pop() if _left else _next_block()
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


def hold(*ports: int) -> None:
    """Keep these from every agent that a test starts, until this process ends. Several processes may hold them at once.

    The first agent of a machine has Amazon's fixed ports, and the next one gets them as soon as it is killed: another
    test's, a moment before it is started again.
    """
    for port in set(ports) - _held:
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            holder.bind(("127.0.0.1", port))
        except OSError:  # an agent has it now
            holder.close()
            continue
        _held.add(port)
        atexit.register(holder.close)


def _next_block() -> int:
    """Take a block of ports for this process until it ends, by a name that no second process can have; the first."""
    highest = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 49_152
    dice = random.SystemRandom()  # what tests seed is another one
    for _ in range(TRIES_MAX):
        first = dice.randrange(LOWEST, highest - BLOCK + 1, BLOCK)
        name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with contextlib.suppress(OSError):
            if _RANGE.exists():  # Linux, where a name needs no file
                name.bind(f"\0berth-test-ports-{first}")
            atexit.register(name.close)
            _left.extend(range(first + 1, first + BLOCK))
            return first
        name.close()
    raise AssertionError("no free block of ports")
