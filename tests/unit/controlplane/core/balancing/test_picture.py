"""What the proxy is to look like, and what its checks make of a target."""

from controlplane.core.balancing import picture
from controlplane.core.balancing.picture import Seen
from controlplane.core.balancing.records import Check, Target, TargetGroup, TargetState

UP, DOWN = Seen(is_up=True), Seen(is_up=False, reason="Request timed out")
CHECK = Check(interval_seconds=10, unhealthy_threshold=2)


def group(**members: object) -> TargetGroup:
    return TargetGroup(arn="arn:tg", name="web", check=CHECK, **members)


def target(state: TargetState, since: float = 100, **members: object) -> Target:
    return Target(group="arn:tg", address="127.0.0.1", port=80, state=state, since=since, **members)


def after(state: TargetState, seen: Seen | None, now: float) -> tuple[TargetState, str]:
    found = picture.next_target(group(), target(state), seen, now)
    return found.state, found.reason


def test_a_new_target_is_healthy_at_its_first_passed_check() -> None:
    assert after(TargetState.INITIAL, None, 101) == (TargetState.INITIAL, "")
    assert after(TargetState.INITIAL, UP, 101) == (TargetState.HEALTHY, "")


def test_a_new_target_has_the_threshold_times_the_interval() -> None:
    assert after(TargetState.INITIAL, DOWN, 119) == (TargetState.INITIAL, "")
    assert after(TargetState.INITIAL, DOWN, 120) == (TargetState.UNHEALTHY, "Request timed out")


def test_between_healthy_and_unhealthy_the_proxy_counts() -> None:
    assert after(TargetState.HEALTHY, DOWN, 101) == (TargetState.UNHEALTHY, "Request timed out")
    assert after(TargetState.UNHEALTHY, UP, 101) == (TargetState.HEALTHY, "")


def test_what_drains_or_is_gone_is_not_looked_at() -> None:
    for state in (TargetState.WAITING, TargetState.DRAINING, TargetState.UNUSED):
        assert after(state, UP, 101)[0] is state


def weights(of: TargetGroup, now: float, **targets: Target) -> dict[str, int]:
    servers = picture._servers(of, list(targets.items()), now)
    return {server.name.partition("-")[0]: server.weight for server in servers}


def test_only_healthy_targets_get_traffic() -> None:
    every = {state.name.lower(): target(state) for state in TargetState}
    assert {name for name, weight in weights(group(), 200, **every).items() if weight} == {"healthy"}


def test_a_group_without_a_healthy_target_fails_open_to_all_unhealthy_ones() -> None:
    ill = {"a": target(TargetState.UNHEALTHY), "b": target(TargetState.UNHEALTHY)}
    beside = {"new": target(TargetState.INITIAL), "gone": target(TargetState.DRAINING)}
    assert weights(group(), 200, **ill, **beside) == {"a": 100, "b": 100, "new": 0, "gone": 0}
    assert weights(group(), 200, **ill, well=target(TargetState.HEALTHY)) == {"a": 0, "b": 0, "well": 100}


def test_a_slow_start_grows_in_a_straight_line_beside_somebody_who_is_past_it() -> None:
    slow = group(slow_start_seconds=100)
    old, young = target(TargetState.HEALTHY, since=0), target(TargetState.HEALTHY, since=100)
    assert weights(slow, 100, old=old, young=young) == {"old": 100, "young": 1}
    assert weights(slow, 150, old=old, young=young) == {"old": 100, "young": 50}
    assert weights(slow, 200, old=old, young=young) == {"old": 100, "young": 100}
    assert weights(slow, 101, young=young) == {"young": 100}


def test_the_proxy_learns_of_a_deregistration_as_late_as_it_is_told_to() -> None:
    late = group(propagation_seconds=3)
    leaving = target(TargetState.DRAINING, since=100)
    assert [weights(late, now, leaving=leaving)["leaving"] for now in (100, 102.9, 103)] == [100, 100, 0]
