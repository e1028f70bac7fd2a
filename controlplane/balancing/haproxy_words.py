"""HAProxy's words: its configuration, the commands of its runtime API, its statistics. Texts in and out, no process.

Each front knows every pool of its protocol and asks a map for the shares, so traffic shifts without a reload; servers
come and go as dynamic servers. Only other fronts, pools or checks need another configuration. A pool is two backends:
one is sent requests by weight alone, the other is only checked, so that a server that fails its checks can still be
sent some. A request is never tried a second time: nor does an Application Load Balancer.
Source: HAProxy 2.6 Configuration Manual and Management Guide.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from controlplane.balancing.proxy import Place
from controlplane.core.balancing.picture import Front, Picture, Pool, Seen, Server
from controlplane.core.balancing.records import Protocol
from controlplane.core.balancing.traffic import WHOLE

IDLE_SECONDS = 60
"""Idle timeout. Source: ELB User Guide, "Connection idle timeout"."""
CONNECT_SECONDS = 10.0
"""Source: ELB User Guide, "Troubleshoot your Application Load Balancers", HTTP 504."""
STATISTICS = "show stat -1 6 -1"
"""Of all backends and servers."""
_CHECKS = ".checks"
"""What the name of a pool's other backend ends with; names of pools have no dot."""
_MODES = {Protocol.HTTP: "http", Protocol.TCP: "tcp"}
_WHOLE_BACKEND = "BACKEND"
_UNREACHED = "if { status 503 } !{ var(txn.answered) -m found } { nbsrv gt 0 }"
"""The target that was chosen took no connection. Where there is none to choose, 503 stands."""
_NO_RESULT = ("", "INI", "UNK", "SOCKERR", "NONE")


def configuration(picture: Picture, *, host: str, socket: Path, shares: Path) -> str:
    """The whole configuration; listens on `host`, takes commands at `socket`, finds the shares in the map `shares`."""
    lines = [
        "global",
        f"    stats socket {socket} mode 600 level admin expose-fd listeners",
        "    maxconn 4096",
        "    hard-stop-after 30s",
        "defaults",
        f"    timeout connect {round(1000 * CONNECT_SECONDS)}ms",
        f"    timeout client {IDLE_SECONDS}s",
        f"    timeout server {IDLE_SECONDS}s",
        "    retries 0",
    ]
    for front in picture.fronts:
        lines += _front(front, picture.pools, host, shares)
    for pool in picture.pools:
        lines += _pool(pool)
    return "\n".join(lines) + "\n"


def shares_map(picture: Picture) -> str:
    """The map of the shares: `PORT.POOL` to the upper end of the pool's part."""
    return "".join(f"{key} {end}\n" for key, end in _ends(picture).items())


def needs_reload(before: Picture, after: Picture) -> bool:
    """Whether commands alone do not lead from one to the other."""
    return _frame(before) != _frame(after)


def commands(before: Picture, after: Picture, shares: Path) -> Iterator[str]:
    """The commands that lead from one picture to the other, where no reload is needed.

    Traffic is taken in before it is taken away: servers that get more, then the shares, then those that get less.
    """
    less: list[str] = []
    for old, new in zip(before.pools, after.pools, strict=True):
        was = {server.name: server for server in old.servers}
        stays = set()
        for server in new.servers:
            place = f"{new.name}/{server.name}"
            known = was.get(server.name)
            if known is not None and (known.address, known.port) == (server.address, server.port):
                stays.add(server.name)
                said = f"set server {place} weight {server.weight}"
                if known.weight < server.weight:
                    yield said
                elif known.weight > server.weight:
                    less.append(said)
                continue
            if known is not None:
                yield from _removals(old.name, server.name)
                stays.add(server.name)
            yield from _addition(new, server)
        for name in was.keys() - stays:
            less += _removals(old.name, name)
    ends = _ends(before)
    yield from (f"set map {shares} {key} {end}" for key, end in _ends(after).items() if ends[key] != end)
    yield from less


def removal(backend: str, server: str) -> tuple[str, str, str]:
    """Cut a server off, with its connections, and take it out."""
    place = f"{backend}/{server}"
    return f"disable server {place}", f"shutdown sessions server {place}", f"del server {place}"


def is_refusal(command: str, answer: str) -> bool:
    """Whether HAProxy did not do it."""
    said = answer.strip()
    return bool(said) and said not in {"New server registered.", "Server deleted."} and not command.startswith("show ")


def seen(statistics: str) -> dict[Place, Seen]:
    """What checks have come to, from the statistics of all servers."""
    found: dict[Place, Seen] = {}
    for row in _rows(statistics):
        check = row["check_status"].removeprefix("* ")
        if check not in _NO_RESULT and row["status"] != "MAINT":
            is_up = not row["status"].startswith("DOWN")
            place = row["pxname"].removesuffix(_CHECKS), row["svname"]
            found[place] = Seen(is_up, "" if is_up else _why(check, row["check_code"]))
    return found


