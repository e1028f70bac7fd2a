"""A scheduler of one's own moves a service: its plan is carried out, or refused whole with one sentence."""

import sys
from pathlib import Path

import msgspec
import pytest
from toy_cluster import ToyCluster
from toy_fleet import ToyFleet

from controlplane.core.capacity.attachment import provider_of_task
from controlplane.core.model import Deployment, Instance, Service, Task
from controlplane.core.placement import custom
from controlplane.core.plan import Plan
from controlplane.core.policy import Policy
from wire.resources import Amounts
from wire.status import DesiredStatus, InstanceStatus, TaskStatus

sys.path.insert(0, str(Path(__file__).parents[4] / "examples/python_scheduler"))
from berth_example_scheduler import AllAtOnce, SameRack

SMALL = Amounts(512, 1024)


class Mine(SameRack):
    """Reconciles with what it was given."""

    def __init__(self, reconcile):
        self.reconcile = reconcile


def under(monkeypatch: pytest.MonkeyPatch, scheduler: object, *, hosts: int = 2) -> ToyCluster:
    monkeypatch.setattr(custom, "installed", {"mine": scheduler})
    return ToyCluster(hosts=hosts, policy=Policy(healthy_after_seconds=0, scheduler="mine"))


def refusals(world: ToyCluster) -> list[str]:
    return [line.data["why"] for line in world.story if line.kind == "plan.refused"]


def test_the_example_deploys_all_at_once_and_past_protection(monkeypatch: pytest.MonkeyPatch) -> None:
    world = under(monkeypatch, AllAtOnce())
    service = world.create_service(world.define(SMALL), desired=4)
    world.run(5)
    old = world.live(service)
    assert [task.last_status for task in old] == [TaskStatus.RUNNING] * 4
    assert world.service(service).deployments[0].rollout_state == "COMPLETED", "what becomes of a deployment is ours"
    world.protect(old[0].arn, 3600)
    world.deploy(service, world.define(SMALL))
    assert all(world.state.task(task.arn).desired_status is DesiredStatus.STOPPED for task in old), "no floor holds it"
    world.run(10)
    newest = world.service(service).deployments
    assert [(d.rollout_state, len(newest)) for d in newest] == [("COMPLETED", 1)]
    assert {task.deployment for task in world.live(service)} == {newest[0].id}
    assert len(world.live(service)) == 4
    assert refusals(world) == []


