"""One task through its life: statuses only climb, the hold ends once and by the policy, repeats change nothing."""

from collections.abc import Callable
from random import Random

import msgspec
import pytest

from controlplane.core import lifecycle
from controlplane.core.assignment import assignments
from controlplane.core.batch import Batch
from controlplane.core.cost import task_amounts
from controlplane.core.lifecycle import ContainerReport, NewTask, TaskReport
from controlplane.core.model import Cluster, Instance, Release, Task, TaskDefinition
from controlplane.core.names import Names
from controlplane.core.plan import Plan
from controlplane.core.policy import HoldEnds, Policy
from controlplane.core.state import State
from controlplane.core.view import Draft
from wire.arn import ArnMaker
from wire.holds import Proof
from wire.resources import Amounts
from wire.status import ContainerStatus, DesiredStatus, StopCode, TaskStatus

BODY = {
    "containerDefinitions": [
        {"name": "app", "image": "busybox", "cpu": 1024, "memory": 7372, "stopTimeout": 60},
        {"name": "log", "image": "busybox", "essential": False},
    ]
}
DEFINITION = TaskDefinition(arn="td/web:1", family="web", revision=1, amounts=task_amounts(BODY), body=BODY)
RUNNING = TaskReport(
    status=TaskStatus.RUNNING, containers=(ContainerReport(name="app", status=ContainerStatus.RUNNING, runtime_id="d"),)
)
STOPPED = TaskReport(status=TaskStatus.STOPPED, containers=(ContainerReport(name="app", exit_code=0),))


class World:
    """One instance, one task; `now` goes up by one with every commit."""

    def __init__(self, policy: Policy | None = None, release: Release = Release.NONE) -> None:
        self.state = State()
        self.now = 100.0
        self.plan = Plan(cause="")
        names = Names(ArnMaker("r", "1"), Random(1))
        self.do(lambda draft: draft.put(Cluster(name="c", arn="c", policy=policy or Policy())))
        instance = Instance(
            arn="i", cluster="c", registered=Amounts(2048, 15731), agent_connected=True, release=release
        )
        self.do(lambda draft: draft.put(instance))
        new = NewTask(cluster="c", group="family:web", instance="i")
        self.arn = self.do(lambda draft: lifecycle.create(draft, DEFINITION, new, names)).arn

    def do(self, decision: Callable[[Draft], Task]) -> Task:
        draft = Draft(self.state, now=self.now, cause=f"cause-{self.now:.0f}")
        result = decision(draft)
        self.plan = draft.plan()
        if self.plan:
            Batch(self.state).accept(self.plan)
            self.state.apply(self.plan, self.state.revision + 1)
            if self.state.instance("i") is not None:
                assert self.state.free("i") == draft.free("i")
        self.now += 1
        return result

    @property
    def task(self) -> Task:
        task = self.state.task(self.arn)
        assert task is not None
        return task

    @property
    def free_cpu(self) -> int:
        return self.state.free("i").cpu

    def stop(self, proof: Proof | None = None) -> Task:
        code = StopCode.USER_INITIATED
        return self.do(
            lambda draft: lifecycle.request_stop(draft, self.task, stop_code=code, reason="enough", proof=proof)
        )

    def observe(self, report: TaskReport) -> Task:
        return self.do(lambda draft: lifecycle.observe(draft, self.task, report))

    def told(self) -> Task:
        return self.do(lambda draft: lifecycle.observe_told(draft, self.task))

    def released(self, proof: Proof) -> Task:
        return self.do(lambda draft: lifecycle.observe_release(draft, self.task, proof))

    def proofs(self) -> list[str]:
        return [line.data["proof"] for line in self.plan.story if line.kind == "placement.ended"]


def test_a_new_task_is_pending_and_holds_its_room() -> None:
    world = World()
    task = world.task
    assert (task.last_status, task.desired_status, task.version) == (TaskStatus.PENDING, DesiredStatus.RUNNING, 1)
    assert task.amounts == Amounts(1024, 7372)
    assert world.free_cpu == 1024
    assert [c.name for c in task.containers] == ["app", "log"]
    assert [line.kind for line in world.plan.story] == ["task.desired", "placement.held", "task.status"]
    assert {line.cause for line in world.plan.story} == {"cause-102"}


