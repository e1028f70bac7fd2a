"""The figures of one run. Starts, signals and exits are Docker's; the ledgers are the story's fold.

Every time here is in seconds after the deploy. This is what `--json` writes.
"""

import msgspec

from berth.demo.evidence import Event
from berth.demo.scenario import NEW, OLD, Run, revision_of
from berth.demo.setup import TASKS
from controlplane.core.blame import blame
from controlplane.core.lifeline import Lifeline, Span
from controlplane.core.twoledgers import measure
from wire.arn import short_id

SIGKILL = 9
KILLED = 137
"""128 + SIGKILL."""
DIGITS = 3
JOB_SIGNAL = 10
"""SIGUSR1: how the job arrives, and no stop."""


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One task. Seconds after the deploy; None where it did not happen."""

    task: str
    revision: int
    host: str
    has_job: bool
    placed_seconds: float | None
    admitted_seconds: float | None
    running_seconds: float | None
    """Start of its container, by Docker."""
    pending_seconds: float | None
    """From its placement to its start, or to the end of that placement where it never started."""
    signalled_seconds: float | None
    killed_seconds: float | None
    exited_seconds: float | None
    exit_code: int | None
    placement_released_seconds: float | None
    """End of its hold on the placement ledger."""
    host_released_seconds: float | None
    """End of its hold on the host ledger."""


class OldJob(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the job."""

    task: str
    host: str
    signalled_seconds: float | None
    exited_seconds: float | None
    worked_seconds: float | None
    """From the stop signal to the exit."""
    exit_code: int | None
    outcome: str
    """`done`, or `killed 137, work lost`."""


