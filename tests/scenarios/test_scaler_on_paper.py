"""Runs on paper: the scaler's decisions are those that sections 5 and 10 of the reference work out."""

import pytest
from toy_cluster import Behaviour
from toy_fleet import ToyFleet

from controlplane.core.capacity.model import MachineState
from controlplane.core.model import Release, Task
from controlplane.core.policy import HoldEnds, Policy, ScalerCounts
from wire.status import TaskStatus

AT_ONCE = Policy(healthy_after_seconds=0)
HOUR = 3600


def seed(
    policy: Policy = AT_ONCE,
    *,
    release: Release = Release.NONE,
    minimum: int = 0,
    maximum: int = 200,
    long_jobs: int = 1,
    group_maximum: int = 10,
    job: float = 8 * HOUR,
) -> tuple[ToyFleet, str, list[str], float]:
    """#4106: two r5.large, four tasks, a deployment; so many of the old tasks work on for `job` seconds."""
    world = ToyFleet(policy=policy, release=release, desired=2, maximum=group_maximum)
    definition = world.define(stop_timeout=10 * HOUR)
    world.run(150)
    service = world.create_service(definition, desired=4, minimum_healthy_percent=minimum, maximum_percent=maximum)
    world.run(20 * 60 - world.now)
    old = sorted(world.tasks(service), key=lambda task: (task.instance, task.arn))
    long = {task.arn for task in old[4 - long_jobs :]}
    world.behaviour = lambda task: Behaviour(starts_in=10, quits_in=job if task.arn in long else 2.0)
    world.deploy(service, world.define(stop_timeout=10 * HOUR))
    return world, service, [task.arn for task in old], world.now


def new(world: ToyFleet, service: str, old: list[str]) -> list[Task]:
    return [task for task in world.tasks(service) if task.arn not in old]


def running(world: ToyFleet, service: str, old: list[str]) -> int:
    return sum(task.last_status is TaskStatus.RUNNING and task.is_live for task in new(world, service, old))


def test_eager_one_long_job_and_the_scaler_is_blind() -> None:
    """Case A, eager (E1, row 2): three at once, the fourth after eight hours; the reservation never leaves 100."""
    world, service, old, deployed = seed()
    world.run(60)
    assert running(world, service, old) == 3
    (waiting,) = [task for task in new(world, service, old) if task.last_status is TaskStatus.PENDING]
    world.run(10 * 60)
    looks = [line for line in world.looks() if line.at > deployed + 1_800_000_000]
    assert {line.data["percent"] for line in looks} == {100}
    assert looks[-1].data["why"] == "the reservation is at its target"
    told = {each["task"]: each["why"] for each in looks[-1].data["ignored"]}
    assert told[waiting.arn.rpartition("/")[2]] == (
        "PENDING, so it has its place: behind a task that is still stopping there"
    )
    assert told[old[3].rpartition("/")[2]] == "stopping, its room is counted as free"
    world.run(8 * HOUR - 11 * 60 - 5)
    assert (running(world, service, old), len(world.in_service())) == (3, 2)
    world.run(20)
    assert running(world, service, old) == 4
    assert world.acts() == []


@pytest.mark.parametrize(
    ("policy", "release"),
    [
        (AT_ONCE, Release.ON_EXIT),
        (Policy(healthy_after_seconds=0, hold_ends=HoldEnds.REPORTED_EXIT), Release.NONE),
        (Policy(healthy_after_seconds=0, hold_ends=HoldEnds.DEADLINE), Release.NONE),
    ],
)
def test_on_exit_a_third_instance_is_bought(policy: Policy, release: Release) -> None:
    """Case A, on exit (E1, row 3): the fourth waits in PROVISIONING, 150 or 200 percent, and runs in minutes."""
    world, service, old, deployed = seed(policy, release=release)
    world.run(30)
    assert running(world, service, old) == 3
    world.run(60)
    assert [act[1:] for act in world.acts()] == [("scale-out", 150, 3)]
    world.run(250 - 90)
    assert running(world, service, old) == 4
    assert len(world.in_service()) == 3
    assert world.now - deployed == 250
    assert not [line for line in world.looks() if line.data["act"] == "scale-out" and line.data["needed"] > 3]


def test_on_exit_four_long_jobs() -> None:
    """E2: none for eight hours eagerly; all four after minutes where room is free at the exit."""
    world, service, old, _ = seed(long_jobs=4)
    world.run(7 * HOUR)
    assert running(world, service, old) == 0
    world, service, old, _ = seed(release=Release.ON_EXIT, long_jobs=4)
    world.run(300)
    assert [act[1:] for act in world.acts()] == [("scale-out", 200, 4)]
    assert running(world, service, old) == 4


