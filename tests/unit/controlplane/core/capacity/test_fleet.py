"""The machines of a group: bought, replaced, held up, taken away; and what happens to the tasks on them."""

import msgspec
import pytest
from toy_cluster import Behaviour
from toy_fleet import STRATEGY, ToyFleet

from controlplane.core.capacity import leaving
from controlplane.core.capacity.model import Hook, Machine, MachineState, Transition
from controlplane.core.capacity.pace import Pace
from controlplane.core.capacity.provisioning import PROVISIONING_MAX
from controlplane.core.gpus import handed_out
from controlplane.core.model import Release, Service
from controlplane.core.policy import EmptyWhen, Policy
from wire.resources import Amounts
from wire.status import InstanceStatus, TaskStatus
from wire.story import Kind

AT_ONCE = Policy(healthy_after_seconds=0)
MINUTE, HOUR = 60, 3600


def states(world: ToyFleet, machine: str) -> list[str]:
    return [
        str(line.data["state"]) for line in world.story if line.kind == Kind.MACHINE_STATE and line.subject == machine
    ]


def fleet(**members: object) -> ToyFleet:
    world = ToyFleet(**{"policy": AT_ONCE, "desired": 2, "boot_seconds": 60} | members)
    world.run(90)
    return world


def shrink(world: ToyFleet, desired: int) -> None:
    world.change(world.group, desired=desired)
    world.run(5)


def test_a_machine_boots_serves_and_goes() -> None:
    world = fleet()
    first, second = world.in_service()
    assert {first.zone, second.zone} == {"us-east-1a", "us-east-1b"}
    assert len(world.active()) == 2
    shrink(world, 1)
    gone = first if world.state.record(Machine, first.id).state.is_going else second
    assert states(world, gone.id) == [
        "Pending",
        "InService",
        "Terminating",
        "Terminating:Wait",
        "Terminating:Proceed",
        "Terminated",
    ]
    assert world.instance(gone).status is InstanceStatus.INACTIVE
    world.run(2 * HOUR)
    assert world.state.record(Machine, gone.id) is None


def test_an_instance_that_dies_is_replaced_and_its_tasks_are_lost() -> None:
    world = fleet()
    service = world.create_service(world.define(), desired=4)
    world.run(20)
    dead = world.in_service()[0]
    lost = [task for task in world.live(service) if task.instance == world.registered[dead.id]]
    world.end_machine(dead.id)
    assert {world.state.task(task.arn).stopped_reason for task in lost} == {
        f"Host EC2 (instance {dead.id}) terminated."
    }
    assert len(world.taken()[0].data["killed"]) == 2
    world.run(120)
    assert len(world.in_service()) == 2
    assert sum(task.last_status is TaskStatus.RUNNING for task in world.live(service)) == 4


def test_an_unhealthy_one_is_replaced_though_it_is_protected() -> None:
    world = fleet()
    sick = world.in_service()[0]
    world.change(sick, is_healthy=False, is_protected=True)
    world.run(90)
    assert states(world, sick.id)[2:] == ["Terminating", "Terminating:Proceed", "Terminated"]
    assert len(world.in_service()) == 2


def test_protected_machines_stay_though_fewer_are_wanted() -> None:
    world = fleet(desired=3)
    kept = world.in_service()[:2]
    for machine in kept:
        world.change(machine, is_protected=True)
    shrink(world, 0)
    assert [machine.id for machine in world.in_service()] == [machine.id for machine in kept]
    world.change(world.in_service()[0], is_protected=False)
    world.run(5)
    assert [machine.id for machine in world.in_service()] == [kept[1].id]


def test_managed_termination_protection_follows_the_tasks() -> None:
    """Only empty ones can go: a task protects its machine, until it has STOPPED."""
    world = fleet(protection=True)
    task = world.run_task(world.define(stop_timeout=600), world.registered[world.in_service()[0].id])
    world.behaviour = lambda _: Behaviour(quits_in=300)
    world.run(5)
    assert [m.is_protected for m in world.in_service()] == [True, False]
    world.stop(task.arn)
    shrink(world, 0)
    assert [m.is_protected for m in world.in_service()] == [True]
    world.run(310)
    assert world.in_service() == []
    assert world.state.task(task.arn).containers[0].exit_code == 0


def test_the_types_of_a_group_take_turns() -> None:
    world = fleet(desired=4, types=("r5.large", "r5.xlarge"))
    assert sorted(m.instance_type for m in world.in_service()) == ["r5.large"] * 2 + ["r5.xlarge"] * 2


# -- hooks -------------------------------------------------------------------------------------------------------------


def hook(transition: Transition, **members: object) -> Hook:
    return Hook(**{"name": "h", "transition": transition, "heartbeat_seconds": 100.0} | members)