def test_from_running_to_stopped_on_request() -> None:
    world = World()
    running = world.observe(RUNNING)
    assert (running.last_status, running.started_at, running.version) == (TaskStatus.RUNNING, 103, 2)
    stopping = world.stop()
    assert (stopping.last_status, stopping.desired_status) == (TaskStatus.RUNNING, DesiredStatus.STOPPED)
    assert (stopping.stopping_at, stopping.stop_code, stopping.stopped_reason) == (104, "UserInitiated", "enough")
    assert world.told().last_status is TaskStatus.STOPPING
    stopped = world.observe(msgspec.structs.replace(STOPPED, execution_stopped_at=105.5))
    assert stopped.last_status is TaskStatus.STOPPED
    assert (stopped.execution_stopped_at, stopped.stopped_at) == (105.5, 106)
    assert (stopped.stop_code, stopped.stopped_reason) == ("UserInitiated", "enough")
    assert [c.exit_code for c in stopped.containers] == [0, None]
    assert {c.last_status for c in stopped.containers} == {ContainerStatus.STOPPED}
    assert stopped.version == 5


@pytest.mark.parametrize("step", ["stop", "told", "running", "stopped"])
def test_a_repeat_changes_nothing(step: str) -> None:
    world = World()
    steps = {
        "running": lambda: world.observe(RUNNING),
        "stop": world.stop,
        "told": world.told,
        "stopped": lambda: world.observe(STOPPED),
    }
    for name, do in steps.items():
        do()
        if name == step:
            break
    revision = world.state.revision
    steps[step]()
    assert not world.plan
    assert world.state.revision == revision


def test_late_reports_do_not_lead_down() -> None:
    world = World()
    world.observe(RUNNING)
    world.observe(TaskReport(status=TaskStatus.PENDING))
    assert world.task.last_status is TaskStatus.RUNNING
    world.stop()
    world.told()
    world.observe(RUNNING)
    assert world.task.last_status is TaskStatus.STOPPING
    world.observe(STOPPED)
    world.observe(RUNNING)
    assert world.task.last_status is TaskStatus.STOPPED


def test_running_that_arrives_after_the_stop_was_told() -> None:
    world = World()
    world.stop()
    world.told()
    assert world.task.last_status is TaskStatus.PENDING
    late = world.observe(RUNNING)
    assert (late.last_status, late.started_at) == (TaskStatus.STOPPING, 105)


def test_an_essential_container_exits() -> None:
    world = World()
    world.observe(RUNNING)
    stopped = world.observe(STOPPED)
    assert (stopped.stop_code, stopped.stopped_reason) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    assert stopped.desired_status is DesiredStatus.STOPPED
    assert stopped.stopping_at == 104
    assert world.proofs() == ["EXIT_SEEN"]
    assert world.free_cpu == 2048


def test_a_quick_exit_that_was_never_reported_running_did_run() -> None:
    stopped = World().observe(STOPPED)
    assert stopped.stop_code is StopCode.ESSENTIAL_CONTAINER_EXITED


def test_a_task_that_fails_to_start() -> None:
    world = World()
    reason = "CannotPullContainerError: pull access denied"
    failed = world.observe(
        TaskReport(status=TaskStatus.STOPPED, containers=(ContainerReport(name="app", reason=reason),))
    )
    assert (failed.stop_code, failed.stopped_reason) == ("TaskFailedToStart", reason)
    assert failed.execution_stopped_at is None
    assert world.proofs() == ["NEVER_STARTED"]


def test_an_exit_code_of_a_container_that_could_not_start_is_no_run() -> None:
    container = ContainerReport(name="app", exit_code=127, reason="CannotStartContainerError: no such file")
    failed = World().observe(TaskReport(status=TaskStatus.STOPPED, containers=(container,)))
    assert failed.stop_code is StopCode.TASK_FAILED_TO_START


