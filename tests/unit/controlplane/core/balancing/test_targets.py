"""A task's way through its target groups: when it is RUNNING, when its agent is told to stop, what people are told."""

import msgspec
import pytest
from toy_cluster import EPOCH, ToyCluster
from toy_parts import BALANCED, GROUP, PORT

from controlplane.core import lifecycle
from controlplane.core.assignment import assignments
from controlplane.core.balancing.records import TargetGroup, TargetState
from controlplane.core.model import Task
from wire.resources import Amounts
from wire.status import DesiredStatus, HealthStatus, StopCode, TaskStatus
from wire.story import Kind

SMALL = Amounts(64, 64)
DELAY_SECONDS = 30


def balanced(desired: int = 1, delay_seconds: int = DELAY_SECONDS) -> tuple[ToyCluster, str]:
    """A service behind a target group; its tasks have been started, and not been registered."""
    world = ToyCluster()
    group = TargetGroup(arn=GROUP, name="web", deregistration_delay_seconds=delay_seconds)
    world.decide("group", lambda draft: draft.put(group))
    service = world.create_service(world.define(SMALL), desired=desired, body=BALANCED)
    world.run(1)
    return world, service


def serving(desired: int = 1, delay_seconds: int = DELAY_SECONDS) -> tuple[ToyCluster, str, Task]:
    world, service = balanced(desired, delay_seconds)
    world.balance(service)
    for task in world.live(service):
        world.target(task.arn, HealthStatus.HEALTHY)
    return world, service, world.live(service)[0]


def told(world: ToyCluster, task: Task) -> DesiredStatus:
    (assignment,) = [a for a in assignments(world.state, task.instance) if a.task.arn == task.arn]
    return assignment.desired


def states(task: Task) -> list[TargetState]:
    return [target.state for target in task.targets]


def test_a_task_is_activating_until_it_is_registered() -> None:
    world, service = balanced()
    (task,) = world.live(service)
    assert (task.last_status, task.started_at) == (TaskStatus.ACTIVATING, None)
    world.balance(service)
    (task,) = world.live(service)
    assert (task.last_status, task.started_at) == (TaskStatus.RUNNING, EPOCH + world.now)
    assert [(t.address, t.port, t.state) for t in task.targets] == [("127.0.0.1", PORT, TargetState.INITIAL)]
    assert f"(service web) registered 1 targets in (target-group {GROUP})" in world.messages(service)


def test_the_scheduler_deregisters_waits_the_delay_out_and_only_then_stops() -> None:
    world, service, task = serving()
    world.update(service, desired_count=0)
    task = world.state.task(task.arn)
    assert (task.last_status, states(task)) == (TaskStatus.DEACTIVATING, [TargetState.DRAINING])
    assert told(world, task) is DesiredStatus.RUNNING
    world.run(DELAY_SECONDS - 1)
    world.balance(service)
    assert world.state.task(task.arn).last_status is TaskStatus.DEACTIVATING
    world.run(1)
    world.balance(service)
    assert (world.state.task(task.arn).last_status, states(world.state.task(task.arn))) == (
        TaskStatus.STOPPING,
        [TargetState.UNUSED],
    )
    assert told(world, task) is DesiredStatus.STOPPED
    world.run(5)
    assert world.state.task(task.arn).last_status is TaskStatus.STOPPED
    said = [message.split(") ", 1)[1] for message in world.messages(service)]
    leaving = said[said.index("has begun draining connections on 1 tasks.") :]
    assert leaving[1] == f"deregistered 1 targets in (target-group {GROUP})"
    assert leaving[2].startswith("has stopped 1 running tasks")


