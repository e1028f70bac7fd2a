"""What target groups carry, as an Application Load Balancer tells CloudWatch each minute. Pure.

Requests are counted per minute of the wall's clock: they come at their own pace, however fast the scaler's runs. Where
several listeners lead to a group, each one's load balancer is told the whole count. TCP groups tell nothing.
Source: ELB User Guide, "CloudWatch metrics for your Application Load Balancer" (`RequestCountPerTarget`: by the healthy
targets, or by the registered ones where none is healthy).
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from controlplane.core.balancing.records import Listener, Protocol, TargetGroup, TargetState
from controlplane.core.balancing.traffic import shares
from controlplane.core.model import Task
from controlplane.core.scaling.metrics import Metric, metric
from controlplane.core.view import View
from wire.scaling import BALANCER_METRICS


def of_groups(view: View, requests: Mapping[str, float]) -> Iterator[tuple[Metric, float]]:
    """The metrics of every group. `requests`: per minute, by the group's name; absent: none."""
    states = _states(view)
    balancers = _balancers(view)
    for group in view.records(TargetGroup):
        if group.protocol is not Protocol.HTTP:
            continue
        count, known = requests.get(group.name, 0.0), states[group.arn]
        values = {"RequestCount": count, "RequestCountPerTarget": count / (_divisor(known) or 1)}
        if known:
            values["HealthyHostCount"] = known[TargetState.HEALTHY]
            values["UnHealthyHostCount"] = known[TargetState.UNHEALTHY]
        of_group = {"TargetGroup": group.label}
        yield metric(BALANCER_METRICS, "RequestCountPerTarget", of_group), values["RequestCountPerTarget"]
        for balancer in balancers[group.arn]:
            for name, value in values.items():
                yield metric(BALANCER_METRICS, name, {"LoadBalancer": balancer, **of_group}), value


def _divisor(states: Counter[TargetState]) -> int:
    return states[TargetState.HEALTHY] or states.total()


def _states(view: View) -> defaultdict[str, Counter[TargetState]]:
    """Registered targets of each group (ARN), by state."""
    found: defaultdict[str, Counter[TargetState]] = defaultdict(Counter)
    for task in view.records(Task):
        for target in task.targets:
            if target.state.is_registered:
                found[target.group][target.state] += 1
    return found


def _balancers(view: View) -> defaultdict[str, list[str]]:
    """Load balancers of each group (ARN): those of the listeners that send it a share."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for listener in view.records(Listener):
        for group, part in shares(view, listener):
            if part:
                found[group].append(listener.balancer)
    return found
