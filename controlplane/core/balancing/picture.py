"""What the proxy is to look like now: fronts, pools of servers, weights. All of it follows from the view and the time.

The weight says everything about a server: 0 gets nothing new, and what is under way goes on; a server that is in no
pool is cut off. A target in its slow start grows to its full weight in a straight line, unless nobody else is at it.
A group whose every checked target is unhealthy fails open: they all get traffic. Source: ELB User Guide, "Health
checks for Application Load Balancer target groups", "Slow start mode".
"""

from collections.abc import Iterable, Mapping

import msgspec

from controlplane.core.balancing.records import Check, Listener, Protocol, Target, TargetGroup, TargetState
from controlplane.core.balancing.traffic import shares
from controlplane.core.model import Task
from controlplane.core.view import View
from wire.arn import short_id

WEIGHT_MAX = 100


class Server(msgspec.Struct, frozen=True):
    """One target as the proxy has it."""

    name: str
    address: str
    port: int
    weight: int


class Pool(msgspec.Struct, frozen=True):
    """A target group as the proxy has it."""

    name: str
    protocol: Protocol
    check: Check
    servers: tuple[Server, ...] = ()


class Front(msgspec.Struct, frozen=True):
    """A listener as the proxy has it: the shares of pools (name, per mille)."""

    port: int
    protocol: Protocol
    shares: tuple[tuple[str, int], ...]


class Picture(msgspec.Struct, frozen=True):
    """All of it, in order of names and ports."""

    fronts: tuple[Front, ...] = ()
    pools: tuple[Pool, ...] = ()


class Seen(msgspec.Struct, frozen=True):
    """What the proxy's own checks say about a server."""

    is_up: bool
    reason: str = ""
    """Why it is not, in ELB's words."""


def server_name(task: str, target: Target) -> str:
    """Name of a target's server in its pool: `task` is an ARN."""
    return f"{short_id(task)}-{target.container_port}"


def draw(view: View, tasks: Iterable[Task], now: float) -> Picture:
    """The picture at `now` (epoch seconds). `tasks` are those that have targets."""
    groups = {group.arn: group for group in sorted(view.records(TargetGroup), key=lambda group: group.name)}
    members: dict[str, list[tuple[str, Target]]] = {arn: [] for arn in groups}
    for task in tasks:
        for target in task.targets:
            if target.group in members and (target.state.is_registered or target.state is TargetState.DRAINING):
                members[target.group].append((task.arn, target))
    pools = tuple(
        Pool(group.name, group.protocol, group.check, _servers(group, members[group.arn], now))
        for group in groups.values()
    )
    fronts = tuple(
        Front(
            listener.port,
            groups[listener.group].protocol,
            tuple((groups[arn].name, part) for arn, part in shares(view, listener) if arn in groups),
        )
        for listener in sorted(view.records(Listener), key=lambda listener: listener.port)
        if listener.group in groups
    )
    return Picture(fronts, pools)


def next_targets(view: View, task: Task, seen: Mapping[tuple[str, str], Seen], now: float) -> tuple[Target, ...]:
    """The targets of a task after a look at all servers, by names of pool and server."""
    after = []
    for target in task.targets:
        group = view.record(TargetGroup, target.group)
        found = seen.get((group.name, server_name(task.arn, target))) if group is not None else None
        after.append(target if group is None else next_target(group, target, found, now))
    return tuple(after)


def next_target(group: TargetGroup, target: Target, seen: Seen | None, now: float) -> Target:
    """The target after a look at its server; `seen` None: no check has come to a result.

    A new target is healthy at its first passed check and unhealthy after `unhealthy_threshold` intervals without one;
    between healthy and unhealthy the proxy itself counts the thresholds. Source: ELB User Guide, "Health checks".
    """
    if seen is None or not target.state.is_registered:
        return target
    patience_seconds = group.check.unhealthy_threshold * group.check.interval_seconds
    if target.state is TargetState.INITIAL and not seen.is_up and now < target.since + patience_seconds:
        return target
    state = TargetState.HEALTHY if seen.is_up else TargetState.UNHEALTHY
    since = target.since if state is target.state else now
    return msgspec.structs.replace(target, state=state, since=since, reason=seen.reason)


def _servers(group: TargetGroup, members: list[tuple[str, Target]], now: float) -> tuple[Server, ...]:
    healthy = [target for _, target in members if target.state is TargetState.HEALTHY]
    # A slow start needs somebody beside who is past it.
    is_slow = any(_ramp(group, target, now) >= 1 for target in healthy)
    serving = TargetState.HEALTHY if healthy else TargetState.UNHEALTHY
    return tuple(
        Server(
            server_name(task, target),
            target.address,
            target.port,
            _weight(group, target, now, serving=serving, is_slow=is_slow),
        )
        for task, target in sorted(members, key=lambda member: member[0])
    )


def _weight(group: TargetGroup, target: Target, now: float, *, serving: TargetState, is_slow: bool) -> int:
    if target.state is TargetState.DRAINING:
        return WEIGHT_MAX if now < target.since + group.propagation_seconds else 0
    if target.state is not serving:
        return 0
    return max(1, round(WEIGHT_MAX * _ramp(group, target, now))) if is_slow else WEIGHT_MAX


def _ramp(group: TargetGroup, target: Target, now: float) -> float:
    """How far a healthy target is in its slow start: 0 to 1."""
    if group.slow_start_seconds <= 0:
        return 1.0
    return min(1.0, max(0.0, (now - target.since) / group.slow_start_seconds))
