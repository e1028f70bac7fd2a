"""A service between floor and ceiling: replacement, scale-in, drain, deletion, back-off, deployments, events."""

from collections import Counter
from itertools import pairwise

import msgspec
import pytest
from toy_cluster import EPOCH, Behaviour, ToyCluster

from controlplane.core import lifecycle
from controlplane.core.batch import Batch
from controlplane.core.evaluations import all_services, services_to_look_at
from controlplane.core.lifecycle import TaskReport
from controlplane.core.model import Instance, Release, Service, Task
from controlplane.core.plan import Conflict
from controlplane.core.policy import Policy
from controlplane.core.reconcile import deployments
from controlplane.core.reconcile.look import ceiling_of, floor_of
from controlplane.core.reconcile.service import reconcile
from controlplane.core.view import Draft
from wire.resources import Amounts
from wire.status import InstanceStatus, StopCode, TaskStatus

SMALL = Amounts(256, 512)


def small(desired: int = 4, **members: object) -> tuple[ToyCluster, str]:
    hosts = members.pop("hosts", 2)
    policy = members.pop("policy", None)
    world = ToyCluster(hosts=hosts, policy=policy)
    service = world.create_service(world.define(SMALL), desired=desired, **members)
    world.run(1)
    return world, service


def running(world: ToyCluster, service: str) -> list[Task]:
    return [task for task in world.live(service) if task.last_status is TaskStatus.RUNNING]


def per_instance(world: ToyCluster, service: str) -> list[int]:
    return sorted(Counter(task.instance for task in world.live(service)).values())


@pytest.mark.parametrize(
    ("desired", "minimum", "maximum", "floor", "ceiling"),
    [
        (4, 50, 200, 2, 8),
        (2, 75, 100, 2, 2),
        (3, 100, 125, 3, 3),
        (4, 0, 150, 0, 6),
        (0, 100, 200, 0, 0),
        (4, 150, 200, 4, 8),
    ],
)
def test_rounding(desired: int, minimum: int, maximum: int, floor: int, ceiling: int) -> None:
    """The Developer Guide's own examples: the floor is rounded up, the ceiling down."""
    service = Service(
        arn="s", name="s", cluster="c", desired_count=desired, task_definition="d",
        minimum_healthy_percent=minimum, maximum_percent=maximum,
    )  # fmt: skip
    assert (floor_of(service), ceiling_of(service)) == (floor, ceiling)


def test_a_new_service_reaches_a_steady_state_and_stays_quiet() -> None:
    world, service = small()
    record = world.service(service)
    assert [(d.status, d.rollout_state, d.desired_count) for d in record.deployments] == [("PRIMARY", "COMPLETED", 4)]
    assert record.deployments[0].rollout_reason == f"ECS deployment {record.deployments[0].id} completed."
    assert world.messages(service)[-1] == "(service web) has reached a steady state."
    plans = len(world.plans)
    world.run(3600)
    assert len(world.plans) == plans


def test_a_task_counts_as_healthy_40_seconds_after_it_runs() -> None:
    world, service = small(policy=Policy())
    assert len(running(world, service)) == 4
    assert world.service(service).deployments[0].rollout_state == "IN_PROGRESS"
    world.run(39)
    assert world.service(service).deployments[0].rollout_state == "IN_PROGRESS"
    world.run(1)
    assert world.service(service).deployments[0].rollout_state == "COMPLETED"


def test_an_update_before_the_old_tasks_are_healthy_does_not_take_them_all_down() -> None:
    world, service = small(policy=Policy(), minimum_healthy_percent=50, maximum_percent=100)
    world.deploy(service, world.define(SMALL))
    assert len(running(world, service)) == 4
    world.run(40)
    assert len(world.stopping(service)) <= 2


def test_a_stopped_task_is_replaced_under_the_ceiling() -> None:
    world, service = small()
    victim = world.live(service)[0]
    world.stop(victim.arn)
    assert len(world.live(service)) == 4
    world.run(5)
    assert len(running(world, service)) == 4


def test_at_maximum_100_the_replacement_waits_for_the_exit() -> None:
    world, service = small(minimum_healthy_percent=0, maximum_percent=100)
    world.stop(world.live(service)[0].arn)
    assert len(world.live(service)) == 3
    world.run(3)
    assert len(running(world, service)) == 4


def test_a_task_that_exits_is_replaced() -> None:
    world, service = small()
    world.exit(world.live(service)[0].arn, 1)
    world.run(1)
    assert len(running(world, service)) == 4


def test_scale_out_and_in_keep_the_balance() -> None:
    world, service = small(hosts=4)
    world.update(service, desired_count=8)
    world.run(1)
    assert per_instance(world, service) == [2, 2, 2, 2]
    world.update(service, desired_count=4)
    assert per_instance(world, service) == [1, 1, 1, 1]
    assert [task.stop_code for task in world.stopping(service)] == [StopCode.SERVICE_SCHEDULER_INITIATED] * 4
    reason = f"Scaling activity initiated by (deployment {world.service(service).deployments[0].id})"
    assert {task.stopped_reason for task in world.stopping(service)} == {reason}


