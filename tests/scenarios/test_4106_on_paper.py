"""The long job that would not stop, number by number, as it was worked out on paper (aws/amazon-ecs-agent#4106).

Two r5.large (2048 CPU units, 15731 MiB), four tasks of 1024 and 7372, desired 4. o4 works on for `job` seconds after
TERM. The tests beside the cores' own (`unit/controlplane/core/test_seed_scenario.py`) hold the cases' time lines; these
hold the numbers, the check-list of what an observer sees, and what each remedy changes.
"""

import msgspec
import pytest
from toy_cluster import R5_LARGE, TASK, ToyCluster
from toy_parts import Behaviour

from agent.core.queueing import Host, QueuePolicy
from controlplane.core.model import Release, Task
from controlplane.core.policy import CountsStopping, Policy
from controlplane.core.reconcile.look import ceiling_of, floor_of
from wire.holds import Proof
from wire.resources import Amounts, Room
from wire.status import DesiredStatus, TaskStatus

R = R5_LARGE.memory_mib
AT_ONCE = Policy(healthy_after_seconds=0)


class Paper:
    """Four old tasks o1..o4 at second 5; the deployment begins at `deploy`."""

    def __init__(
        self,
        *,
        minimum: int = 0,
        maximum: int = 200,
        hosts: int = 2,
        job: float = 100,
        timeout: int = 200,
        policy: Policy = AT_ONCE,
        release: Release = Release.NONE,
        **more: object,
    ) -> None:
        self.world = ToyCluster(release=release, policy=policy, hosts=2)
        self.timeout = timeout
        self.service = self.world.create_service(
            self.world.define(stop_timeout=timeout),
            desired=4,
            minimum_healthy_percent=minimum,
            maximum_percent=maximum,
            **more,
        )
        self.world.run(5)
        self.old = sorted(self.world.tasks(self.service), key=lambda task: (task.instance, task.arn))
        self.o4 = self.old[3].arn
        self.world.behaviour = lambda task: Behaviour(quits_in=job if task.arn == self.o4 else 2.0)
        for _ in range(hosts - 2):
            self.world.add_host()
        self.i1, self.i2, *self.spare = self.world.hosts

    def deploy(self) -> None:
        self.world.deploy(self.service, self.world.define(stop_timeout=self.timeout))

    def until(self, second: float) -> None:
        self.world.run(second - self.world.now)

    @property
    def new(self) -> list[Task]:
        arns = {task.arn for task in self.old}
        return [task for task in self.world.tasks(self.service) if task.arn not in arns]

    def with_status(self, status: TaskStatus) -> list[Task]:
        return [task for task in self.new if task.is_live and task.last_status is status]

    def free(self, instance: str) -> tuple[int, int]:
        return self.world.free(instance)[0]