def requests(statistics: str) -> Counter[str]:
    """How many requests (connections, where it is TCP) each pool has been sent since this process began."""
    totals = {row["pxname"]: int(row["lbtot"] or 0) for row in _rows(statistics) if row["svname"] == _WHOLE_BACKEND}
    return Counter({name: total for name, total in totals.items() if not name.endswith(_CHECKS)})


def _rows(statistics: str) -> Iterator[dict[str, str]]:
    return csv.DictReader(statistics.removeprefix("# ").splitlines())


def _why(check: str, code: str) -> str:
    """Source: ELB User Guide, "Health check reason codes"."""
    if check == "L7STS":
        return f"Health checks failed with these codes: [{code}]"
    return "Request timed out" if check.endswith("TOUT") else "Health checks failed"


def _frame(picture: Picture) -> object:
    return (
        [(front.port, front.protocol) for front in picture.fronts],
        [(pool.name, pool.protocol, pool.check) for pool in picture.pools],
    )


def _ends(picture: Picture) -> dict[str, int]:
    ends = {}
    for front in picture.fronts:
        parts = dict(front.shares)
        names = [pool.name for pool in picture.pools if pool.protocol is front.protocol]
        for name, end in zip(names, accumulate(parts.get(name, 0) for name in names), strict=True):
            ends[f"{front.port}.{name}"] = end
    return ends


def _front(front: Front, pools: tuple[Pool, ...], host: str, shares: Path) -> list[str]:
    is_http = front.protocol is Protocol.HTTP
    rule, scope = ("http-request", "txn") if is_http else ("tcp-request content", "sess")
    names = [pool.name for pool in pools if pool.protocol is front.protocol]
    ends = [(f"{scope}.end{nth}", name) for nth, name in enumerate(names)]
    return [
        f"frontend listener:{front.port}",
        f"    mode {_MODES[front.protocol]}",
        f"    bind {host}:{front.port}",
        *(["    option forwardfor"] if is_http else []),
        f"    {rule} set-var({scope}.dice) rand({WHOLE})",
        *(f"    {rule} set-var({end}) str({front.port}.{name}),map({shares},0)" for end, name in ends),
        *(f"    use_backend {name} if {{ var({scope}.dice),sub({end}) lt 0 }}" for end, name in ends),
    ]


def _pool(pool: Pool) -> list[str]:
    is_http, mode = pool.protocol is Protocol.HTTP, f"    mode {_MODES[pool.protocol]}"
    carries = [f"backend {pool.name}", mode, "    balance roundrobin", *(_answers() if is_http else [])]
    checks = [f"backend {pool.name}{_CHECKS}", mode, f"    timeout check {pool.check.timeout_seconds}s"]
    if is_http:
        checks += [f"    option httpchk GET {pool.check.path}", f"    http-check expect status {pool.check.matcher}"]
    carries += [f"    server {server.name} {_carried(server)}" for server in pool.servers]
    return carries + checks + [f"    server {server.name} {_checked(pool, server)}" for server in pool.servers]


def _answers() -> Iterator[str]:
    """What is answered where a target is not reached is an Application Load Balancer's, not HAProxy's 503."""
    yield "    http-request set-var(txn.begun) date(0,ms)"
    yield "    http-response set-var(txn.answered) int(1)"
    is_late = f"{{ date(0,ms),sub(txn.begun) ge {round(1000 * CONNECT_SECONDS)} }}"
    yield f'    http-after-response set-status 504 reason "Gateway Time-out" {_UNREACHED} {is_late}'
    yield f'    http-after-response set-status 502 reason "Bad Gateway" {_UNREACHED}'


def _addition(pool: Pool, server: Server) -> Iterator[str]:
    place, checked = f"{pool.name}/{server.name}", f"{pool.name}{_CHECKS}/{server.name}"
    yield f"add server {place} {_carried(server)}"
    yield f"enable server {place}"
    yield f"add server {checked} {_checked(pool, server)}"
    yield f"enable health {checked}"
    yield f"enable server {checked}"


def _removals(pool: str, server: str) -> tuple[str, ...]:
    return *removal(pool, server), *removal(pool + _CHECKS, server)


def _carried(server: Server) -> str:
    return f"{server.address}:{server.port} weight {server.weight} pool-max-conn 0"


def _checked(pool: Pool, server: Server) -> str:
    check = pool.check
    return (
        f"{server.address}:{server.port} check inter {check.interval_seconds}s "
        f"rise {check.healthy_threshold} fall {check.unhealthy_threshold}"
    )