def test_it_never_over_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for more than an instance has: refused whole, and nothing is started; the toy checks every ledger."""

    def greedy(service, view, _):
        for _ in range(service.desired_count):
            view.start(view.instances("default")[0].arn)
        return view.plan()

    world = under(monkeypatch, Mine(greedy), hosts=1)
    service = world.create_service(world.define(Amounts(1024, 1024)), desired=3)
    world.run(1)
    assert world.live(service) == []
    (why,) = refusals(world)
    assert why.startswith("the plan of the scheduler mine starts a task on ")
    assert "RESOURCE:CPU" in why
    assert any("the plan of the scheduler mine" in event.message for event in world.service(service).events)


def another_service(service: Service, _):
    return Plan(cause="", puts=(msgspec.structs.replace(service, desired_count=9),))


def an_instance(_, view):
    host: Instance = view.instances("default")[0]
    return Plan(cause="", puts=(msgspec.structs.replace(host, status=InstanceStatus.DRAINING),))


def somebody_elses_task(service: Service, view):
    other = next(task for task in view.records(Task) if task.service != service.arn)
    view.stop(other)
    return view.plan()


def a_forged_task(service: Service, view):
    own = view.tasks_of(service.arn)
    if own:
        return Plan(cause="", puts=(msgspec.structs.replace(own[0], group="another"),))
    view.start(view.instances("default")[0].arn)
    return view.plan()


def a_deletion(_, view):
    return Plan(cause="", deletes=(("tasks", next(view.records(Task)).arn),))


def an_old_view(service: Service, _):
    return Plan(cause="", expected={("services", service.arn): 1})


def no_instance(_, view):
    view.start("nowhere")
    return view.plan()


def another_deployment(service: Service, view):
    stranger = Deployment(id="ecs-svc/1", status="ACTIVE", task_definition=service.task_definition)
    view.start(view.instances("default")[0].arn, stranger)
    return view.plan()


def a_break(*_):
    raise KeyError("rack")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (another_service, "of services, and may change nothing but tasks"),
        (an_instance, "of instances, and may change nothing but tasks"),
        (somebody_elses_task, "which is no task of this service"),
        (a_forged_task, "otherwise than by stopping it"),
        (a_deletion, "which is not its to delete"),
        (an_old_view, "was made from a view that is gone"),
        (no_instance, "which is no instance of the cluster"),
        (another_deployment, "which this service has not"),
        (a_break, "is missing: it broke: KeyError: 'rack'"),
        (lambda *_: None, "is no Plan but NoneType"),
    ],
)
def test_what_it_may_not_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch, answer, sentence: str) -> None:
    world = under(monkeypatch, AllAtOnce())
    theirs = world.create_service(world.define(SMALL), desired=1, name="theirs")
    world.run(3)
    before = {task.arn: task for task in world.tasks(theirs)}

    def reconcile(service, view, _):
        return view.plan() if service.arn == theirs else answer(service, view)

    monkeypatch.setattr(custom, "installed", {"mine": Mine(reconcile)})
    service = world.create_service(world.define(SMALL, family="mine"), desired=1)
    world.run(1)
    assert any(sentence in why for why in refusals(world)), refusals(world)
    assert {task.arn: task for task in world.tasks(theirs)} == before
    assert all(host.status is InstanceStatus.ACTIVE for host in world.state.instances("default"))
    assert world.service(service).desired_count == 1
    assert {task.group for task in world.tasks(service)} <= {"service:web"}


def test_a_strategy_binds_it_and_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an instance a start goes by the strategy, and managed scaling brings what it waits for."""

    def reconcile(service: Service, view, _):
        for _ in range(service.desired_count - sum(task.is_live for task in view.tasks_of(service.arn))):
            view.start()
        return view.plan()

    monkeypatch.setattr(custom, "installed", {"mine": Mine(reconcile)})
    world = ToyFleet(policy=Policy(healthy_after_seconds=0, scheduler="mine"))
    service = world.create_service(world.define(SMALL), desired=2)
    assert [task.last_status for task in world.live(service)] == [TaskStatus.PROVISIONING] * 2
    world.run(600)
    tasks = world.live(service)
    assert [task.last_status for task in tasks] == [TaskStatus.RUNNING] * 2
    assert {provider_of_task(task) for task in tasks} == {"cp"}
    assert refusals(world) == []


def test_on_an_instance_of_another_provider_it_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    where: list[str] = []

    def reconcile(service: Service, view, _):
        for instance in where[: service.desired_count - len(view.tasks_of(service.arn))]:
            view.start(instance)
        return view.plan()

    monkeypatch.setattr(custom, "installed", {"mine": Mine(reconcile)})
    world = ToyFleet(policy=Policy(healthy_after_seconds=0, scheduler="mine"), desired=1)
    world.run(300)
    where[:] = [world.add_host()]
    service = world.create_service(world.define(SMALL), desired=1)
    world.run(310)
    assert world.live(service) == []
    assert any("is of no capacity provider of the service (cp)" in why for why in refusals(world))
    where[:] = list(world.registered.values())
    world.run(400)
    assert [(task.instance, provider_of_task(task)) for task in world.live(service)] == [(where[0], "cp")]


def test_daemons_stay_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """So do services of a cluster whose scheduler has no `reconcile`."""

    class PlaceOnly:
        def place(self, requests, view, _):
            return [[view.instances("default")[1].arn] * request.count for request in requests]

    world = under(monkeypatch, PlaceOnly())
    service = world.create_service(world.define(SMALL), desired=2)
    world.run(3)
    assert [task.instance for task in world.live(service)] == [world.state.instances("default")[1].arn] * 2