@pytest.mark.parametrize(
    ("result", "after"),
    [("CONTINUE", MachineState.IN_SERVICE), ("ABANDON", MachineState.TERMINATED)],
)
def test_a_launch_waits_for_its_hook(result: str, after: MachineState) -> None:
    world = fleet(desired=1, hooks=(hook(Transition.LAUNCHING),))
    (machine,) = world.machines(MachineState.PENDING_WAIT)
    wait = msgspec.structs.replace(machine.waits[0], result=result)
    world.change(machine, waits=(wait,))
    world.run(3)
    assert world.state.record(Machine, machine.id).state is after


@pytest.mark.parametrize(("default", "last"), [("CONTINUE", "InService"), ("ABANDON", "Terminated")])
def test_a_heartbeat_that_stops_ends_the_wait(default: str, last: str) -> None:
    world = fleet(desired=1, hooks=(hook(Transition.LAUNCHING, default_result=default),))
    (machine,) = world.machines(MachineState.PENDING_WAIT)
    world.run(60 + 100 + 3 - world.now)
    assert states(world, machine.id)[-1] == last


def test_a_termination_waits_for_its_hook_and_for_the_drain() -> None:
    world = fleet(desired=1, hooks=(hook(Transition.TERMINATING, heartbeat_seconds=1000.0),))
    shrink(world, 0)
    (machine,) = world.machines(MachineState.TERMINATING_WAIT)
    assert [wait.hook for wait in machine.waits if not wait.result] == ["h"]
    world.run(900)
    assert world.machines(MachineState.TERMINATING_WAIT)
    world.run(110)
    assert states(world, machine.id)[-1] == "Terminated"


# -- draining ----------------------------------------------------------------------------------------------------------


def test_a_drain_moves_a_service_and_waits_for_what_still_works() -> None:
    """The service's tasks go by its own rules; the instance waits for the one that works on for an hour."""
    world = fleet(desired=3, release=Release.ON_EXIT, scaling={"targetCapacity": 50})
    service = world.create_service(world.define(stop_timeout=2 * HOUR), desired=4)
    world.run(10)
    world.behaviour = lambda _: Behaviour(quits_in=HOUR)
    busy = world.live(service)[0].instance
    machine = next(m for m in world.in_service() if world.registered[m.id] == busy)
    moved = [task for task in world.live(service) if task.instance == busy]
    for other in world.in_service():
        world.change(other, is_protected=other.id != machine.id)
    shrink(world, 2)
    assert world.state.instance(busy).status is InstanceStatus.DRAINING
    world.run(30 * MINUTE)
    assert {world.state.task(task.arn).last_status for task in moved} == {TaskStatus.STOPPING}
    assert len(world.live(service)) == 4
    assert all(task.instance != busy for task in world.live(service))
    assert world.state.record(Machine, machine.id).state is MachineState.TERMINATING_WAIT
    world.run(31 * MINUTE)
    assert world.state.record(Machine, machine.id).state is MachineState.TERMINATED
    assert {world.state.task(task.arn).containers[0].exit_code for task in moved} == {0}
    assert world.taken()[0].data["killed_under_drainer"] == []


def test_where_the_policy_says_so_the_instance_goes_under_a_stopping_task_and_it_is_counted() -> None:
    """E12: what counts as empty is a switch; a kill under a drainer is seen and counted."""
    policy = Policy(healthy_after_seconds=0, empty_when=EmptyWhen.STOP_REQUESTED)
    world = fleet(policy=policy, protection=True)
    task = world.run_task(world.define(stop_timeout=2 * HOUR), world.registered[world.in_service()[0].id])
    world.behaviour = lambda _: Behaviour(quits_in=HOUR)
    world.run(5)
    world.stop(task.arn)
    world.run(1)
    shrink(world, 0)
    killed = [name for line in world.taken() for name in line.data["killed_under_drainer"]]
    assert killed == [task.arn.rpartition("/")[2]]
    lost = world.state.task(task.arn)
    assert (lost.last_status, lost.containers[0].exit_code) == (TaskStatus.STOPPED, None)
    assert lost.stop_code == "UserInitiated", "the first code stands"


def test_a_drain_leaves_standalone_tasks_alone_until_the_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    assert leaving.DRAINING_SECONDS_MAX == 48 * HOUR
    monkeypatch.setattr(leaving, "DRAINING_SECONDS_MAX", 3 * HOUR)  # 48 are seven seconds of looks on paper
    world = fleet(desired=1)
    task = world.run_task(world.define(), world.registered[world.in_service()[0].id])
    world.run(5)
    shrink(world, 0)
    world.run(2.9 * HOUR)
    assert world.state.task(task.arn).is_live
    assert world.state.task(task.arn).last_status is TaskStatus.RUNNING
    world.run(0.2 * HOUR)
    assert world.state.task(task.arn).stopped_reason.startswith("Host EC2 (instance i-")
    assert world.taken()[0].data["killed"] == [task.arn.rpartition("/")[2]]


def test_without_managed_draining_nothing_is_waited_for() -> None:
    world = fleet(desired=1, draining=False)
    task = world.run_task(world.define(), world.registered[world.in_service()[0].id])
    world.run(5)
    shrink(world, 0)
    assert world.machines()[0].state is MachineState.TERMINATED
    assert world.state.task(task.arn).stop_code == "TerminationNotice"


