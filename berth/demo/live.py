"""The run, drawn live in the terminal: lifelines by host, both ledgers of each host, who blocks whom, the scaler.

It draws the fold of the story at one moment; every number comes from there.
"""

import time
from collections.abc import Callable, Iterator

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.text import Text

from berth.demo.scenario import Run, revision_of
from berth.demo.setup import SERVICE
from controlplane.core.blame import blame
from controlplane.core.lifeline import FOREVER, Lifeline
from controlplane.core.twoledgers import Balance, Instance
from wire.arn import short_id
from wire.status import TaskStatus
from wire.story import StoryLine

FRAMES_PER_SECOND = 5
LABEL = 19
NOTE = 28
"""Cells for a lifeline's name and for the words behind it."""
BEFORE_SECONDS = 3
"""Shown before the deploy."""
AFTER_SECONDS = 8
"""Shown after the end of the job."""
WIDE = 100
"""Cells from which on a terminal has room for long words."""
BESIDE_BAR = 62
"""Cells of a ledger's line that neither its name nor its bar takes."""
BLAME_LINES_MAX = 3
RUNNING, STOPPING, WAITING, TERM = "━", "▒", "·", "┣"
KILLED = "\N{BOX DRAWINGS LIGHT DIAGONAL CROSS}"
STYLES = {RUNNING: "green", STOPPING: "yellow", KILLED: "bold red", WAITING: "cyan", TERM: "bold yellow", " ": ""}
SIDE_STYLES = {"queued": "cyan", "phantom": "bold red"}
LEGEND = Text.assemble(
    ("━", "green"), " running ", ("┣", "bold yellow"), " TERM ", ("▒", "yellow"), " stopping, holds ",
    (KILLED, "bold red"), " KILL ", ("·", "cyan"), " waits   ", ("█", "green"), " held ",
    ("▓", "bold red"), " phantom ", ("░", "cyan"), " queued",
)  # fmt: skip


class LiveWatcher:
    """Draws the newest state a few times a second. Use it as a context, one for each run."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._picture = Picture(time.time)
        self._live = Live(
            self._picture, console=console, refresh_per_second=FRAMES_PER_SECOND, vertical_overflow="crop"
        )

    def start(self) -> None:
        """Begin to draw."""
        self._live.start()

    def stop(self) -> None:
        """Draw the end, and leave it on the screen."""
        self._live.stop()

    def on_phase(self, run: Run, phase: str) -> None:
        """Keep the run at hand."""
        del phase
        self._picture.run = run

    def on_line(self, run: Run, line: StoryLine) -> None:
        """Nothing to do: the next frame shows it."""
        del line
        self._picture.run = run


class Picture:
    """One frame of a run, at the size of the terminal."""

    def __init__(self, clock: Callable[[], float], run: Run | None = None) -> None:
        self.run = run
        self._clock = clock

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.run is not None:
            now = self.run.ended_at or self._clock()
            yield Group(*frame(self.run, now, options.max_width))


def frame(run: Run, now: float, width: int) -> Iterator[RenderableType]:
    """The lines of one frame, each at most `width` cells wide."""
    clock = "" if run.deploy_at is None else f"   t = {now - run.deploy_at:+.0f} s"
    yield _line(Text.assemble((run.setup.title, "bold"), clock, "   ", (run.phase, "dim")), width)
    yield _line(Text(run.setup.shape, style="dim"), width)
    for instance in sorted(run.ledgers.instances.values(), key=lambda record: run.host(record.arn)):
        yield from _ledgers(run, instance, now, width)
        for life in run.ledgers.tasks_on(instance.arn):
            yield _lifeline(run, life, now, width)
    yield from _scaler(run, now, width)
    yield from _blames(run, now, width)
    yield _line(LEGEND, width)


def _ledgers(run: Run, instance: Instance, now: float, width: int) -> Iterator[Text]:
    balance = run.ledgers.balance(instance.arn, now)
    word = " ledger" if width >= WIDE else ""
    cells = len("placement ") + len(word)
    bar_cells = min(max(width - cells - BESIDE_BAR, 6), 24)
    for name, host, free, side, kind in (
        ("placement", run.host(instance.arn), balance.placement_free, balance.queued, "queued"),
        ("host", "", balance.host_free, balance.phantom, "phantom"),
    ):
        said = f" {kind} {side.memory_mib} MiB, {side.cpu} CPU" if side.memory_mib or side.cpu else ""
        yield _line(
            Text.assemble(
                (f"{host:8}", "bold"),
                f"{name + word:{cells}}{free.memory_mib:>5} MiB {free.cpu:>4} CPU free ",
                _bar(balance, bar_cells, is_host=name == "host"),
                (said, SIDE_STYLES[kind]),
            ),
            width,
        )


def _bar(balance: Balance, cells: int, *, is_host: bool) -> Text:
    """Memory that is held, as a bar; the rest is free."""
    registered = balance.registered.memory_mib or 1
    agreed = round(cells * (balance.agreed.memory_mib + balance.unplaced.memory_mib) / registered)
    other = round(cells * (balance.phantom if is_host else balance.queued + balance.unreported).memory_mib / registered)
    mark, style = ("▓", SIDE_STYLES["phantom"]) if is_host else ("░", SIDE_STYLES["queued"])
    free = max(cells - agreed - other, 0)
    return Text.assemble("[", ("█" * agreed, "green"), (mark * other, style), " " * free, "]")


def _lifeline(run: Run, life: Lifeline, now: float, width: int) -> Text:
    job = " job" if life.task == run.job_task else ""
    label = f"  {SERVICE}:{revision_of(life)} {short_id(life.task)[:6]}{job}"
    note = _note(run, life, now)
    begin = (run.deploy_at or now) - BEFORE_SECONDS
    span = max(BEFORE_SECONDS + run.setup.job_ends_seconds + AFTER_SECONDS, now - begin)
    cells = max(width - LABEL - NOTE - 1, 10)
    wanted_at = run.asked_at.get(life.task, life.placed_at)
    text = Text(f"{label:{LABEL}}")
    for cell in range(cells):
        left, right = begin + span * cell / cells, begin + span * (cell + 1) / cells
        mark = _mark(life, wanted_at, left, right) if left <= now else " "
        text.append(mark, STYLES[mark])
    text.append(f" {note}", "dim" if life.ended_at() < FOREVER else "")
    return _line(text, width)


def _mark(life: Lifeline, wanted_at: float | None, left: float, right: float) -> str:
    """What a task did in one cell's time; the rarest thing wins."""

    def within(at: float | None) -> bool:
        return at is not None and left <= at < right

    def before(at: float | None) -> bool:
        return at is not None and at < right

    if within(life.killed_at):
        return KILLED
    if within(life.signalled_at):
        return TERM
    if life.exited_at is not None and life.exited_at <= left:
        return " "
    if before(life.signalled_at):
        return STOPPING
    if before(life.started_at):
        return RUNNING
    return WAITING if before(wanted_at) and life.ended_at() > left else " "