def test_scale_in_with_binpack_frees_the_emptiest_instance() -> None:
    world, service = small(desired=10, placement_strategy=({"type": "binpack", "field": "cpu"},))
    assert per_instance(world, service) == [2, 8]
    world.update(service, desired_count=8)
    assert per_instance(world, service) == [8]


def test_scale_in_takes_pending_tasks_first() -> None:
    world, service = small(desired=2)
    world.behaviour = lambda _: Behaviour(starts_in=1000)
    world.update(service, desired_count=4)
    world.run(1)
    world.update(service, desired_count=2)
    assert len(running(world, service)) == 2
    assert "(service web) stopped 2 pending tasks." in world.messages(service)


def test_old_pending_tasks_stop_at_once_whatever_the_floor() -> None:
    world, service = small(desired=2)
    world.behaviour = lambda task: Behaviour(starts_in=1000 if task.task_definition.endswith(":2") else 0.3)
    world.deploy(service, world.define(SMALL))
    world.run(1)
    world.deploy(service, world.define(SMALL))
    assert Counter(task.task_definition[-2:] for task in world.stopping(service)) == {":2": 2}
    world.run(2.1)
    starts = Counter(task.task_definition[-2:] for task in world.live(service))
    assert starts == {":1": 2, ":3": 2}
    world.run(10)
    assert Counter(task.task_definition[-2:] for task in world.live(service)) == {":3": 2}
    assert len(world.service(service).deployments) == 1


def test_the_counts_of_deployments_shift() -> None:
    """CLI example of UpdateService: the new PRIMARY begins at 0, the old keeps its count until its tasks go."""
    world, service = small(minimum_healthy_percent=50, maximum_percent=100)
    world.deploy(service, world.define(SMALL))
    seen = []
    world.checks.append(lambda: seen.append([d.desired_count for d in world.service(service).deployments]))
    assert [d.desired_count for d in world.service(service).deployments] == [0, 2]
    world.run(10)
    assert [4] in seen
    assert [d.status for d in world.service(service).deployments] == ["PRIMARY"]
    ended = [line.data["status"] for line in world.story if line.kind == "deployment"][-2:]
    assert "INACTIVE" in ended


def test_floor_and_ceiling_that_leave_no_step() -> None:
    world, service = small(desired=3, minimum_healthy_percent=100, maximum_percent=125)
    world.deploy(service, world.define(SMALL))
    world.run(100)
    assert len(world.service(service).deployments) == 2
    stuck = [message for message in world.messages(service) if "was unable to stop or start tasks" in message]
    assert len(stuck) == 1


def test_tasks_on_a_draining_instance_are_replaced_first() -> None:
    world, service = small(desired=2, minimum_healthy_percent=100, maximum_percent=200)
    first = world.live(service)[0].instance
    drained = msgspec.structs.replace(world.state.instance(first), status=InstanceStatus.DRAINING)
    world.decide("drain", lambda draft: draft.put(drained))
    assert len(world.live(service)) == 3
    world.run(5)
    assert [task.instance == first for task in world.live(service)] == [False, False]


def test_a_deleted_service_is_inactive_once_its_tasks_are_stopping() -> None:
    world, service = small()
    world.behaviour = lambda _: Behaviour(quits_in=20)
    world.update(service, status="DRAINING", desired_count=0)
    assert world.service(service).status == "DRAINING"
    world.run(1)
    assert world.service(service).status == "INACTIVE"
    assert world.service(service).deployments == ()
    assert len(world.stopping(service)) == 4


def test_tasks_that_never_start_are_tried_less_and_less() -> None:
    """ECS Developer Guide, "Service throttle logic": the delay grows to 27 minutes, and people are told once."""
    world = ToyCluster()
    world.behaviour = lambda _: Behaviour(fails=True)
    service = world.create_service(world.define(SMALL), desired=1)
    world.run(4 * 3600)
    made = [task.created_at - EPOCH for task in world.tasks(service)]
    gaps = [round(later - earlier) for earlier, later in pairwise(made)]
    assert gaps[:7] == [10, 20, 40, 80, 160, 320, 640]
    assert set(gaps[8:]) == {27 * 60}
    assert world.service(service).deployments[0].failed_tasks == len(made)
    impaired = [message for message in world.messages(service) if "unable to consistently start" in message]
    assert len(impaired) == 1
    world.behaviour = lambda _: Behaviour()
    world.deploy(service, world.define(SMALL))
    world.run(1)
    assert world.service(service).deployments[0].failed_tasks == 0
    assert len(running(world, service)) == 1


def test_a_task_that_runs_and_exits_at_once_never_slows_the_service_down() -> None:
    world, service = small(desired=1)
    for _ in range(20):
        world.exit(world.live(service)[0].arn, 1)
        world.run(1)
    assert world.service(service).deployments[0].failed_tasks == 0
    assert len(running(world, service)) == 1