def test_a_third_task_fits_nowhere() -> None:
    """CPU and memory each cap an r5.large at two; a buffer of more than R - 14744 MiB halves the density silently."""
    room = Room.whole(R5_LARGE)
    assert not room.minus(TASK).lacks(TASK)
    assert room.minus(TASK).minus(TASK).lacks(TASK) == ("CPU", "MEMORY")
    assert (R - 2 * TASK.memory_mib, 3 * TASK.memory_mib > R) == (987, True)
    for reserved, slots in ((0, 2), (987, 2), (988, 1)):
        registered = Amounts(2048, R - reserved)
        assert min(registered.cpu // TASK.cpu, registered.memory_mib // TASK.memory_mib) == slots


@pytest.mark.parametrize(
    ("minimum", "maximum", "floor", "ceiling"),
    [(0, 200, 0, 8), (0, 150, 0, 6), (0, 100, 0, 4), (50, 150, 2, 6), (75, 200, 3, 8), (100, 200, 4, 8)],
)
def test_floor_and_ceiling(minimum: int, maximum: int, floor: int, ceiling: int) -> None:
    case = Paper(minimum=minimum, maximum=maximum)
    service = case.world.service(case.service)
    assert (floor_of(service), ceiling_of(service)) == (floor, ceiling)


def test_case_a_what_an_observer_sees() -> None:
    case = Paper()
    assert (case.free(case.i1), case.free(case.i2)) == ((0, 987), (0, 987))
    case.deploy()
    plan = case.world.plans[-1]
    kinds = [line.kind for line in plan.story if line.kind in ("placement.ended", "placement.held")]
    assert kinds == ["placement.ended"] * 4 + ["placement.held"] * 4, "freed and given again in one plan"
    freed = [(line.data["cpu"], line.data["memory_mib"]) for line in plan.story if line.kind == "placement.ended"]
    assert freed == [(1024, 7372)] * 4, "in between, both show (2048, R)"
    assert (case.free(case.i1), case.free(case.i2)) == ((0, 987), (0, 987))
    live, stopping = case.world.live(case.service), case.world.stopping(case.service)
    assert (len(live), len(stopping)) == (4, 4), "4 stopping + 4 = 8, the ceiling"
    assert not case.with_status(TaskStatus.RUNNING), "runningTasksCount drops at once"
    case.until(20)
    assert len(case.with_status(TaskStatus.RUNNING)) == 3
    (waiting,) = case.with_status(TaskStatus.PENDING)
    assert (waiting.instance, waiting.pull_started_at) == (case.i2, None)
    o4 = case.world.state.task(case.o4)
    assert o4 is not None
    assert (o4.desired_status, o4.last_status) == (DesiredStatus.STOPPED, TaskStatus.STOPPING), "list-tasks hides it"
    assert case.world.free(case.i2)[1] == (2048 - 1024 - 1024, R - 2 * 7372), "the host: o4 and n3"
    messages = case.world.messages(case.service)
    assert sum("has started 4 tasks" in message for message in messages) == 2
    assert not any("unable to place" in message for message in messages)


def test_case_a_who_stands_behind_the_head_of_the_queue_waits_too() -> None:
    """The control plane believes I2 full, so mostly nobody does; but one that asks for no CPU and little memory may."""
    case = Paper()
    case.deploy()
    case.until(20)
    case.world.define(Amounts(0, 100), family="tiny")
    definition = case.world.state.task_definition(case.world.names.arns.task_definition("tiny", 1))
    assert definition is not None
    tiny = case.world.create_service(definition, desired=2, name="tiny")
    case.until(30)
    where = {task.instance: task.last_status for task in case.world.tasks(tiny)}
    assert where == {case.i1: TaskStatus.RUNNING, case.i2: TaskStatus.PENDING}
    case.until(5 + 100 + 2)
    assert {task.last_status for task in case.world.tasks(tiny)} == {TaskStatus.RUNNING}


@pytest.mark.parametrize(("job", "timeout", "blocked"), [(40, 200, 40), (400, 30, 30), (7200, 60, 60)])
def test_the_block_lasts_as_long_as_the_job_or_its_stop_timeout(job: float, timeout: int, blocked: float) -> None:
    case = Paper(job=job, timeout=timeout)
    case.deploy()
    case.until(5 + blocked - 1)
    assert len(case.with_status(TaskStatus.PENDING)) == 1
    case.until(5 + blocked + 1)
    assert len(case.with_status(TaskStatus.RUNNING)) == 4
    o4 = case.world.state.task(case.o4)
    assert o4 is not None
    assert o4.containers[0].exit_code == (0 if job <= timeout else 137)


def test_case_b_with_head_room_is_whole_and_the_second_wave_is_not() -> None:
    """min 100: start before stop, healthy after 40 s; then the next deployment lands beside the long job."""
    # Counted, the stopping o4 would leave room for three below the ceiling of 8, and the fourth would never be made.
    uncounted = Policy(counts_stopping=CountsStopping.NEVER)
    case = Paper(minimum=100, hosts=4, policy=uncounted, job=1000, timeout=2000)
    case.until(60)
    case.deploy()
    case.until(99)
    assert (len(case.new), len(case.world.stopping(case.service))) == (4, 0)
    assert {task.instance for task in case.new} == set(case.spare)
    case.until(110)
    assert [task.arn for task in case.world.stopping(case.service)] == [case.o4]
    assert case.free(case.i2) == (2048, R), "the placement ledger believes it empty"
    assert case.world.free(case.i2)[1] == (1024, R - 7372)
    case.until(200)
    case.deploy()
    case.until(220)
    second = [task for task in case.new if task.instance in (case.i1, case.i2)]
    assert sorted(task.last_status for task in second) == [TaskStatus.PENDING, *[TaskStatus.RUNNING] * 3]
    assert [task.instance for task in case.with_status(TaskStatus.PENDING)] == [case.i2]


@pytest.mark.parametrize("minimum", [0, 50])
@pytest.mark.parametrize("release", [Release.NONE, Release.ON_EXIT])
def test_case_c_makes_only_what_the_ceiling_of_four_lets_it(minimum: int, release: Release) -> None:
    """n4 is not made before o4 has gone. Where the others land is luck with an eager ledger (`docs/policies.md`)."""
    case = Paper(minimum=minimum, maximum=100, release=release)
    case.deploy()
    assert not case.new, "no start until one is STOPPED"
    for second in range(6, 60):
        case.until(second)
        assert len(case.world.live(case.service)) + len(case.world.stopping(case.service)) <= 4
    running, waiting = len(case.with_status(TaskStatus.RUNNING)), len(case.with_status(TaskStatus.PENDING))
    if release is Release.ON_EXIT:
        assert (running, waiting) == (3, 0)
    else:
        assert (running + waiting <= 3, waiting <= 1) == (True, True), "one beside the long job holds the rest up too"
    case.until(5 + 100 + 20)
    assert len(case.with_status(TaskStatus.RUNNING)) == 4


def test_min_50_max_150() -> None:
    """Two stop and two start beside them; one new task is stuck, 2 old + 1 new hold the floor of 2, and it goes on."""
    case = Paper(minimum=50, maximum=150)
    case.deploy()
    assert (len(case.world.stopping(case.service)), len(case.new)) == (2, 2)
    case.until(60)
    assert [task.arn for task in case.world.stopping(case.service)] == [case.o4]
    assert (len(case.with_status(TaskStatus.RUNNING)), len(case.with_status(TaskStatus.PENDING))) == (3, 1)


def test_remedy_binpack_is_harmful_beside_a_spare_host_and_spread_is_good() -> None:
    """A host with one running and one stopping task is packed first; a spread prefers the one that is really empty."""
    landed = {}
    for kind, field in (("binpack", "memory"), ("spread", "instanceId")):
        case = Paper(hosts=3, placement_strategy=({"type": kind, "field": field},))
        case.world.stop(case.o4)
        case.until(10)
        replacement = [task for task in case.new if task.is_live]
        landed[kind] = [task.instance for task in replacement]
        assert len(replacement) == 1
    assert landed == {"binpack": [case.i2], "spread": case.spare}


def test_remedy_agent_from_1_74_1_starts_beside_a_stopping_task() -> None:
    """n3 starts beside o4; up to 1.72 both new tasks wait for every earlier stopping task of their host."""
    for policy, at_o3, at_o4 in ((QueuePolicy.FIFO, ["n3"], ["n4"]), (QueuePolicy.SERIAL, [], ["n3", "n4"])):
        host = Host(R5_LARGE, policy)
        for task in ("o3", "o4"):
            host.ask(task, TASK, 0)
        for task in ("o3", "o4"):
            host.note_stopping(task)
        assert [entry.task for new in ("n3", "n4") for entry in host.ask(new, TASK, 1)] == []
        assert [entry.task for entry in host.release("o3", Proof.EXIT_SEEN, 30)[1]] == at_o3
        assert [entry.task for entry in host.release("o4", Proof.EXIT_SEEN, 3600)[1]] == at_o4


def test_remedy_protection_keeps_the_slot_charged() -> None:
    case = Paper()
    o4 = case.world.state.task(case.o4)
    assert o4 is not None
    protected = lambda draft: draft.put(_protected(o4, case.world.now + 1_800_000_000 + 3600))  # noqa: E731
    case.world.decide("protect", protected)
    case.deploy()
    case.until(20)
    assert len(case.with_status(TaskStatus.RUNNING)) == 3
    assert not case.with_status(TaskStatus.PENDING), "n4 is not placed into room that is taken"
    assert not case.world.phantoms()
    assert any("insufficient CPU units" in message for message in case.world.messages(case.service))
    case.world.add_host()
    case.until(40)
    assert len(case.with_status(TaskStatus.RUNNING)) == 4


def _protected(task: Task, until: float) -> Task:
    return msgspec.structs.replace(task, protected_until=until)
