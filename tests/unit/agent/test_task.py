"""The machine of one task: what it asks for after each fact, and what it tells the control plane."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search import tries

from agent.core.events import (
    Absent,
    Admitted,
    Created,
    Desired,
    Exited,
    KillSent,
    Pulled,
    ReportAccepted,
    RuntimeFault,
    SignalSent,
    Started,
    TimerFired,
)
from agent.core.instructions import (
    AskRoom,
    CreateContainer,
    ReleaseHost,
    SendKill,
    SendSignal,
    StartContainer,
    StartTimer,
    Tell,
    WithdrawRoom,
)
from agent.core.ladder import Known
from agent.core.reporting import ReleaseReport, StateReport
from agent.core.spec import ContainerSpec, TaskSpec
from agent.core.state import Release, RoomState, Settings, TaskState
from agent.core.stopping import GiveUp
from agent.core.task import TaskMachine
from wire.holds import Proof
from wire.status import DesiredStatus

ARN = "arn:aws:ecs:us-east-1:123456789012:task/default/0123"
RUN, STOP = DesiredStatus.RUNNING, DesiredStatus.STOPPED


class Driver:
    """Feeds a machine and remembers everything that it asked for."""

    def __init__(self, *containers, **policy):
        specs = containers or (ContainerSpec(name="main", image="i", essential=True, cpu=10, memory_mib=16),)
        self.spec = TaskSpec(arn=ARN, containers=specs)
        self.settings = Settings(**policy)
        first = Desired(task=ARN, cause="m-1", desired=RUN, spec=self.spec)
        self.machine = TaskMachine.accept(first, self.settings)
        self.asked = []
        self.now = 0.0
        self.give(first)

    def give(self, event, at=None):
        self.now = self.now if at is None else at
        new = [i for i in self.machine.handle(event, self.now) if not isinstance(i, Tell)]
        self.asked += new
        return new

    def run(self, name="main", at=None):
        """Admit, create and start a container."""
        self.give(Admitted(task=ARN), at)
        self.give(Created(task=ARN, container=name, docker_id=f"d-{name}", stop_signal="SIGTERM"))
        return self.give(Started(task=ARN, container=name, docker_id=f"d-{name}", at=self.now))

    def stop(self, at=None):
        return self.give(Desired(task=ARN, cause="m-2", desired=STOP), at)

    def exit(self, name="main", code=0, at=None):
        at = self.now if at is None else at
        return self.give(Exited(task=ARN, container=name, exit_code=code, finished_at=at), at)

    @property
    def state(self):
        return self.machine.state

    @property
    def told(self):
        """The outbox in words."""
        return [
            f"release {r.proof}"
            if isinstance(r, ReleaseReport)
            else f"{r.status} {[c.exit_code for c in r.containers]}"
            for r in self.state.outbox
        ]


def kinds(instructions):
    return [type(i).__name__ for i in instructions]


def test_a_task_asks_for_room_and_touches_nothing_until_it_is_admitted():
    d = Driver()
    assert kinds(d.asked) == ["AskRoom"]
    assert kinds(d.give(Admitted(task=ARN))) == ["SeeToImage"]
    assert kinds(d.give(Pulled(task=ARN, container="main"))) == ["CreateContainer"]


def test_create_start_running_is_reported_once():
    d = Driver()
    d.run()
    assert d.told == ["RUNNING [None]"]
    d.give(Started(task=ARN, container="main", docker_id="d-main", at=5))
    assert len(d.state.outbox) == 1


def test_eager_release_is_told_before_the_signal_has_even_been_sent_and_the_host_keeps_the_room():
    d = Driver(release=Release.EAGER)
    d.run()
    asked = d.stop(at=10)
    assert d.told == ["RUNNING [None]", "release STOP_REQUESTED"]
    assert not [i for i in asked if isinstance(i, ReleaseHost)]
    assert d.state.room is RoomState.HELD
    asked = d.exit(at=50)
    assert [i.proof for i in asked if isinstance(i, ReleaseHost)] == [Proof.EXIT_SEEN]
    assert d.told[-1] == "STOPPED [0]"


def test_on_exit_release_is_told_only_when_the_last_container_has_been_seen_to_exit():
    d = Driver(release=Release.ON_EXIT)
    d.run()
    d.stop(at=10)
    d.give(SignalSent(task=ARN, container="main", at=10))
    assert d.told == ["RUNNING [None]"]
    d.exit(at=50)
    assert d.told == ["RUNNING [None]", "release EXIT_SEEN", "STOPPED [0]"]


def test_signal_timer_kill():
    d = Driver(ContainerSpec(name="main", image="i", essential=True, stop_timeout_seconds=7), stop_timeout_seconds=30)
    d.run()
    assert "SendSignal" in kinds(d.stop(at=100))
    [timer] = d.give(SignalSent(task=ARN, container="main", at=101))
    assert isinstance(timer, StartTimer)
    assert timer.at == 108, "stopTimeout goes before ECS_CONTAINER_STOP_TIMEOUT"
    [kill] = d.give(TimerFired(task=ARN, container="main", timer="DEADLINE"), at=108)
    assert isinstance(kill, SendKill)
    d.give(KillSent(task=ARN, container="main"))
    d.exit(code=137, at=108.1)
    assert d.told[-1] == "STOPPED [137]"


def test_the_images_own_stop_signal_is_sent():
    d = Driver()
    d.give(Admitted(task=ARN))
    d.give(Created(task=ARN, container="main", docker_id="d", stop_signal="SIGQUIT"))
    d.give(Started(task=ARN, container="main", docker_id="d", at=0))
    assert [i.signal for i in d.stop() if isinstance(i, SendSignal)] == ["SIGQUIT"]


def test_stopping_twice_changes_nothing():
    d = Driver()
    d.run()
    d.stop(at=1)
    assert d.stop(at=2) == []
    assert d.told.count("release STOP_REQUESTED") == 1


def test_a_queued_task_is_stopped_without_a_docker_call_and_nothing_is_released():
    d = Driver()
    asked = d.stop()
    assert kinds(asked) == ["WithdrawRoom", "Send"]
    assert d.told == ["STOPPED [None]"]
    assert d.state.known is Known.STOPPED


def test_a_stop_during_the_start_waits_for_the_start_and_then_stops():
    d = Driver()
    d.give(Admitted(task=ARN))
    d.give(Created(task=ARN, container="main", docker_id="d"))
    assert not [i for i in d.stop() if isinstance(i, SendSignal)]
    assert "SendSignal" in kinds(d.give(Started(task=ARN, container="main", docker_id="d", at=0)))


def test_an_exit_before_the_start_call_returned_is_an_exit_after_the_start():
    d = Driver()
    d.give(Admitted(task=ARN))
    d.give(Created(task=ARN, container="main", docker_id="d"))
    d.exit(code=3)
    assert d.state.known is not Known.STOPPED
    d.give(Started(task=ARN, container="main", docker_id="d", at=0))
    assert d.told == ["STOPPED [3]"]


def test_a_start_that_failed_has_no_exit_code_and_carries_amazons_error_name():
    d = Driver()
    d.give(Admitted(task=ARN))
    d.give(Created(task=ARN, container="main", docker_id="d"))
    d.give(RuntimeFault(task=ARN, container="main", call="start", error="CannotStartContainerError: no such file"))
    report = d.state.outbox[-1]
    assert report.status == "STOPPED"
    assert report.containers[0].exit_code is None
    assert report.containers[0].reason == "CannotStartContainerError: no such file"


def test_an_essential_exit_stops_the_others_and_stopped_waits_for_the_last():
    d = Driver(
        ContainerSpec(name="main", image="i", essential=True),
        ContainerSpec(name="side", image="i", essential=False),
    )
    d.run("main")
    d.run("side")
    asked = d.exit("main", 1, at=5)
    assert [i.container for i in asked if isinstance(i, SendSignal)] == ["side"]
    assert d.state.known is Known.RUNNING
    d.exit("side", 143, at=9)
    assert d.told[-1] == "STOPPED [1, 143]"
    assert d.state.execution_stopped_at == 5


def test_a_natural_exit_is_no_stop_request_eager_release_is_not_told():
    d = Driver(release=Release.EAGER)
    d.run()
    d.exit(code=3)
    assert d.told == ["RUNNING [None]", "STOPPED [3]"]


def test_the_exit_of_a_non_essential_container_is_told_at_once():
    d = Driver(
        ContainerSpec(name="main", image="i", essential=True),
        ContainerSpec(name="side", image="i", essential=False),
    )
    d.run("main")
    d.run("side")
    d.exit("side", 0)
    assert d.told[-1] == "RUNNING [None, 0]"


def test_a_stop_for_a_task_never_seen_is_reported_stopped_and_nothing_is_done():
    event = Desired(task=ARN, cause="m", desired=STOP)
    machine = TaskMachine.accept(event, Settings())
    asked = machine.handle(event, 0)
    assert not [i for i in asked if isinstance(i, (AskRoom, CreateContainer, WithdrawRoom))]
    assert [r.status for r in machine.state.outbox] == ["STOPPED"]


@pytest.mark.parametrize("refusal", ["", "cpu is no number"])
def test_a_task_without_containers_or_unreadable_is_refused_and_wedges_nobody(refusal):
    event = Desired(task=ARN, cause="m", desired=RUN, spec=TaskSpec(arn=ARN), refusal=refusal)
    machine = TaskMachine.accept(event, Settings())
    machine.handle(event, 0)
    [report] = machine.state.outbox
    assert report.status == "STOPPED"
    assert report.reason.startswith("UnrecogniedTaskError: Error loading task - ")


def test_a_stop_that_docker_keeps_refusing_holds_the_room_for_ever_or_is_declared_unproven():
    for give_up, proofs in ((GiveUp.HOLD, []), (GiveUp.DECLARE, [Proof.GAVE_UP])):
        d = Driver(give_up=give_up, stop_timeout_seconds=1)
        d.run()
        d.stop(at=0)
        d.give(SignalSent(task=ARN, container="main", at=0))
        d.give(TimerFired(task=ARN, container="main", timer="DEADLINE"), at=1)
        for n in range(8):
            d.give(RuntimeFault(task=ARN, container="main", call="kill", error="DockerTimeoutError: x"), at=2 + n)
        assert [i.proof for i in d.asked if isinstance(i, ReleaseHost)] == proofs


def test_killed_in_the_middle_of_a_stop_the_restarted_machine_keeps_the_original_deadline():
    d = Driver(stop_timeout_seconds=20)
    d.run()
    d.stop(at=100)
    d.give(SignalSent(task=ARN, container="main", at=100))
    on_disk = msgspec.json.encode(d.state)

    state = msgspec.json.decode(on_disk, type=TaskState)
    machine = TaskMachine(state, d.settings)
    found = [
        Created(task=ARN, container="main", docker_id="d-main"),
        Started(task=ARN, container="main", docker_id="d-main", at=0),
    ]
    asked = machine.resume(found, 111)
    assert [i.at for i in asked if isinstance(i, StartTimer)] == [120]
    assert not [i for i in asked if isinstance(i, (SendSignal, CreateContainer, StartContainer))]
    assert [i.resumed for i in asked if isinstance(i, AskRoom)] == [True]


def test_what_happened_while_the_agent_was_dead_is_told_from_what_docker_says():
    d = Driver()
    d.run()
    machine = TaskMachine(msgspec.json.decode(msgspec.json.encode(d.state), type=TaskState), d.settings)
    machine.resume([Exited(task=ARN, container="main", exit_code=7, finished_at=3)], 10)
    assert machine.state.outbox[-1].containers[0].exit_code == 7
    vanished = TaskMachine(msgspec.json.decode(msgspec.json.encode(d.state), type=TaskState), d.settings)
    vanished.resume([Absent(task=ARN, container="main")], 10)
    assert vanished.state.outbox[-1].containers[0].reason.startswith("ContainerVanishedError")


def test_a_container_created_just_before_the_crash_is_started_and_not_created_again():
    d = Driver()
    d.give(Admitted(task=ARN))
    machine = TaskMachine(msgspec.json.decode(msgspec.json.encode(d.state), type=TaskState), d.settings)
    asked = machine.resume([Created(task=ARN, container="main", docker_id="d")], 10)
    assert "StartContainer" in kinds(asked)
    assert "CreateContainer" not in kinds(asked)


def test_the_outbox_is_emptied_in_order_and_a_doubled_acceptance_drops_nothing():
    d = Driver(release=Release.ON_EXIT)
    d.run()
    d.stop()
    d.exit()
    assert len(d.state.outbox) == 3
    d.give(ReportAccepted(task=ARN, number=0))
    d.give(ReportAccepted(task=ARN, number=0))
    assert [type(r) for r in d.state.outbox] == [ReleaseReport, StateReport]


names = st.sampled_from(["main", "side"])
facts = st.one_of(
    st.just(Admitted(task=ARN)),
    st.just(Desired(task=ARN, cause="m-2", desired=STOP)),
    st.builds(lambda n: Created(task=ARN, container=n, docker_id=f"d-{n}"), names),
    st.builds(lambda n: Started(task=ARN, container=n, docker_id=f"d-{n}", at=1), names),
    st.builds(lambda n, c: Exited(task=ARN, container=n, exit_code=c, finished_at=2), names, st.integers(0, 137)),
    st.builds(lambda n: SignalSent(task=ARN, container=n, at=3), names),
    st.builds(lambda n: KillSent(task=ARN, container=n), names),
    st.builds(lambda n: Absent(task=ARN, container=n), names),
    st.builds(
        lambda n, c: RuntimeFault(task=ARN, container=n, call=c, error="DockerTimeoutError: x"),
        names,
        st.sampled_from(["create", "start", "signal", "kill"]),
    ),
    st.builds(lambda n, t: TimerFired(task=ARN, container=n, timer=t), names, st.sampled_from(["DEADLINE", "RETRY"])),
    st.builds(lambda n: ReportAccepted(task=ARN, number=n), st.integers(0, 5)),
)


@settings(max_examples=tries(400))
@given(st.lists(facts, max_size=40), st.sampled_from(list(Release)), st.sampled_from(list(GiveUp)))
def test_under_any_order_of_facts_the_story_of_a_task_stays_true(history, release, give_up):
    """Only up; room is released once, with its proof; STOPPED is told last; nothing is started after a stop."""
    d = Driver(
        ContainerSpec(name="main", image="i", essential=True),
        ContainerSpec(name="side", image="i", essential=False),
        release=release,
        give_up=give_up,
    )
    known, numbers, after_stop = Known.NONE, [], False
    for event in history:
        new = d.give(event)
        numbers += [r.number for r in d.state.outbox if r.number not in numbers]
        assert d.state.known >= known
        known = d.state.known
        if after_stop:
            assert not [i for i in new if isinstance(i, (CreateContainer, StartContainer, AskRoom))]
        after_stop = after_stop or d.state.desired is STOP
        if known is Known.STOPPED:
            assert all(c.known is Known.STOPPED for c in d.state.containers)
            assert d.state.room in (RoomState.NONE, RoomState.RELEASED)
            if d.state.outbox:
                assert d.state.outbox[-1].status == "STOPPED"
    released = [i for i in d.asked if isinstance(i, ReleaseHost)]
    assert len(released) == (1 if d.state.room is RoomState.RELEASED else 0)
    assert numbers == sorted(numbers)
    assert msgspec.json.decode(msgspec.json.encode(d.state), type=TaskState) == d.state
