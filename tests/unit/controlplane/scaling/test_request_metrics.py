"""What target groups tell of their traffic, from a count of requests and the states of their targets."""

import msgspec

from controlplane.core.balancing.records import Listener, Protocol, Target, TargetGroup, TargetState
from controlplane.core.model import Task
from controlplane.core.state import State
from controlplane.core.view import Draft
from controlplane.scaling.traffic import of_groups
from wire.resources import Amounts

ARN = "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/web/0a"
LISTENER = "arn:aws:elasticloadbalancing:us-east-1:1:listener/app/berth/1b/2c"
OF_GROUP = (("TargetGroup", "targetgroup/web/0a"),)
OF_BALANCER = (("LoadBalancer", "app/berth/1b"), *OF_GROUP)


def told(requests: float, *states: TargetState, **members: object) -> dict[object, float]:
    draft = Draft(State(), now=0, cause="test")
    draft.put(TargetGroup(arn=ARN, name="web", **members))
    draft.put(Listener(port=80, arn=LISTENER, group=ARN))
    for number, state in enumerate(states):
        task = Task(arn=f"t{number}", cluster="c", task_definition="d", amounts=Amounts(), group="g", containers=())
        draft.put(msgspec.structs.replace(task, targets=(Target(group=ARN, state=state),)))
    return {(each.name, each.dimensions): value for each, value in of_groups(draft, {"web": requests})}


def test_requests_are_divided_by_the_healthy_targets() -> None:
    well, ill = TargetState.HEALTHY, TargetState.UNHEALTHY
    assert told(12, well, well, well, ill, TargetState.DRAINING) == {
        ("RequestCountPerTarget", OF_GROUP): 4,
        ("RequestCountPerTarget", OF_BALANCER): 4,
        ("RequestCount", OF_BALANCER): 12,
        ("HealthyHostCount", OF_BALANCER): 3,
        ("UnHealthyHostCount", OF_BALANCER): 1,
    }


def test_where_none_is_healthy_they_are_divided_by_the_registered_ones() -> None:
    assert told(12, TargetState.UNHEALTHY, TargetState.INITIAL)["RequestCountPerTarget", OF_GROUP] == 6


def test_a_group_without_targets_tells_no_hosts_and_no_requests() -> None:
    assert told(0) == {
        ("RequestCountPerTarget", OF_GROUP): 0,
        ("RequestCountPerTarget", OF_BALANCER): 0,
        ("RequestCount", OF_BALANCER): 0,
    }
    assert told(0, TargetState.HEALTHY, protocol=Protocol.TCP) == {}