# -- PROVISIONING ------------------------------------------------------------------------------------------------------


def test_a_task_waits_and_is_placed_when_a_machine_joins() -> None:
    world = fleet(desired=0)
    task = world.run_task(world.define())
    assert (task.last_status, task.instance, task.hold) == (TaskStatus.PROVISIONING, None, None)
    world.run(200)
    placed = world.state.task(task.arn)
    assert placed.last_status is TaskStatus.RUNNING
    assert placed.instance in world.registered.values()
    assert len(world.in_service()) == 2, "from nothing two are launched"


def test_a_waiting_task_does_not_go_to_a_host_of_nobodys() -> None:
    world = fleet(desired=0, maximum=0)
    task = world.run_task(world.define())
    world.add_host()
    world.run(30)
    assert world.state.task(task.arn).last_status is TaskStatus.PROVISIONING


def test_nobody_comes_and_the_task_stops_with_a_reason() -> None:
    world = fleet(desired=0, maximum=0)
    task = world.run_task(world.define())
    world.run(14 * MINUTE)
    assert world.state.task(task.arn).is_live
    world.run(2 * MINUTE)
    ended = world.state.task(task.arn)
    assert (ended.last_status, ended.stop_code) == (TaskStatus.STOPPED, "TaskFailedToStart")
    assert ended.stopped_reason == "EMPTY CAPACITY PROVIDER"


def test_a_waiting_task_that_is_stopped_is_gone_at_once() -> None:
    world = fleet(desired=0, maximum=0)
    task = world.run_task(world.define())
    world.stop(task.arn)
    assert world.state.task(task.arn).last_status is TaskStatus.STOPPED


def test_a_cluster_has_room_for_500_waiting_tasks() -> None:
    world = fleet(desired=0, maximum=0)
    service = world.create_service(world.define(), desired=PROVISIONING_MAX + 20)
    assert len(world.live(service)) == PROVISIONING_MAX
    assert any("provisioning capacity limit was exceeded" in message for message in world.messages(service))


def test_tasks_of_a_provider_go_to_its_instances_only() -> None:
    world = fleet(desired=1)
    stranger = world.add_host()
    service = world.create_service(world.define(), desired=3)
    world.run(5)
    assert all(task.instance != stranger for task in world.live(service))
    anywhere = world.create_service(world.define(family="x"), desired=2, name="x", body={})
    world.run(5)
    assert {task.instance for task in world.live(anywhere)} == {stranger}


def test_the_scalers_clock_may_run_faster_and_the_job_does_not() -> None:
    world = ToyFleet(policy=AT_ONCE, pace=Pace(60), boot_seconds=120)
    task = world.run_task(world.define())
    world.run(8)
    assert world.state.task(task.arn).last_status is TaskStatus.RUNNING
    world.behaviour = lambda _: Behaviour(quits_in=20)
    world.stop(task.arn)
    stopped = world.now
    while world.state.task(task.arn).last_status is not TaskStatus.STOPPED:
        world.run(0.5)
    assert 19.5 <= world.now - stopped <= 21


def test_a_task_remembers_the_provider_that_its_strategy_chose() -> None:
    world = fleet(desired=2)
    service = world.create_service(world.define(), desired=2)
    assert {task.body["capacityProviderName"] for task in world.live(service)} == {STRATEGY[0]["capacityProvider"]}
    assert isinstance(world.service(service), Service)


def test_gpus_are_waited_for_brought_and_handed_on_one_by_one() -> None:
    """Two GPUs a task, four a machine: three tasks are two machines. An update's tasks wait for the GPUs of the old."""
    world = fleet(desired=0, types=("g4dn.12xlarge",))
    world.behaviour = lambda _: Behaviour(quits_in=25)
    needs = Amounts(1024, 1024, gpus=2)
    service = world.create_service(world.define(needs), desired=3, minimum_healthy_percent=0)
    world.run(10 * MINUTE)
    assert [task.last_status for task in world.live(service)] == [TaskStatus.RUNNING] * 3
    assert len(world.active()) == 2
    old = {(task.instance, gpu) for task in world.live(service) for gpu in handed_out(task)}
    assert len(old) == 6
    overlaps: list[set[str]] = []

    def nobody_shares() -> None:
        for host in world.hosts.values():
            held = [gpu for hold in host.ledger for gpu in hold.amounts.gpu_ids]
            overlaps.extend([set(held)] if len(held) != len(set(held)) else [])

    world.checks.append(nobody_shares)
    world.deploy(service, world.define(needs))
    world.run(20)
    waiting = [task for task in world.live(service) if task.last_status is TaskStatus.PENDING]
    assert any((task.instance, gpu) in old for task in waiting for gpu in handed_out(task))
    world.run(5 * MINUTE)
    assert [task.last_status for task in world.live(service)] == [TaskStatus.RUNNING] * 3
    assert {task.task_definition[-2:] for task in world.live(service)} == {":2"}
    assert overlaps == []
