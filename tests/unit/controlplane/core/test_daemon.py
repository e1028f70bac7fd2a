"""DAEMON services: one task on each instance that matches; first to start, last to stop; a roll-over in place."""

import msgspec
from toy_cluster import Behaviour, ToyCluster

from controlplane.core.lifecycle import NewTask, create
from controlplane.core.model import Instance, Scheduling, Task
from controlplane.core.policy import Policy
from wire.resources import Amounts
from wire.status import HealthStatus, InstanceStatus

SMALL = Amounts(64, 64)
DAEMON = {"scheduling": Scheduling.DAEMON, "minimum_healthy_percent": 0, "maximum_percent": 100}


def daemons(hosts: int = 3, **members: object) -> tuple[ToyCluster, str]:
    world = ToyCluster(hosts=hosts, policy=Policy(healthy_after_seconds=0))
    service = world.create_service(world.define(SMALL), desired=0, name="log", **{**DAEMON, **members})
    world.run(1)
    return world, service


def places(world: ToyCluster, service: str) -> list[str]:
    return sorted(task.instance for task in world.live(service))


def set_instance(world: ToyCluster, arn: str, **members: object) -> None:
    changed = msgspec.structs.replace(world.state.record(Instance, arn), **members)
    world.decide("change the instance", lambda draft: draft.put(changed))


def test_one_on_each_instance_and_on_each_that_joins() -> None:
    world, service = daemons()
    assert places(world, service) == sorted(world.hosts)
    assert world.service(service).desired_count == 3
    world.add_host()
    world.run(1)
    assert places(world, service) == sorted(world.hosts)
    assert world.service(service).deployments[0].rollout_state == "COMPLETED"
    assert world.messages(service)[-1] == "(service log) has reached a steady state."


def test_on_an_instance_that_joins_the_daemon_starts_before_replicas_take_the_room() -> None:
    world, service = daemons(hosts=1)
    replica = world.create_service(world.define(Amounts(1024, 7372), family="big"), desired=4)
    assert len(world.live(replica)) == 1, "the daemon has its part"
    joined = world.add_host(Amounts(1024, 7372))
    world.run(1)
    assert [task.service for task in world.state.tasks_on(joined)] == [service]


def test_room_is_kept_for_a_daemon_that_has_not_started_yet() -> None:
    """A replica evaluated first keeps off an instance whose daemon task is still to come."""
    world, service = daemons(hosts=1)
    replica = world.create_service(world.define(Amounts(2048, 7372), family="big"), desired=1)
    assert not world.live(replica)
    world.checks.append(lambda: _daemon_first(world, service))
    former = world.state.record(Instance, next(iter(world.hosts)))
    joined = msgspec.structs.replace(former, arn=former.arn[:-1] + "f", registered=Amounts(2048, 8000))
    world._commit("joins, and nobody has looked yet", lambda draft: draft.put(joined))
    world._evaluate(replica)
    assert not world.live(replica)
    world._evaluate(service)
    assert [task.service for task in world.state.tasks_on(joined.arn)] == [service]


def _daemon_first(world: ToyCluster, service: str) -> None:
    for host in world.hosts:
        tasks = world.state.tasks_on(host)
        assert not tasks or tasks[0].service == service


def test_an_instance_that_leaves_keeps_its_daemon_task_to_the_last() -> None:
    world, service = daemons(hosts=2)
    replica = world.create_service(world.define(SMALL, family="web"), desired=2, minimum_healthy_percent=50)
    world.run(1)
    world.behaviour = lambda _: Behaviour(quits_in=20)
    first = world.live(replica)[0].instance
    own = next(task for task in world.live(service) if task.instance == first)
    set_instance(world, first, status=InstanceStatus.DRAINING)
    world.run(15)
    assert world.state.task(own.arn).is_live
    assert world.service(service).desired_count == 1
    world.run(10)
    assert not world.state.task(own.arn).is_live
    assert first not in places(world, service)