def test_containers_keep_what_was_reported() -> None:
    world = World()
    bindings = ({"containerPort": 80, "hostPort": 32768},)
    report = ContainerReport(
        name="app", status=ContainerStatus.RUNNING, runtime_id="abc", image_digest="sha256:1", network_bindings=bindings
    )
    world.observe(TaskReport(containers=(report,), pull_started_at=1, pull_stopped_at=2))
    world.observe(TaskReport(containers=(ContainerReport(name="app"), ContainerReport(name="stranger"))))
    app = world.task.containers[0]
    assert (app.runtime_id, app.image_digest, app.network_bindings) == ("abc", "sha256:1", bindings)
    assert (world.task.pull_started_at, world.task.pull_stopped_at) == (1, 2)


POLICIES = {ends: Policy(hold_ends=ends) for ends in HoldEnds}


@pytest.mark.parametrize(
    ("ends", "release", "ended_by"),
    [
        (HoldEnds.AGENT_REPORT, Release.NONE, "STOP_REQUESTED"),
        (HoldEnds.AGENT_REPORT, Release.EAGER, "AGENT_RELEASED"),
        (HoldEnds.STOP_REQUEST, Release.NONE, "STOP_REQUESTED"),
        (HoldEnds.STOP_REQUEST, Release.EAGER, "STOP_REQUESTED"),
        (HoldEnds.STOP_REQUEST, Release.ON_EXIT, "STOP_REQUESTED"),
        (HoldEnds.REPORTED_EXIT, Release.EAGER, "EXIT_SEEN"),
        (HoldEnds.REPORTED_EXIT, Release.NONE, "EXIT_SEEN"),
        (HoldEnds.DEADLINE, Release.EAGER, "DEADLINE_PASSED"),
        (HoldEnds.DEADLINE, Release.NONE, "DEADLINE_PASSED"),
    ],
)
def test_who_ends_the_hold(ends: HoldEnds, release: Release, ended_by: str) -> None:
    """Walk the stop of an agent that releases eagerly where it releases at all; exactly one step ends the hold."""
    world = World(POLICIES[ends], release)
    world.observe(RUNNING)
    proofs = []
    for step in (
        world.stop,
        world.told,
        lambda: world.released(Proof.STOP_REQUESTED) if release is Release.EAGER else world.told(),
        lambda: world.do(lambda draft: lifecycle.pass_deadline(draft, world.task)),
        lambda: setattr(world, "now", 1000.0) or world.do(lambda draft: lifecycle.pass_deadline(draft, world.task)),
        lambda: world.observe(STOPPED),
    ):
        step()
        proofs += world.proofs()
    assert proofs == [ended_by]
    assert world.task.hold is None
    assert world.free_cpu == 2048


def test_an_on_exit_release_is_a_fact() -> None:
    world = World(release=Release.ON_EXIT)
    world.observe(RUNNING)
    world.stop()
    assert world.free_cpu == 1024
    world.released(Proof.EXIT_SEEN)
    assert world.proofs() == ["EXIT_SEEN"]
    world.released(Proof.EXIT_SEEN)
    assert not world.plan


def test_a_stop_that_the_agent_gave_up_on_never_looks_proven() -> None:
    world = World(POLICIES[HoldEnds.REPORTED_EXIT])
    world.observe(RUNNING)
    world.stop()
    world.observe(msgspec.structs.replace(STOPPED, proof=Proof.GAVE_UP))
    assert world.proofs() == ["GAVE_UP"]


def test_the_deadline_is_the_longest_stop_timeout_after_the_stop_was_told() -> None:
    world = World(POLICIES[HoldEnds.DEADLINE])
    world.observe(RUNNING)
    world.stop()
    assert world.task.hold is not None
    assert world.task.hold.until is None
    told = world.told()
    assert told.hold is not None
    assert told.hold.until == 105 + 60
    plain = msgspec.structs.replace(told.containers[0], stop_timeout_seconds=None)
    assert lifecycle.deadline(msgspec.structs.replace(told, containers=(plain,)), 5) == 35