def test_a_task_that_runs_sets_the_count_of_failures_to_nought() -> None:
    world = ToyCluster()
    world.behaviour = lambda _: Behaviour(fails=True)
    service = world.create_service(world.define(SMALL), desired=2)
    world.run(1)
    assert world.service(service).deployments[0].failed_tasks == 2
    world.behaviour = lambda _: Behaviour()
    world.run(20)
    assert world.service(service).deployments[0].failed_tasks == 0


def test_events_are_a_hundred_at_most_and_newest_first() -> None:
    world, service = small(desired=1)
    for _ in range(60):
        world.exit(world.live(service)[0].arn)
        world.run(1)
    events = world.service(service).events
    assert len(events) == 100
    assert [event.created_at for event in events] == sorted((e.created_at for e in events), reverse=True)


def test_many_tasks_are_named_ten_to_a_sentence() -> None:
    world, service = small(desired=25, hosts=10)
    sizes = [message.count("(task ") for message in world.messages(service) if "has started" in message]
    assert sorted(sizes) == [5, 10, 10]


def test_a_service_larger_than_one_step() -> None:
    world = ToyCluster(hosts=10, size=Amounts(16384, 65536))
    service = world.create_service(world.define(SMALL), desired=130)
    world.run(1)
    assert len(running(world, service)) == 130


def test_room_that_any_service_frees_wakes_those_that_are_short() -> None:
    world = ToyCluster(hosts=1)
    first = world.create_service(world.define(), desired=2)
    second = world.create_service(world.define(), desired=1, name="other")
    assert not world.live(second)
    world.update(first, desired_count=1)
    world.run(1)
    assert len(running(world, second)) == 1


def test_fixed_host_ports_take_an_instance_each() -> None:
    world = ToyCluster()
    service = world.create_service(world.define(Amounts(16, 16, frozenset({8080}))), desired=3)
    assert per_instance(world, service) == [1, 1]
    assert "is already using a port required by your task." in world.messages(service)[-1]


def test_which_services_a_change_concerns() -> None:
    world, service = small(desired=1)
    quiet = world.create_service(world.define(SMALL), desired=1, name="quiet")
    world.run(1)
    task = world.live(service)[0]
    assert set(services_to_look_at(world.state, [(Task.table, task.arn)])) == {service}
    assert set(services_to_look_at(world.state, [(Service.table, quiet)])) == {quiet}
    assert set(services_to_look_at(world.state, [("clusters", "default")])) == {service, quiet}
    assert set(services_to_look_at(world.state, [(Instance.table, task.instance)])) >= {service}
    assert services_to_look_at(world.state, [(Task.table, "gone"), ("tokens", "x")]) == {}
    world.update(quiet, status="INACTIVE", deployments=())
    assert all_services(world.state) == [service]


def test_an_eager_agent_that_does_not_release_is_told_of_after_five_seconds() -> None:
    """A connected agent that never answers: the lack of room is a sentence once its release is overdue."""
    world = ToyCluster(release=Release.EAGER, hosts=1)
    service = world.create_service(world.define(), desired=2, minimum_healthy_percent=0, maximum_percent=200)
    world.run(1)
    world.hosts[world.live(service)[0].instance].known = dict.fromkeys(
        [task.arn for task in world.live(service)], "deaf"
    )
    world.deploy(service, world.define())
    world.run(4.9)
    assert not any("unable to place" in message for message in world.messages(service))
    world.run(0.2)
    assert any("unable to place" in message for message in world.messages(service))


def test_a_stop_leans_on_every_task_that_keeps_the_floor() -> None:
    """Two of four may stop because four are healthy; if one of them ends meanwhile, the plan is refused."""
    world, service = small(minimum_healthy_percent=50, maximum_percent=100)
    begun = msgspec.structs.replace(world.service(service), task_definition=world.define(SMALL).arn)
    state, names = world.state, world.names
    draft = Draft(state, now=EPOCH + 1, cause="deploy")
    deployments.begin(draft, begun, task_definition=begun.task_definition, names=names)
    state.apply(draft.plan(), state.revision + 1)
    draft = Draft(state, now=EPOCH + 1, cause="evaluation")
    reconcile(draft, service, names=names, dice=world.dice)
    plan = draft.plan()
    stopped = {line.subject for line in plan.story if line.kind == "task.desired"}
    bystander = next(task for task in world.live(service) if task.arn not in stopped)
    meanwhile = Draft(state, now=EPOCH + 1, cause="report")
    lifecycle.observe(meanwhile, bystander, TaskReport(status=TaskStatus.STOPPED))
    state.apply(meanwhile.plan(), state.revision + 1)
    with pytest.raises(Conflict):
        Batch(state).accept(plan)


def test_what_still_holds_is_said_again_after_six_hours() -> None:
    world = ToyCluster(hosts=1)
    service = world.create_service(world.define(Amounts(64, 64)), desired=1)
    full = world.create_service(world.define(Amounts(64, 99_999), family="big"), desired=1, name="big")
    world.run(5)
    for hours in (0, 6, 12):
        world.run(6 * 3600 if hours else 0)
        told = [message for message in world.messages(service) if "steady state" in message]
        assert len(told) == 1 + hours // 6
        assert len(world.messages(full)) == 1 + hours // 6
