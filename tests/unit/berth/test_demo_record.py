"""The figures of a run, the table and the sentences made of them."""

import msgspec
import pytest
from run_maker import DEPLOY_AT, played
from story_maker import MEMORY_MIB, StoryMaker, task_arn

from berth.demo.evidence import Event
from berth.demo.record import Record, record_of
from berth.demo.scenario import note
from berth.demo.setup import Remedies
from berth.demo.table import next_command, table, table_lines, verdict
from wire.story import StoryLine


def test_eager_shows_what_4106_shows() -> None:
    record = record_of(played("eager"))
    assert record.new_tasks_running_seconds == pytest.approx([2.2, 2.2, 2.2, 40.2])
    assert record.last_new_task_running_seconds == pytest.approx(40.2)
    assert record.pending_task_seconds == pytest.approx(3 * 2.2 + 40.2)
    assert (record.phantom_cpu_peak, record.phantom_memory_mib_peak) == (4096, 29488)
    assert record.phantom_memory_mib_seconds == pytest.approx(MEMORY_MIB * 46)
    steps = [(step.seconds, step.cpu, step.memory_mib) for step in record.phantom_steps]
    assert steps == [(0, 4096, 29488), (2, 1024, 7372), (40, 0, 0)]
    assert (record.instances_peak, record.hosts_at_deploy, record.host_joined_seconds) == (3, 2, 4)
    assert record.why_the_last_waited is not None
    assert "still holds 1024 CPU and 7372 MiB" in record.why_the_last_waited
    assert {task.host for task in record.tasks} == {"host-1", "host-2"}


def test_on_exit_shows_no_phantom_and_the_third_host() -> None:
    record = record_of(played("on-exit"))
    assert record.new_tasks_running_seconds == pytest.approx([2.2, 2.2, 2.2, 4.2])
    assert (record.phantom_cpu_peak, record.phantom_memory_mib_peak, record.phantom_memory_mib_seconds) == (0, 0, 0)
    assert record.why_the_last_waited is None
    assert record.phantom_steps == []
    last = max(record.tasks, key=lambda task: task.placed_seconds or 0)
    assert (last.host, last.pending_seconds) == ("host-3", pytest.approx(0.1))


def test_starts_signals_and_exits_are_docker_s_own() -> None:
    """Whatever the agent says about them: only what Docker told counts."""
    run = played("eager")
    run.evidence.events = [
        msgspec.structs.replace(event, at=event.at + 0.5) if event.task == task_arn("a4") else event
        for event in run.evidence.events
    ]
    job = record_of(run).old_job
    assert (job.signalled_seconds, job.exited_seconds, job.worked_seconds) == (0.5, 40.5, 40)


def test_a_job_that_was_killed_is_lost() -> None:
    run = played("eager", job_seconds=40, remedies=Remedies(stop_timeout_seconds=10, text="stop-timeout=10s"))
    a4 = task_arn("a4")
    run.evidence.events = [e for e in run.evidence.events if not (e.task == a4 and e.action == "die")]
    run.evidence.events += [
        Event(at=DEPLOY_AT + 10, action="kill", container="a4", task=a4, revision=1, signal=9),
        Event(at=DEPLOY_AT + 10.1, action="die", container="a4", task=a4, revision=1, exit_code=137),
    ]
    record = record_of(run)
    assert (record.old_job.outcome, record.old_job.exit_code) == ("killed 137, work lost", 137)
    assert record.old_job.worked_seconds == pytest.approx(10.1)
    assert next(task for task in record.tasks if task.has_job).killed_seconds == 10


def test_the_arrival_of_the_job_is_no_stop_signal() -> None:
    run = played("eager")
    a4 = task_arn("a4")
    run.evidence.events.insert(
        0, Event(at=DEPLOY_AT - 1, action="kill", container="a4", task=a4, revision=1, signal=10)
    )
    assert record_of(run).old_job.signalled_seconds == 0


def test_a_new_task_that_never_ran_has_no_last_time() -> None:
    run = played("eager")
    run.evidence.events = [e for e in run.evidence.events if not (e.task == task_arn("b4") and e.action == "start")]
    record = record_of(run)
    assert len(record.new_tasks_running_seconds) == 3
    assert record.last_new_task_running_seconds is None
    assert "only 3 of 4 new tasks ever ran" in verdict([record])[0]
    never = next(task for task in record.tasks if task.running_seconds is None)
    assert never.pending_seconds == pytest.approx(43), "it has waited to the end of the run"


def test_the_table_has_a_column_for_each_run() -> None:
    records = [record_of(played("eager")), record_of(played("on-exit"))]
    rows = dict(table(records))
    assert rows["release"] == ["eager", "on-exit"]
    assert rows["new tasks RUNNING"] == ["3 at 2.2 s, 4 at 40.2 s", "3 at 2.2 s, 4 at 4.2 s"]
    assert rows["phantom, peak"] == ["4096 CPU, 29488 MiB", "none"]
    assert rows["phantom, over time"] == ["13.1 CPU unit-hours, 94.2 MiB-hours", "none"]
    assert rows["new tasks ran on"] == ["host-1: 2, host-2: 2, host-3: 0", "host-1: 2, host-2: 1, host-3: 1"]
    assert rows["old job"] == ["done, exit 0 after 40.0 s"] * 2
    assert max(len(line) for line in table_lines(records)) <= 100