def test_stop_task_signals_first_and_deregisters_beside_it() -> None:
    world, service, task = serving()
    world.decide(
        "stop",
        lambda draft: lifecycle.request_stop(
            draft, draft.task(task.arn), stop_code=StopCode.USER_INITIATED, reason="mine"
        ),
    )
    assert told(world, task) is DesiredStatus.STOPPED
    assert states(world.state.task(task.arn)) == [TargetState.HEALTHY]
    world.balance(service)
    world.run(3)
    after = world.state.task(task.arn)
    assert (after.last_status, states(after)) == (TaskStatus.STOPPED, [TargetState.DRAINING])
    order = [line.kind for line in world.story if line.subject == task.arn and line.data.get("state") != "initial"]
    assert order.index(Kind.TASK_DESIRED, 1) < len(order) - order[::-1].index(Kind.TARGET) - 1
    world.run(DELAY_SECONDS)
    world.balance(service)
    assert states(world.state.task(task.arn)) == [TargetState.UNUSED]


def test_a_forced_stop_does_not_wait_for_the_delay() -> None:
    world, service, task = serving()
    world.update(service, desired_count=0)
    world.decide("force", lambda draft: lifecycle.force_stop(draft, draft.task(task.arn), reason="now"))
    assert told(world, task) is DesiredStatus.STOPPED
    world.run(5)
    assert world.state.task(task.arn).last_status is TaskStatus.STOPPED


def test_a_task_that_ends_by_itself_leaves_its_group() -> None:
    world, service, task = serving()
    world.exit(task.arn, 1)
    world.balance(service)
    assert states(world.state.task(task.arn)) == [TargetState.DRAINING]
    assert f"(service web) deregistered 1 targets in (target-group {GROUP})" in world.messages(service)


def test_a_task_that_was_never_registered_stops_at_once() -> None:
    world, service = balanced()
    (task,) = world.live(service)
    world.update(service, desired_count=0)
    assert told(world, task) is DesiredStatus.STOPPED
    world.run(5)
    world.balance(service)
    after = world.state.task(task.arn)
    assert (after.last_status, states(after)) == (TaskStatus.STOPPED, [TargetState.UNUSED])


def test_a_delay_of_nothing_ends_with_the_next_look() -> None:
    world, service, task = serving(delay_seconds=0)
    world.update(service, desired_count=0)
    assert world.state.task(task.arn).last_status is TaskStatus.DEACTIVATING
    world.balance(service)
    assert world.state.task(task.arn).last_status is TaskStatus.STOPPING


def test_a_rolling_update_never_has_fewer_healthy_tasks_than_the_floor() -> None:
    world, service, _ = serving(desired=4)

    def at_least_four() -> None:
        healthy = [t for t in world.live(service) if states(t) == [TargetState.HEALTHY]]
        assert len(healthy) >= 4

    at_least_four()
    world.checks.append(at_least_four)
    world.deploy(service, world.define(SMALL))
    for _ in range(60):
        world.run(1)
        world.balance(service)
        for task in world.live(service):
            if states(task) == [TargetState.INITIAL]:
                world.target(task.arn, HealthStatus.HEALTHY)
    assert len(world.live(service)) == 4
    assert [d.rollout_state for d in world.service(service).deployments] == ["COMPLETED"]
    assert not world.stopping(service)


@pytest.mark.parametrize(("mode", "expected"), [("host", ("10.0.0.7", PORT)), ("awsvpc", ("172.18.0.9", PORT))])
def test_where_a_target_is_reached(mode: str, expected: tuple[str, int]) -> None:
    world = ToyCluster(hosts=1)
    (instance,) = world.state.instances("default")
    attributes = (*instance.attributes, {"name": "berth.address", "value": "10.0.0.7"})
    world.decide("address", lambda draft: draft.put(msgspec.structs.replace(instance, attributes=attributes)))
    definition = world.define(SMALL)
    moded = msgspec.structs.replace(definition, body={**definition.body, "networkMode": mode})
    world.decide("mode", lambda draft: draft.put(moded))
    service = world.create_service(moded, desired=1, body=BALANCED)
    world.run(1)
    (task,) = world.live(service)
    if mode == "awsvpc":
        world.balance(service)
        assert world.state.task(task.arn).last_status is TaskStatus.ACTIVATING
        world.decide(
            "address", lambda draft: lifecycle.observe_address(draft, draft.task(task.arn), "172.18.0.9", "02:42")
        )
    world.balance(service)
    (target,) = world.state.task(task.arn).targets
    assert (target.address, target.port) == expected