def _note(run: Run, life: Lifeline, now: float) -> str:
    if life.exited_at is not None and life.exited_at <= now:
        codes = ",".join(map(str, life.exit_codes))
        return f"exit {codes} after {life.exited_at - (life.signalled_at or life.exited_at):.1f} s"
    if life.signalled_at is not None:
        ends = life.ends_latest(now)
        left = f", KILL in {max(ends - now, 0):.0f} s" if ends is not None else ""
        return f"TERM {now - life.signalled_at:.0f} s ago{left}"
    if life.started_at is not None:
        after = (
            "" if run.deploy_at is None or revision_of(life) == 1 else f" at {life.started_at - run.deploy_at:.1f} s"
        )
        return f"running{after}"
    placed = life.placed_at or now
    if life.told_to_stop_at is not None and life.told_to_stop_at <= now:
        return f"never ran, moved at {life.told_to_stop_at - placed:.0f} s"
    return f"PENDING {now - placed:.0f} s" + (", no room" if life.queued_at and not life.admitted_at else "")


def _blames(run: Run, now: float, width: int) -> Iterator[Text]:
    """Why tasks wait, as far as there is room."""
    waiting = [
        reason
        for instance in run.ledgers.instances
        for life in run.ledgers.queue(instance, now)
        if (reason := blame(run.ledgers, life.task, now=now, host=run.host(life.instance)))
    ]
    text = Text("\n".join(reason.sentence for reason in waiting), style="cyan")
    yield from text.wrap(Console(width=width, color_system=None), width)[: BLAME_LINES_MAX if waiting else 0]


def _scaler(run: Run, now: float, width: int) -> Iterator[Text]:
    """What the capacity provider saw last and did about it, which hosts boot, and who has none yet."""
    if run.looks:
        seen = run.looks[-1].data
        acted = next((look for look in reversed(run.looks) if look.data["act"] != "none"), None)
        act = "" if acted is None else f"{acted.data['act']} to {acted.data['desired']} at {_after(run, acted.at)}; "
        said = f"{seen['percent']:.0f} %, {seen['needed']} needed, {seen['running']} in service: "
        yield _line(Text.assemble(("scaler  ", "bold"), said, (act, "bold"), seen["why"]), width)
        for why in sorted({each["why"] for each in seen["ignored"]}):
            yield _line(Text(f"        not counted: {why}", style="dim"), width)
    booting = len([times for times in run.machines.values() if len(times) == 1]) - len(run.ledgers.instances)
    if run.setup.has_provider and booting > 0:
        yield _line(Text(f"        {booting} host{'s' * (booting > 1)} more: bought, on the way", style="cyan"), width)
    for life in run.ledgers.lifelines.values():
        if life.last == TaskStatus.PROVISIONING and not life.instance:
            name = f"        {SERVICE}:{revision_of(life)} {short_id(life.task)[:6]}"
            waited = now - run.asked_at.get(life.task, now)
            yield _line(Text(f"{name} PROVISIONING {waited:.0f} s, no host has room", style="cyan"), width)


def _after(run: Run, at: float) -> str:
    """A moment in seconds after the deploy."""
    return f"{at - (run.deploy_at or at):+.0f} s"


def _line(text: Text, width: int) -> Text:
    text = text.copy()
    text.truncate(width, overflow="ellipsis")
    text.no_wrap = True
    return text
