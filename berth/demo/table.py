"""The runs side by side in one table, what was seen in a sentence or two, and what to try next.

It words the figures of `record` and computes none.
"""

from berth.cli.options import duration_text
from berth.demo.record import Price, RunRecord, TaskRecord
from berth.demo.scenario import NEW
from berth.demo.setup import TASKS

SAME_MOMENT_SECONDS = 1.0
"""Tasks that start within this time are told as one step."""
SECONDS_PER_HOUR = 3600
GAP = "   "
DEFAULT = "ecs-2026"
"""The policy that needs no mention."""


def table(runs: list[RunRecord]) -> list[tuple[str, list[str]]]:
    """Rows: a label, and a cell for each run."""
    return [
        ("release", [run.release for run in runs]),
        ("remedy", [run.remedy or "none" for run in runs]),
        *([("policy", [run.policy for run in runs])] if any(run.policy != DEFAULT for run in runs) else []),
        ("new tasks RUNNING", [_staircase(run) for run in runs]),
        ("last new task RUNNING", [_seconds(run.last_new_task_running_seconds) for run in runs]),
        ("PENDING, all new tasks", [_seconds(run.pending_task_seconds) for run in runs]),
        ("phantom, peak", [_peak(run) for run in runs]),
        ("phantom, over time", [_over_time(run) for run in runs]),
        ("new tasks ran on", [_places(run) for run in runs]),
        *(_prices(runs) if any(run.price for run in runs) else ()),
        ("old job", [_job(run) for run in runs]),
    ]


def _prices(runs: list[RunRecord]) -> list[tuple[str, list[str]]]:
    prices = [run.price for run in runs if run.price is not None]
    return [
        ("instances bought", [str(price.instances_bought) for price in prices]),
        ("instance-minutes", [f"{price.instance_minutes:.2f}" for price in prices]),
        ("blocked task-minutes", [f"{price.blocked_task_minutes:.2f}" for price in prices]),
        ("the scaler", [_scaler(price) for price in prices]),
    ]


def _scaler(price: Price) -> str:
    """`150 % at 4 s: scale-out to 3`, or what it said when it stood still."""
    acts = [look for look in price.looks if look.act != "none"]
    if acts:
        return ", ".join(f"{look.percent:.0f} % at {look.seconds:.0f} s: {look.act} to {look.desired}" for look in acts)
    percents = {round(look.percent) for look in price.looks}
    return f"never acted: {' and '.join(str(percent) for percent in sorted(percents))} % at {len(price.looks)} looks"


def table_lines(runs: list[RunRecord], width: int | None = None) -> list[str]:
    """The table as aligned text, a rule under its head; in several parts where it is wider than `width` cells."""
    rows = table(runs)
    names = max(len(label) for label, _ in rows)
    columns = [max(len(cells[column]) for _, cells in rows) for column in range(len(runs))]
    parts: list[list[int]] = []
    room = 0
    for column, cells in enumerate(columns):
        if not parts or (width is not None and cells + len(GAP) > room):
            parts.append([])
            room = (width or 0) - names
        parts[-1].append(column)
        room -= cells + len(GAP)
    lines: list[str] = []
    for part in parts:
        lines += ["", *_part(rows, part, [names, *(columns[column] for column in part)])]
    return lines[1:]


def _part(rows: list[tuple[str, list[str]]], part: list[int], widths: list[int]) -> list[str]:
    lines = [
        GAP.join(
            cell.ljust(width) for cell, width in zip([label, *(cells[nth] for nth in part)], widths, strict=True)
        ).rstrip()
        for label, cells in rows
    ]
    return [*lines[:2], "─" * max(len(line) for line in lines), *lines[2:]]


def verdict(runs: list[RunRecord]) -> list[str]:
    """What was seen, one sentence for each run."""
    return [_sentence(run) for run in runs]


def next_command(runs: list[RunRecord]) -> str:
    """The command to try next."""
    remedies = runs[0].remedy or ""
    if runs[0].price is not None:
        return "berth dev --hosts 0 --group web,max=5,provider=cp --time-scale 20"
    command = f"berth demo stop --long-job {duration_text(runs[0].job_seconds)}"
    releases = {run.release for run in runs}
    if not remedies and len(releases) == 1:
        return f"{command} --release {'on-exit' if 'eager' in releases else 'eager'}"
    if not remedies:
        return f"{command} --remedy maximum-percent=100"
    if "maximum-percent" in remedies:
        return f"{command} --remedy stop-timeout=10s"
    if "stop-timeout" in remedies:
        return f"{command} --remedy spread"
    return "berth dev      and your own tasks on it"