def test_the_lease_makes_the_waiting_task_provisioning() -> None:
    policy = Policy(healthy_after_seconds=0, pending_lease_seconds=15)
    world, service, old, _ = seed(policy)
    world.run(16)
    (fourth,) = [task for task in new(world, service, old) if task.last_status is TaskStatus.PROVISIONING]
    assert fourth.instance is None
    world.run(300)
    assert [act[1:] for act in world.acts()] == [("scale-out", 150, 3)]
    assert running(world, service, old) == 4
    assert world.state.task(fourth.arn).last_status is TaskStatus.RUNNING


def test_counting_pending_buys_an_instance_that_the_waiting_task_cannot_use() -> None:
    """The switch alone moves nobody: the third instance stands empty beside the task that it was bought for."""
    policy = Policy(healthy_after_seconds=0, scaler_counts=ScalerCounts.AND_PENDING)
    world, service, old, _ = seed(policy)
    world.run(300)
    assert world.acts()[0][1:] == ("scale-out", 150, 3)
    assert running(world, service, old) == 3
    assert len(world.in_service()) == 3


def test_counting_pending_with_a_lease_has_it_ready_when_the_lease_ends() -> None:
    policy = Policy(healthy_after_seconds=0, scaler_counts=ScalerCounts.AND_PENDING, pending_lease_seconds=170)
    world, service, old, _ = seed(policy)
    world.run(200)
    assert running(world, service, old) == 4


def test_min_100_doubles_then_shrinks_and_the_job_keeps_its_instance() -> None:
    """Case B (10.2): 200 percent, two more; then two of four are empty: 15 low minutes, and never under the job."""
    world, service, old, _ = seed(release=Release.ON_EXIT, minimum=100, job=2 * HOUR)
    world.run(400)
    assert running(world, service, old) == 4
    assert [act[1:] for act in world.acts()] == [("scale-out", 200, 4)]
    world.run(30 * 60)
    assert [act[1:] for act in world.acts()] == [("scale-out", 200, 4), ("scale-in", 75, 3)]
    assert len(world.in_service()) == 3
    job = world.state.task(old[3])
    assert job.last_status is TaskStatus.STOPPING
    assert world.instance(next(m for m in world.in_service() if world.registered[m.id] == job.instance))
    world.run(2 * HOUR)
    assert [act[1:] for act in world.acts()][-1] == ("scale-in", 67, 2)
    assert world.state.task(old[3]).containers[0].exit_code == 0
    assert [line.data["killed_under_drainer"] + line.data["killed"] for line in world.taken()] == [[], []]


def test_min_100_without_headroom_waits_until_the_provisioning_times_out() -> None:
    """Case B, a group at its maximum: after 15 minutes the new tasks end with TaskFailedToStart, the old ones stay."""
    world, service, old, _ = seed(minimum=100, group_maximum=2)
    world.run(14 * 60)
    assert {task.last_status for task in new(world, service, old)} == {TaskStatus.PROVISIONING}
    assert world.looks()[-1].data["why"] == "the group is at its maximum of 2"
    world.run(2 * 60)
    failed = [task for task in new(world, service, old) if task.stop_code == "TaskFailedToStart"]
    assert {task.stopped_reason for task in failed} == {"RESOURCE:CPU"}
    assert len(failed) == 4
    assert all(world.state.task(arn).last_status is TaskStatus.RUNNING for arn in old)


def test_from_nothing_two_are_launched_and_the_rest_waits_for_the_warm_up() -> None:
    world = ToyFleet(policy=AT_ONCE, boot_seconds=60)
    world.create_service(world.define(), desired=8)
    world.run(30 * 60)
    assert [(act, percent, desired) for _, act, percent, desired in world.acts()] == [
        ("scale-out", 200, 2),
        ("scale-out", 200, 4),
    ]
    first, second = (minute for minute, *_ in world.acts())
    assert second - first >= 5
    assert world.machines(MachineState.TERMINATED) == []


def test_two_services_and_the_one_that_drains_starves_the_other() -> None:
    """E18 (roadmap#325): one service drains for six hours, the other scales up: eager blocks it, on exit buys room."""
    blocked = {}
    for release in (Release.NONE, Release.ON_EXIT):
        world = ToyFleet(policy=AT_ONCE, release=release, desired=2)
        world.run(150)
        drains = world.create_service(world.define(stop_timeout=7 * HOUR), desired=4, name="drains")
        world.run(60)
        world.behaviour = lambda task, drains=drains: Behaviour(quits_in=6 * HOUR if task.service == drains else 1)
        world.update(drains, desired_count=0)
        world.run(1)
        grows = world.create_service(world.define(family="grows"), desired=4, name="grows")
        asked = world.now
        while sum(t.last_status is TaskStatus.RUNNING for t in world.live(grows)) < 4:
            world.run(5)
            assert world.now < asked + 7 * HOUR
        blocked[release] = world.now - asked
    assert blocked[Release.NONE] > 5.9 * HOUR
    assert blocked[Release.ON_EXIT] < 600