def test_a_table_that_is_too_wide_comes_in_parts() -> None:
    records = [record_of(played(release)) for release in ("eager", "on-exit", "eager", "on-exit")]
    for width, parts in ((80, 4), (120, 2)):
        lines = table_lines(records, width)
        assert max(len(line) for line in lines) <= width
        assert sum(line.startswith("release") for line in lines) == parts
    assert sum(line.startswith("release") for line in table_lines(records)) == 1


def test_the_verdict_names_the_empty_host() -> None:
    eager, on_exit = verdict([record_of(played("eager")), record_of(played("on-exit"))])
    assert "stayed PENDING for 40.2 s on host-2" in eager
    assert "though host-3 stood empty" in eager
    assert "no phantom capacity: one of the new tasks found room on host-3, and" in on_exit
    assert "the last new task ran on host-3 4.2 s after the deploy" in on_exit


def test_a_task_that_is_not_placed_before_the_job_ends_is_told_so() -> None:
    """maximumPercent 100: the PENDING task disappears, the wait does not."""
    run = played("eager")
    life = run.ledgers.lifelines[task_arn("b4")]
    life.placements[0].since = DEPLOY_AT + 40.1
    record = record_of(run)
    assert record.pending_task_seconds == pytest.approx(3 * 2.2 + 0.1)
    assert "was not even placed until the old job had ended; it ran on host-2 40.2 s" in verdict([record])[0]


def test_a_task_that_was_given_up_and_replaced_counts_as_pending_but_not_as_run() -> None:
    """A lease expires: five new tasks, of which four run."""
    run = played("eager")
    given_up = StoryMaker()
    given_up.placed(DEPLOY_AT, "b5", 2, 2)
    given_up.unplaced(DEPLOY_AT + 15, "b5", 2, "LEASE_EXPIRED")
    for line in given_up.lines:
        run.ledgers.fold(line)
    record = record_of(run)
    assert record.last_new_task_running_seconds == pytest.approx(40.2)
    assert record.pending_task_seconds == pytest.approx(3 * 2.2 + 40.2 + 15)
    assert dict(table([record]))["new tasks ran on"] == ["host-1: 2, host-2: 2, host-3: 0"]
    assert "stayed PENDING for 40.2 s" in verdict([record])[0]


def test_another_policy_is_named() -> None:
    run = played("eager")
    run.setup = msgspec.structs.replace(run.setup, preset="lease")
    assert dict(table([record_of(run)]))["policy"] == ["lease"]


def test_the_next_command_leads_through_releases_and_remedies() -> None:
    eager, on_exit = record_of(played("eager")), record_of(played("on-exit"))
    assert next_command([eager]) == "berth demo stop --long-job 40s --release on-exit"
    assert next_command([eager, on_exit]) == "berth demo stop --long-job 40s --remedy maximum-percent=100"
    once = record_of(played("eager", remedies=Remedies(maximum_percent=100, text="maximum-percent=100")))
    assert next_command([once]) == "berth demo stop --long-job 40s --remedy stop-timeout=10s"


def test_the_record_has_the_members_that_others_read() -> None:
    written = msgspec.json.decode(msgspec.json.encode(Record([record_of(played("eager"))])))
    (run,) = written["runs"]
    assert set(run) >= {
        "release",
        "remedy",
        "new_tasks_running_seconds",
        "last_new_task_running_seconds",
        "pending_task_seconds",
        "phantom_memory_mib_peak",
        "phantom_cpu_peak",
        "phantom_memory_mib_seconds",
        "instances_peak",
        "old_job",
        "tasks",
    }
    assert run["remedy"] is None
    assert set(run["old_job"]) >= {"exit_code", "outcome", "worked_seconds"}


def test_the_price_is_both_mistakes_on_one_axis() -> None:
    """Two hosts from before the deploy, one bought at 20 s; the blocked tasks are those that wait to start."""
    run = played("eager")
    run.setup = msgspec.structs.replace(run.setup, time_scale=20)
    assert run.ended_at is not None
    seconds = run.ended_at - DEPLOY_AT
    look = {"needed": 3, "running": 2, "percent": 150.0, "desired": 3, "act": "scale-out", "why": "3 needed, 2 running"}
    for at, kind, subject, data in (
        (DEPLOY_AT - 9, "machine.state", "i-1", {"state": "Pending"}),
        (DEPLOY_AT - 9, "machine.state", "i-2", {"state": "Pending"}),
        (DEPLOY_AT + 20, "scaler.look", "asg", {**look, "ignored": [{"task": "x", "why": "has its place"}]}),
        (DEPLOY_AT + 20, "machine.state", "i-3", {"state": "Pending"}),
        (DEPLOY_AT + 30, "machine.state", "i-3", {"state": "Terminated"}),
    ):
        note(run, StoryLine(at, "controlplane", subject, kind, data=data))
    record = record_of(run)
    assert record.price is not None
    assert record.price.instances_bought == 1
    assert record.price.instance_minutes == pytest.approx((2 * seconds + 10) / 60, abs=0.001)
    assert record.price.blocked_task_minutes == pytest.approx((3 * 2.2 + 40.2) / 60, abs=0.001)
    (told,) = record.price.looks
    assert (told.seconds, told.act, told.ignored) == (20, "scale-out", ["has its place"])
    cells = dict(table([record]))
    assert cells["the scaler"] == ["150 % at 20 s: scale-out to 3"]
    assert record_of(played("eager")).price is None