def _sentence(run: RunRecord) -> str:
    policy = f" and policy {run.policy}" if run.policy != DEFAULT else ""
    name = f"With {run.release} release{policy}" + (f" ({run.remedy})" if run.remedy else "")
    last = _last(run)
    if last is None:
        return f"{name} only {len(run.new_tasks_running_seconds)} of {TASKS} new tasks ever ran."
    return f"{name} {_what_the_last_met(run, last)}. The old job: {_job(run)}."


def _what_the_last_met(run: RunRecord, last: TaskRecord) -> str:
    ran = f"ran on {last.host} {last.running_seconds:.1f} s after the deploy"
    if run.why_the_last_waited and (last.pending_seconds or 0) > SAME_MOMENT_SECONDS:
        empty = [host for host in _hosts(run) if not any(task.host == host for task in run.tasks)]
        though = f", though {' and '.join(empty)} stood empty" if empty else ""
        return (
            f"the last new task stayed PENDING for {last.pending_seconds:.1f} s on {last.host}, whose room the "
            f"placement ledger had given away while the old job held it{though}"
        )
    if run.old_job.exited_seconds is not None and (last.placed_seconds or 0) > run.old_job.exited_seconds:
        return f"the last new task was not even placed until the old job had ended; it {ran}"
    if run.phantom_memory_mib_peak:
        return f"there was phantom capacity, but it cost the last new task little: it {ran}"
    joined = _hosts(run)[run.hosts_at_deploy :]
    there = [task for task in run.tasks if task.revision == NEW and task.host in joined and task.running_seconds]
    found = f"{_count(there)} of the new tasks found room on {' and '.join(joined)}, and " if there else ""
    return f"there was no phantom capacity: {found}the last new task {ran}"


def _count(tasks: list[TaskRecord]) -> str:
    return ("none", "one", "two", "three", "four")[min(len(tasks), TASKS)]


def _staircase(run: RunRecord) -> str:
    """`3 at 2.4 s, 4 at 40.6 s`: how many ran from when on."""
    steps: list[tuple[int, float]] = []
    for count, at in enumerate(run.new_tasks_running_seconds, start=1):
        if steps and at - steps[-1][1] < SAME_MOMENT_SECONDS:
            steps[-1] = (count, at)
        else:
            steps.append((count, at))
    return ", ".join(f"{count} at {at:.1f} s" for count, at in steps) or "none"


def _last(run: RunRecord) -> TaskRecord | None:
    """The new task that made the number whole; None where it never was."""
    ran = [task for task in run.tasks if task.revision == NEW and task.running_seconds is not None]
    return sorted(ran, key=lambda task: task.running_seconds or 0)[TASKS - 1] if len(ran) >= TASKS else None


def _hosts(run: RunRecord) -> list[str]:
    return [f"host-{number + 1}" for number in range(run.instances_peak)]


def _places(run: RunRecord) -> str:
    ran = [task.host for task in run.tasks if task.revision == NEW and task.running_seconds is not None]
    return ", ".join(f"{host}: {ran.count(host)}" for host in _hosts(run))


def _peak(run: RunRecord) -> str:
    if not run.phantom_memory_mib_peak:
        return "none"
    return f"{run.phantom_cpu_peak} CPU, {run.phantom_memory_mib_peak} MiB"


def _over_time(run: RunRecord) -> str:
    if not run.phantom_memory_mib_seconds:
        return "none"
    return (
        f"{run.phantom_cpu_seconds / SECONDS_PER_HOUR:.1f} CPU unit-hours, "
        f"{run.phantom_memory_mib_seconds / SECONDS_PER_HOUR:.1f} MiB-hours"
    )


def _job(run: RunRecord) -> str:
    job = run.old_job
    if job.worked_seconds is None:
        return job.outcome
    code = ", exit 0" if job.exit_code == 0 else ""
    return f"{job.outcome}{code} after {job.worked_seconds:.1f} s"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"
