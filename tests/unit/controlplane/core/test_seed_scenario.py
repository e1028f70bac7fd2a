"""The long job that would not stop (aws/amazon-ecs-agent#4106), on paper: two r5.large hosts, four tasks, one long job.

Each test deploys at second 5 over four tasks of which three quit 2 s after TERM and `o4` works on for 40 s; from second
15 on a third host stands empty.
"""

import pytest
from toy_cluster import EPOCH, Behaviour, ToyCluster

from controlplane.core.model import Release, Task
from controlplane.core.placement.engine import Outcome
from controlplane.core.policy import CountsStopping, HoldEnds, Policy
from controlplane.core.reconcile import replica
from controlplane.core.reconcile.look import Look, Team
from controlplane.core.view import Draft
from wire.status import TaskStatus

AT_ONCE = Policy(healthy_after_seconds=0)


class Deployment:
    def __init__(
        self,
        *,
        minimum: int,
        maximum: int,
        release: Release,
        policy: Policy = AT_ONCE,
        long_job: float = 40.0,
        seed: int = 4,
    ) -> None:
        self.world = ToyCluster(release=release, policy=policy, seed=seed)
        first = self.world.define(stop_timeout=60)
        self.service = self.world.create_service(
            first, desired=4, minimum_healthy_percent=minimum, maximum_percent=maximum
        )
        self.world.run(5)
        old = sorted(self.world.tasks(self.service), key=lambda task: (task.instance, task.arn))
        for nth, task in enumerate(old, start=1):
            self.world.nickname(task.arn, f"o{nth}")
        self.old = [task.arn for task in old]
        self.world.behaviour = lambda task: Behaviour(quits_in=long_job if task.arn == self.old[3] else 2.0)
        self.told = len(self.world.story)
        self.world.checks.append(self._within_bounds)
        self.floor, self.ceiling = -(-4 * minimum // 100), 4 * maximum // 100
        self.world.deploy(self.service, self.world.define(stop_timeout=60))
        self.world.at(15, self.world.add_host)
        self.hosts = list(self.world.hosts)

    def run(self, until: float) -> None:
        self.world.run(until - self.world.now)
        new = [task for task in self.world.tasks(self.service) if task.arn not in self.old]
        for nth, task in enumerate(new, start=1):
            self.world.nickname(task.arn, f"n{nth}")

    def new(self) -> list[Task]:
        return [task for task in self.world.tasks(self.service) if task.arn not in self.old]

    def timeline(self) -> str:
        return "\n".join(self.world.timeline()[12:])

    def _within_bounds(self) -> None:
        live, stopping = self.world.live(self.service), self.world.stopping(self.service)
        counted = len(stopping) if self.world.policy.counts_stopping is CountsStopping.ALWAYS else 0
        assert len(live) + counted <= self.ceiling
        running = [task for task in live if task.last_status is TaskStatus.RUNNING]
        assert len(running) >= self.floor


def test_eager_places_into_room_that_is_not_there() -> None:
    """Case A: all four are stopped and replaced in one step; n4 waits on the full host while a third stands empty."""
    case = Deployment(minimum=0, maximum=200, release=Release.NONE)
    assert str(case.world.plans[-1]).count("put    tasks") == 8
    case.run(14)
    first, second = case.hosts
    waiting = [task for task in case.new() if task.last_status is TaskStatus.PENDING]
    assert [task.instance for task in waiting] == [second]
    assert waiting[0].pull_started_at is None
    assert [task.arn for task in case.world.phantoms()] == [case.old[3]]
    # The placement ledger counts n3 and n4, the host o4 and n3; without the waiting task it would show 15731 - 7372.
    assert case.world.free(first) == ((0, 987), (0, 987))
    assert case.world.free(second) == ((0, 987), (0, 987))
    assert case.world.state.free(second).plus(waiting[0].amounts).memory_mib == 8359
    assert case.world.state.free(second).plus(waiting[0].amounts).cpu == 1024
    case.run(60)
    third = list(case.world.hosts)[2]
    assert case.world.free(third) == ((2048, 15731), (2048, 15731))
    assert case.timeline() == EAGER
    assert case.world.messages(case.service)[3:] == [
        "(service web) has stopped 4 running tasks: (task o4) (task o1) (task o3) (task o2).",
        "(service web) has started 4 tasks: (task n1) (task n2) (task n3) (task n4).",
        f"(service web) (deployment {case.world.service(case.service).deployments[0].id}) deployment completed.",
        "(service web) has reached a steady state.",
    ]


EAGER = """\
  5.00 o4 is to stop
  5.00 o4 frees I2 by STOP_REQUESTED
  5.00 o1 is to stop
  5.00 o1 frees I1 by STOP_REQUESTED
  5.00 o3 is to stop
  5.00 o3 frees I2 by STOP_REQUESTED
  5.00 o2 is to stop
  5.00 o2 frees I1 by STOP_REQUESTED
  5.00 n1 holds I1
  5.00 n1 PENDING
  5.00 n2 holds I2
  5.00 n2 PENDING
  5.00 n3 holds I1
  5.00 n3 PENDING
  5.00 n4 holds I2
  5.00 n4 PENDING
  5.01 o1 STOPPING
  5.01 o2 STOPPING
  5.01 o4 STOPPING
  5.01 o3 STOPPING
  7.01 o1 STOPPED
  7.01 o2 STOPPED
  7.01 o3 STOPPED
  7.31 n1 RUNNING
  7.31 n3 RUNNING
  7.31 n2 RUNNING
 45.01 o4 STOPPED
 45.31 n4 RUNNING"""


def test_eager_phantom_at_the_deploy_is_all_four_tasks() -> None:
    case = Deployment(minimum=0, maximum=200, release=Release.NONE)
    assert sum(task.amounts.memory_mib for task in case.world.phantoms()) == 29488
    assert all(case.world.state.free(host).cpu == 0 for host in case.hosts)


def test_an_eager_agent_reports_the_release_and_no_one_hears_of_a_lack_of_room() -> None:
    """Our agent releases at once: the same picture a moment later, and no event about a place that was not there."""
    case = Deployment(minimum=0, maximum=200, release=Release.EAGER)
    case.run(14)
    assert [task.instance for task in case.new() if task.last_status is TaskStatus.PENDING] == [case.hosts[1]]
    assert [task.arn for task in case.world.phantoms()] == [case.old[3]]
    assert not any("unable to place" in message for message in case.world.messages(case.service))
    proofs = {line.data["proof"] for line in case.world.story if line.kind == "placement.ended"}
    assert proofs == {"AGENT_RELEASED"}


def test_on_exit_waits_for_the_exit_and_takes_the_third_host() -> None:
    """The counterfactual: no phantom at any time, one honest event, and n4 runs on the host that joins."""
    case = Deployment(minimum=0, maximum=200, release=Release.ON_EXIT)
    case.world.checks.append(lambda: _no_phantoms(case.world))
    case.run(60)
    assert case.timeline() == ON_EXIT
    unable = [message for message in case.world.messages(case.service) if "unable to place" in message]
    assert unable == [
        (
            "(service web) was unable to place a task because no container instance met all of its requirements. The "
            "closest matching (container-instance I1) has insufficient CPU units available. For more information, see "
            "the Troubleshooting section of the Amazon ECS Developer Guide."
        )
    ]
    failed = [line.data for line in case.world.story if line.kind == "placement.failed"]
    assert failed == [{"reasons": {"RESOURCE:CPU": 2}, "instances": 2, "why": "2 of 2 instances lack CPU."}]


ON_EXIT = """\
  5.00 o4 is to stop
  5.00 o1 is to stop
  5.00 o3 is to stop
  5.00 o2 is to stop
  5.01 o1 STOPPING
  5.01 o2 STOPPING
  5.01 o4 STOPPING
  5.01 o3 STOPPING
  7.01 o1 frees I1 by EXIT_SEEN
  7.01 n1 holds I1
  7.01 n1 PENDING
  7.01 o1 STOPPED
  7.01 o2 frees I1 by EXIT_SEEN
  7.01 n2 holds I1
  7.01 n2 PENDING
  7.01 o2 STOPPED
  7.01 o3 frees I2 by EXIT_SEEN
  7.01 n3 holds I2
  7.01 n3 PENDING
  7.01 o3 STOPPED
  7.32 n1 RUNNING
  7.32 n2 RUNNING
  7.32 n3 RUNNING
 15.00 n4 holds I3
 15.00 n4 PENDING
 15.31 n4 RUNNING
 45.01 o4 frees I2 by EXIT_SEEN
 45.01 o4 STOPPED"""


def _no_phantoms(world: ToyCluster) -> None:
    assert not world.phantoms()


@pytest.mark.parametrize("minimum", [0, 50])
def test_maximum_100_starts_one_for_each_that_has_stopped(minimum: int) -> None:
    """Case C: stopping tasks count against the ceiling, so the last new task is not even made until the job ends."""
    case = Deployment(minimum=minimum, maximum=100, release=Release.NONE, seed=3)
    assert len(case.world.stopping(case.service)) == 4 - case.floor
    assert not case.new()
    case.run(40)
    assert len(case.new()) == 3
    case.run(80)
    assert [task.last_status for task in case.new()] == [TaskStatus.RUNNING] * 4


def test_maximum_100_that_does_not_count_stopping_behaves_as_case_a() -> None:
    policy = Policy(healthy_after_seconds=0, counts_stopping=CountsStopping.NEVER)
    case = Deployment(minimum=0, maximum=100, release=Release.NONE, policy=policy)
    assert len(case.new()) == 4
    case.run(14)
    assert [task.arn for task in case.world.phantoms()] == [case.old[3]]


def test_maximum_100_that_counts_stopping_for_a_time() -> None:
    policy = Policy(healthy_after_seconds=0, counts_stopping=CountsStopping.FOR, counts_stopping_seconds=20)
    case = Deployment(minimum=0, maximum=100, release=Release.NONE, policy=policy)
    case.run(24.9)
    assert len(case.new()) == 3
    case.run(25.1)
    assert len(case.new()) == 4


def test_minimum_50_maximum_150_puts_new_tasks_next_to_stopping_ones() -> None:
    """Two stop and two start in one step, each beside its predecessor; the end is that of case A."""
    case = Deployment(minimum=50, maximum=150, release=Release.NONE)
    assert len(case.world.stopping(case.service)) == 2
    assert len(case.new()) == 2
    case.run(40)
    assert sum(task.last_status is TaskStatus.RUNNING for task in case.new()) == 3
    assert [task.arn for task in case.world.stopping(case.service)] == [case.old[3]]
    assert len(case.world.phantoms()) == 1
    case.run(60)
    assert [task.last_status for task in case.new()] == [TaskStatus.RUNNING] * 4


def test_minimum_100_without_room_stops_nothing() -> None:
    """Case B without head-room: the new ones must run first and find no place until the third host has joined."""
    case = Deployment(minimum=100, maximum=200, release=Release.NONE)
    case.run(14)
    assert not case.new()
    assert not case.world.stopping(case.service)
    assert any("unable to place" in message for message in case.world.messages(case.service))
    case.run(90)
    assert [task.last_status for task in case.new()] == [TaskStatus.RUNNING] * 4
    assert len(case.world.service(case.service).deployments) == 1


def test_deadline_frees_the_room_of_a_task_that_is_still_there() -> None:
    """Policy `deadline`: signal + stopTimeout (60 s), or the exit where that comes first; here the exits come first."""
    policy = Policy(healthy_after_seconds=0, hold_ends=HoldEnds.DEADLINE)
    case = Deployment(minimum=0, maximum=200, release=Release.NONE, policy=policy)
    case.world.checks.append(lambda: _no_phantoms(case.world))
    case.run(6)
    stopping = case.world.stopping(case.service)
    assert [task.hold is not None and task.hold.until is not None for task in stopping] == [True] * 4
    case.run(60)
    assert [task.last_status for task in case.new()] == [TaskStatus.RUNNING] * 4
    third = list(case.world.hosts)[2]
    assert sum(task.instance == third for task in case.new()) == 1


def test_lease_moves_the_waiting_task_to_the_third_host() -> None:
    """Policy `lease`: n4 waits 15 s behind the long job, gives its place up and is placed anew where room is real."""
    policy = Policy(healthy_after_seconds=0, pending_lease_seconds=15)
    case = Deployment(minimum=0, maximum=200, release=Release.NONE, policy=policy)
    case.run(30)
    assert [task.arn for task in case.world.stopping(case.service)] == [case.old[3]]
    running = [task for task in case.new() if task.last_status is TaskStatus.RUNNING]
    third = list(case.world.hosts)[2]
    assert len(running) == 4
    assert [task.instance for task in running].count(third) == 1
    moved = [task for task in case.new() if task.last_status is TaskStatus.STOPPED]
    assert [(task.stop_code, task.stopping_at) for task in moved] == [
        ("ServiceSchedulerInitiated", moved[0].created_at + 15)
    ]
    leases = [line for line in case.world.story if line.data.get("proof") == "LEASE_EXPIRED"]
    assert [line.subject for line in leases] == [moved[0].arn]


def test_lease_without_another_place_stays_where_it_is() -> None:
    """Giving the place up would help nobody: one task waits, and none is made and stopped over and over."""
    policy = Policy(healthy_after_seconds=0, pending_lease_seconds=2)
    case = Deployment(minimum=0, maximum=200, release=Release.NONE, policy=policy)
    case.run(14.9)
    assert len(case.new()) == 4


def test_a_lease_that_moves_a_task_is_remembered_though_the_next_team_moves_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What starts then goes only where nothing stops: else it could wait behind the same task again."""
    policy = Policy(healthy_after_seconds=0, pending_lease_seconds=15)
    case = Deployment(minimum=0, maximum=200, release=Release.NONE, policy=policy)
    case.run(19.9)
    world = case.world
    draft = Draft(world.state, now=EPOCH + world.now + 1, cause="lease")
    look = Look(draft, world.service(case.service), names=world.names, dice=world.dice)
    team = Team(look.service.deployments[0], 4, [draft.task(task.arn) for task in case.new()])
    replica.move_waiting(look, team)
    assert look.has_moved
    monkeypatch.setattr(replica, "place", lambda *_: Outcome(()))
    replica.move_waiting(look, team)
    assert look.has_moved


def test_one_seed_gives_one_story() -> None:
    def story() -> list[object]:
        case = Deployment(minimum=50, maximum=150, release=Release.EAGER)
        case.run(60)
        return [str(plan) for plan in case.world.plans] + case.world.story

    assert story() == story()