def test_a_task_without_an_instance_stops_at_once() -> None:
    world = World()
    names = Names(ArnMaker("r", "1"), Random(2))
    new = NewTask(cluster="c", group="g", instance=None)
    waiting = world.do(lambda draft: lifecycle.create(draft, DEFINITION, new, names))
    assert waiting.last_status is TaskStatus.PROVISIONING
    world.arn = waiting.arn
    stopped = world.stop()
    assert (stopped.last_status, stopped.stop_code) == (TaskStatus.STOPPED, "UserInitiated")


def test_a_lost_instance_takes_its_tasks_along() -> None:
    world = World(POLICIES[HoldEnds.REPORTED_EXIT])
    world.observe(RUNNING)
    code = StopCode.USER_INITIATED
    lost = world.do(lambda draft: lifecycle.observe_lost(draft, world.task, stop_code=code, reason="gone"))
    assert (lost.last_status, lost.stopped_reason) == (TaskStatus.STOPPED, "gone")
    assert world.proofs() == ["INSTANCE_LOST"]


def test_an_instance_is_told_of_everything_that_has_not_stopped() -> None:
    world = World()
    assert [(a.task.arn, a.desired) for a in assignments(world.state, "i")] == [(world.arn, DesiredStatus.RUNNING)]
    world.stop()
    assert [a.desired for a in assignments(world.state, "i")] == [DesiredStatus.STOPPED]
    world.observe(STOPPED)
    assert assignments(world.state, "i") == ()


@pytest.mark.parametrize(
    ("body", "overrides", "amounts"),
    [
        ({"cpu": "512", "memory": "1024", "containerDefinitions": [{"name": "a", "cpu": 9}]}, {}, Amounts(512, 1024)),
        ({"cpu": ".5 vCPU", "memory": "2GB", "containerDefinitions": []}, {}, Amounts(512, 2048)),
        (
            {
                "containerDefinitions": [
                    {"name": "a", "memory": 512, "memoryReservation": 128},
                    {"name": "b", "cpu": 10},
                ]
            },
            {},
            Amounts(10, 128),
        ),
        (
            {"containerDefinitions": [{"name": "a", "cpu": 10, "memory": 512}]},
            {"containerOverrides": [{"name": "a", "cpu": 20, "memory": 256}]},
            Amounts(20, 256),
        ),
        ({"cpu": "512", "containerDefinitions": []}, {"cpu": "256", "memory": "64"}, Amounts(256, 64)),
        (
            {
                "containerDefinitions": [
                    {
                        "name": "a",
                        "portMappings": [
                            {"containerPort": 80, "hostPort": 8080},
                            {"containerPort": 81, "hostPort": 0},
                            {"containerPort": 53, "hostPort": 53, "protocol": "udp"},
                        ],
                    }
                ]
            },
            {},
            Amounts(0, 0, frozenset({8080}), frozenset({53})),
        ),
        (
            {"networkMode": "host", "containerDefinitions": [{"name": "a", "portMappings": [{"containerPort": 80}]}]},
            {},
            Amounts(0, 0, frozenset({80})),
        ),
        (
            {"networkMode": "awsvpc", "containerDefinitions": [{"name": "a", "portMappings": [{"hostPort": 80}]}]},
            {},
            Amounts(),
        ),
    ],
)
def test_what_a_copy_costs(body: dict[str, object], overrides: dict[str, object], amounts: Amounts) -> None:
    assert task_amounts(body, overrides) == amounts


@pytest.mark.parametrize("body", [{"cpu": "much"}, {"memory": "1 TB"}])
def test_a_size_that_is_none_gets_one_sentence(body: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="Invalid setting for"):
        task_amounts(body)


@pytest.mark.parametrize("reason", ["", "TaskEngineError: The container that holds the task's namespaces has ended"])
def test_a_reason_of_the_agents_for_a_task_that_ran_is_what_the_user_reads(reason: str) -> None:
    world = World()
    world.do(lambda draft: lifecycle.observe(draft, world.task, RUNNING))
    report = msgspec.structs.replace(STOPPED, reason=reason)
    stopped = world.do(lambda draft: lifecycle.observe(draft, world.task, report))
    assert stopped.stop_code is StopCode.ESSENTIAL_CONTAINER_EXITED
    assert stopped.stopped_reason == (reason or "Essential container in task exited")