class Step(msgspec.Struct, frozen=True):
    """From `seconds` on (until the next step) so much was phantom."""

    seconds: float
    cpu: int
    memory_mib: int


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The scaler looked, and acted or did not."""

    seconds: float
    needed: int
    running: int
    percent: float
    desired: int
    act: str
    why: str
    ignored: list[str]
    """Why tasks were not counted, one sentence each."""


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """Both mistakes on one axis, from the deploy to the end of the run, in minutes on the wall clock."""

    instances_bought: int
    instance_minutes: float
    """Of all machines, from launch to end; what the two first ones cost is in it."""
    blocked_task_minutes: float
    """Sum over the new tasks: wanted, but not started."""
    looks: list[Look]


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    release: str
    remedy: str | None
    policy: str
    job_seconds: int
    stop_timeout_seconds: int
    maximum_percent: int
    hosts_at_deploy: int
    host_joined_seconds: float | None
    instances_peak: int
    new_tasks_running_seconds: list[float]
    last_new_task_running_seconds: float | None
    """When all of them ran; None where one never did."""
    pending_task_seconds: float
    phantom_cpu_peak: int
    phantom_memory_mib_peak: int
    phantom_cpu_seconds: float
    phantom_memory_mib_seconds: float
    phantom_steps: list[Step]
    """Phantom over time, in the whole cluster."""
    why_the_last_waited: str | None
    """In a sentence, halfway through its wait; None where nothing was in its way."""
    price: Price | None
    """With a capacity provider."""
    old_job: OldJob
    tasks: list[TaskRecord]


class Record(msgspec.Struct, frozen=True):
    """What `--json` writes."""

    runs: list[RunRecord]


def record_of(run: Run) -> RunRecord:
    """The figures of a run that has been played to its end."""
    assert run.deploy_at is not None
    assert run.ended_at is not None
    tasks = [_task(run, life) for revision in (OLD, NEW) for life in run.tasks(revision)]
    new = [task for task in tasks if task.revision == NEW]
    running = sorted(task.running_seconds for task in new if task.running_seconds is not None)
    figures = measure(run.ledgers.series(), since=run.deploy_at, until=run.ended_at)
    joined = [i.registered_at for i in run.ledgers.instances.values() if i.registered_at > run.deploy_at]
    return RunRecord(
        release=run.setup.release,
        remedy=run.setup.remedies.text,
        policy=run.setup.preset,
        job_seconds=run.setup.job_seconds,
        stop_timeout_seconds=run.setup.stop_timeout_seconds,
        maximum_percent=run.setup.remedies.maximum_percent,
        hosts_at_deploy=len(run.ledgers.instances) - len(joined),
        host_joined_seconds=_after(run, min(joined, default=None)),
        instances_peak=len(run.ledgers.instances),
        new_tasks_running_seconds=running,
        last_new_task_running_seconds=running[TASKS - 1] if len(running) >= TASKS else None,
        pending_task_seconds=round(sum(task.pending_seconds or 0 for task in new), DIGITS),
        phantom_cpu_peak=figures.phantom_cpu_peak,
        phantom_memory_mib_peak=figures.phantom_memory_mib_peak,
        phantom_cpu_seconds=round(figures.phantom_cpu_seconds, DIGITS),
        phantom_memory_mib_seconds=round(figures.phantom_memory_mib_seconds, DIGITS),
        phantom_steps=_phantom_steps(run),
        why_the_last_waited=_why_the_last_waited(run),
        price=_price(run) if run.setup.has_provider else None,
        old_job=_old_job(next(task for task in tasks if task.has_job)),
        tasks=tasks,
    )


def _task(run: Run, life: Lifeline) -> TaskRecord:
    start = next(run.evidence.of(life.task, "start"), None)
    kills = list(run.evidence.of(life.task, "kill"))
    stop = next((event for event in kills if event.signal not in (SIGKILL, JOB_SIGNAL)), None)
    kill = next((event for event in kills if event.signal == SIGKILL), None)
    die = next(run.evidence.of(life.task, "die"), None)
    placed = life.placements[-1] if life.placements else None
    held = life.admissions[-1] if life.admissions else None
    return TaskRecord(
        task=short_id(life.task),
        revision=revision_of(life),
        host=run.host(life.instance),
        has_job=life.task == run.job_task,
        placed_seconds=_after(run, placed.since if placed else None),
        admitted_seconds=_after(run, held.since if held else None),
        running_seconds=_when(run, start),
        pending_seconds=_pending_seconds(run, placed, start),
        signalled_seconds=_when(run, stop),
        killed_seconds=_when(run, kill),
        exited_seconds=_when(run, die),
        exit_code=die.exit_code if die else None,
        placement_released_seconds=_after(run, placed.until if placed else None),
        host_released_seconds=_after(run, held.until if held else None),
    )


def _pending_seconds(run: Run, placed: Span | None, start: Event | None) -> float | None:
    assert run.ended_at is not None
    if placed is None:
        return None
    return round((start.at if start else min(placed.until, run.ended_at)) - placed.since, DIGITS)


def _price(run: Run) -> Price:
    assert run.deploy_at is not None
    assert run.ended_at is not None
    lives = [(span[0], span[1] if len(span) > 1 else run.ended_at) for span in run.machines.values()]
    held = sum(max(0.0, until - max(since, run.deploy_at)) for since, until in lives)
    blocked = 0.0
    for life in run.tasks(NEW):
        start = next(run.evidence.of(life.task, "start"), None)
        gave_up = next((p.until for p in reversed(life.placements) if p.until <= run.ended_at), run.ended_at)
        asked = run.asked_at.get(life.task, run.deploy_at)
        blocked += max(0.0, (start.at if start else gave_up) - asked)
    return Price(
        instances_bought=sum(since > run.deploy_at for since, _ in lives),
        instance_minutes=round(held / 60, DIGITS),
        blocked_task_minutes=round(blocked / 60, DIGITS),
        looks=[
            Look(
                seconds=_after(run, line.at) or 0.0,
                needed=line.data["needed"],
                running=line.data["running"],
                percent=line.data["percent"],
                desired=line.data["desired"],
                act=line.data["act"],
                why=line.data["why"],
                ignored=sorted({each["why"] for each in line.data["ignored"]}),
            )
            for line in run.looks
            if line.at >= run.deploy_at
        ],
    )


def _old_job(task: TaskRecord) -> OldJob:
    worked = None
    if task.exited_seconds is not None and task.signalled_seconds is not None:
        worked = round(task.exited_seconds - task.signalled_seconds, DIGITS)
    outcome = "done" if task.exit_code == 0 else f"ended with {task.exit_code}, work lost"
    if task.exit_code == KILLED:
        outcome = f"killed {KILLED}, work lost"
    elif task.exit_code is None:
        outcome = "still at work"
    return OldJob(
        task=task.task,
        host=task.host,
        signalled_seconds=task.signalled_seconds,
        exited_seconds=task.exited_seconds,
        worked_seconds=worked,
        exit_code=task.exit_code,
        outcome=outcome,
    )


def _phantom_steps(run: Run) -> list[Step]:
    steps: list[Step] = []
    for at, balance in run.ledgers.series():
        phantom = balance.phantom
        before = steps[-1] if steps else Step(0, 0, 0)
        if (phantom.cpu, phantom.memory_mib) != (before.cpu, before.memory_mib):
            steps.append(Step(_after(run, at) or 0.0, phantom.cpu, phantom.memory_mib))
    return steps


def _why_the_last_waited(run: Run) -> str | None:
    """Asked of the fold for the moment halfway between the placement and the admission of the last new task."""
    admitted = [life for life in run.tasks(NEW) if life.placements and life.admissions]
    if not admitted:
        return None
    last = max(admitted, key=lambda life: life.admissions[-1].since)
    moment = (last.placements[-1].since + last.admissions[-1].since) / 2
    reason = blame(run.ledgers, last.task, now=moment, host=run.host(last.instance))
    return reason.sentence if reason and reason.holders else None


def _when(run: Run, event: Event | None) -> float | None:
    return _after(run, event.at if event else None)


def _after(run: Run, at: float | None) -> float | None:
    assert run.deploy_at is not None
    return None if at is None or at == float("inf") else round(at - run.deploy_at, DIGITS)