def test_a_standalone_task_on_an_instance_that_leaves_keeps_its_daemon_until_it_has_gone() -> None:
    """A drain leaves it alone for as long as it runs, and its logs and metrics want somebody."""
    world, service = daemons(hosts=2)
    own = world.live(service)[0]
    lone = NewTask(cluster="default", group="family:job", instance=own.instance)
    world.decide("run", lambda draft: create(draft, world.define(SMALL, family="job"), lone, world.names))
    world.run(2)
    job = next(task for task in world.state.tasks_on(own.instance) if task.service is None)
    set_instance(world, own.instance, status=InstanceStatus.DRAINING)
    world.run(3600)
    assert world.state.task(job.arn).is_live
    assert world.state.task(own.arn).is_live
    world.exit(job.arn)
    world.run(1)
    assert not world.state.task(own.arn).is_live


def test_an_agent_that_is_away_takes_no_daemon_with_it() -> None:
    world, service = daemons(hosts=2)
    gone = next(iter(world.hosts))
    set_instance(world, gone, agent_connected=False)
    world.run(5)
    assert len(places(world, service)) == 2, "an agent that is away is no reason"
    set_instance(world, gone, agent_connected=True)
    world.run(5)
    assert len(places(world, service)) == 2


def test_a_new_revision_takes_over_instance_by_instance_stop_first() -> None:
    world, service = daemons(hosts=4, minimum_healthy_percent=50)
    least = [4]

    def check() -> None:
        live = world.live(service)
        for host in world.hosts:
            assert sum(task.instance == host for task in live) <= 1
        least.append(len([task for task in live if task.started_at is not None]))

    world.checks.append(check)
    world.deploy(service, world.define(SMALL))
    world.run(60)
    assert min(least) == 2
    assert {task.task_definition[-2:] for task in world.live(service)} == {":2"}
    assert world.service(service).deployments[0].rollout_state == "COMPLETED"


def test_an_unhealthy_daemon_is_replaced_where_it_stands() -> None:
    world = ToyCluster(hosts=2)
    service = world.create_service(world.define(SMALL, is_checked=True), desired=0, name="log", **DAEMON)
    world.run(1)
    tasks: list[Task] = world.live(service)
    for task in tasks:
        world.health(task.arn, HealthStatus.HEALTHY)
    world.health(tasks[0].arn, HealthStatus.UNHEALTHY)
    world.run(10)
    assert not world.state.task(tasks[0].arn).is_live
    assert places(world, service) == sorted(world.hosts)


def test_a_daemon_that_finds_no_room_is_told_of() -> None:
    world = ToyCluster(hosts=1, size=Amounts(32, 32))
    service = world.create_service(world.define(SMALL), desired=0, name="log", **DAEMON)
    assert world.service(service).desired_count == 1
    assert "was unable to place a task" in world.messages(service)[-1]


def test_a_task_whose_instance_meets_the_constraints_no_longer_is_stopped() -> None:
    """API reference: placement constraints of a daemon are evaluated anew for running tasks."""
    gpu = {"type": "memberOf", "expression": "attribute:kind == gpu"}
    world = ToyCluster(hosts=2, policy=Policy(healthy_after_seconds=0))
    first, second = world.hosts
    kind = {"name": "kind", "value": "gpu"}
    for arn in (first, second):
        set_instance(world, arn, attributes=(*world.state.record(Instance, arn).attributes, kind))
    service = world.create_service(world.define(SMALL), desired=0, name="log", placement_constraints=(gpu,), **DAEMON)
    world.run(1)
    assert places(world, service) == sorted(world.hosts)
    changed = tuple(a for a in world.state.record(Instance, first).attributes if a != kind)
    set_instance(world, first, attributes=changed)
    world.run(5)
    assert places(world, service) == [second]
    assert world.service(service).desired_count == 1
    names = [event.name for event in world.service(service).events]
    assert "SERVICE_DAEMON_PLACEMENT_CONSTRAINT_VIOLATED" in names


def test_an_unhealthy_daemon_task_is_replaced_though_another_instance_has_no_room_for_one() -> None:
    world = ToyCluster(hosts=3, policy=Policy(healthy_after_seconds=0))
    service = world.create_service(world.define(Amounts(1024, 64), is_checked=True), desired=0, name="log", **DAEMON)
    world.run(1)
    for task in world.live(service):
        world.health(task.arn, HealthStatus.HEALTHY)
    world.add_host(Amounts(512, 512))
    world.run(1)
    assert len(world.live(service)) == 3
    sick = world.live(service)[0]
    world.health(sick.arn, HealthStatus.UNHEALTHY)
    world.run(60)
    assert not world.state.task(sick.arn).is_live
    assert len(world.live(service)) == 3
