"""A small renderer: the two ledgers of each host as bands over time, and the lifelines beneath, as one SVG.

It draws the fold of the story and computes no amounts. Colours are classes; the page that holds it says what they are.
"""

from collections.abc import Callable, Iterator
from html import escape
from typing import NamedTuple

from berth.demo.scenario import Run, revision_of
from berth.demo.setup import SERVICE
from controlplane.core.lifeline import Lifeline
from controlplane.core.twoledgers import Balance, Point
from wire.arn import short_id

WIDTH = 960
LEFT, RIGHT = 150, 170
BAND, BAND_GAP = 64, 26
LANE = 22
HEAD = 34
FOOT = 36
BEFORE_SECONDS = 4
TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
TICKS_MOST = 12
SHORT = 8
STRIP = 40
PERCENT_MAX = 200
LABELLED = 110
"""Width from which on a stretch is labelled."""


class Axis(NamedTuple):
    """Time on the x axis; epoch seconds."""

    zero: float
    begin: float
    end: float

    def x(self, at: float) -> float:
        """Where a moment is, within the drawing."""
        at = min(max(at, self.begin), self.end)
        return LEFT + (WIDTH - LEFT - RIGHT) * (at - self.begin) / (self.end - self.begin)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Moments to mark, and their names in seconds after the deploy."""
        span = self.end - self.begin
        step = next((tick for tick in TICKS if span / tick <= TICKS_MOST), TICKS[-1])
        seconds = 0
        while self.zero + seconds <= self.end:
            yield self.zero + seconds, f"{seconds} s"
            seconds += step


class Layer(NamedTuple):
    """One kind of room in a band, stacked upon those before it."""

    name: str
    amount_mib: Callable[[Balance], int]


PLACEMENT_LAYERS = (
    Layer("agreed", lambda b: b.agreed.memory_mib + b.unreported.memory_mib),
    Layer("queued", lambda b: b.queued.memory_mib),
)
HOST_LAYERS = (
    Layer("agreed", lambda b: b.agreed.memory_mib + b.unplaced.memory_mib),
    Layer("phantom", lambda b: b.phantom.memory_mib),
)


def drawing(run: Run) -> str:
    """One run as an SVG element."""
    assert run.deploy_at is not None
    assert run.ended_at is not None
    axis = Axis(run.deploy_at, run.deploy_at - BEFORE_SECONDS, run.ended_at)
    parts: list[str] = []
    y = 8.0
    for arn in sorted(run.ledgers.instances, key=run.host):
        y = _host(parts, run, arn, axis, y)
    if run.looks:
        y = _scaler(parts, run, axis, y)
    height = y + FOOT
    ticks = "".join(
        f'<line class="tick" x1="{axis.x(at):.1f}" x2="{axis.x(at):.1f}" y1="8" y2="{y:.0f}"/>'
        f'<text class="small mid" x="{axis.x(at):.1f}" y="{y + 16:.0f}">{name}</text>'
        for at, name in axis.ticks()
    )
    deploy = axis.x(run.deploy_at)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(run.setup.title)}">{ticks}'
        f'<line class="deploy" x1="{deploy:.1f}" x2="{deploy:.1f}" y1="8" y2="{y:.0f}"/>'
        f'<text class="small mid" x="{deploy:.1f}" y="{y + 30:.0f}">deploy</text>{"".join(parts)}</svg>'
    )


def _host(parts: list[str], run: Run, arn: str, axis: Axis, y: float) -> float:
    """One host: its name, two bands, and a lane for each task. Returns where the next one begins."""
    instance = run.ledgers.instances[arn]
    series = run.ledgers.series([arn])
    size = f"{instance.instance_type}, {instance.registered.cpu} CPU, {instance.registered.memory_mib} MiB"
    parts.append(f'<text class="host" x="0" y="{y + 18:.0f}">{escape(run.host(arn))}</text>')
    parts.append(f'<text class="small" x="56" y="{y + 18:.0f}">{escape(size)}</text>')
    y += HEAD
    for name, layers in (("placement ledger", PLACEMENT_LAYERS), ("host ledger", HOST_LAYERS)):
        parts.append(f'<text class="small" x="0" y="{y + BAND / 2:.0f}">{name}</text>')
        _band(parts, series, layers, axis, y)
        y += BAND + 6
    y += BAND_GAP - 18
    for life in run.ledgers.tasks_on(arn):
        _lane(parts, run, life, axis, y)
        y += LANE
    return y + BAND_GAP


def _band(parts: list[str], series: list[Point], layers: tuple[Layer, ...], axis: Axis, y: float) -> None:
    registered = max((point.balance.registered.memory_mib for point in series), default=1)
    begin = axis.x(series[0].at if series else axis.end)
    parts.append(
        f'<rect class="free" x="{begin:.1f}" y="{y:.0f}" width="{axis.x(axis.end) - begin:.1f}" height="{BAND}"/>'
        f'<text class="small" x="{WIDTH - RIGHT + 8}" y="{y + 10:.0f}">{registered} MiB</text>'
        f'<text class="small" x="{WIDTH - RIGHT + 8}" y="{y + BAND:.0f}">0</text>'
    )
    ends = [point.at for point in series[1:]] + [axis.end]
    for (at, balance), end in zip(series, ends, strict=True):
        if end <= axis.begin or at >= axis.end:
            continue
        bottom = y + BAND
        for layer in layers:
            mib = layer.amount_mib(balance)
            tall = BAND * mib / registered
            if mib > 0:
                told = f"{layer.name} {mib} MiB, {at - axis.zero:+.1f} s to {end - axis.zero:+.1f} s"
                left, right = axis.x(at), axis.x(end)
                parts.append(_box(layer.name, (left, right), bottom - tall, tall, told))
                if layer.name != "agreed" and right - left > LABELLED:
                    words = f"{layer.name} {mib} MiB"
                    parts.append(_label(words, (left + right) / 2, bottom - tall / 2))
            bottom -= tall


def _lane(parts: list[str], run: Run, life: Lifeline, axis: Axis, y: float) -> None:
    name = f"{SERVICE}:{revision_of(life)} {short_id(life.task)[:SHORT]}"
    job = " (job)" if life.task == run.job_task else ""
    parts.append(f'<text class="small" x="0" y="{y + 14:.0f}">{escape(name + job)}</text>')
    ended = min(life.ended_at(), axis.end)
    exited = life.exited_at or ended
    started = life.started_at or ended
    signalled = life.signalled_at or exited
    placed = life.placed_at or started
    stretches = (
        ("wanted", run.asked_at.get(life.task, placed), placed, "PROVISIONING, no host has room"),
        ("waiting", placed, started, "placed, waits for its room"),
        ("running", started, min(signalled, exited), "running"),
        ("stopping", signalled, exited, "asked to stop, still holds its room"),
    )
    for kind, since, until, words in stretches:
        if until > since and until > axis.begin:
            told = f"{name}: {words}, {since - axis.zero:+.1f} s to {until - axis.zero:+.1f} s"
            parts.append(_box(kind, (axis.x(since), axis.x(until)), y + 4, LANE - 8, told))
    for word, at in (("TERM", life.signalled_at), ("KILL", life.killed_at)):
        if at is not None:
            x = axis.x(at)
            parts.append(
                f'<line class="mark {word}" x1="{x:.1f}" x2="{x:.1f}" y1="{y + 1:.0f}" y2="{y + LANE - 1:.0f}"/>'
            )
    parts.append(f'<text class="small" x="{WIDTH - RIGHT + 8}" y="{y + 14:.0f}">{escape(_note(life, axis))}</text>')


def _scaler(parts: list[str], run: Run, axis: Axis, y: float) -> float:
    """The looks of the scaler: a bar for each, as high as the reservation; those that acted say what to."""
    half = y + HEAD + STRIP * (1 - 100 / PERCENT_MAX)
    parts.append(f'<text class="host" x="0" y="{y + 18:.0f}">scaler</text>')
    parts.append(f'<text class="small" x="0" y="{half + 4:.0f}">reservation</text>')
    parts.append(f'<text class="small" x="{WIDTH - RIGHT + 8}" y="{half + 4:.0f}">100 %</text>')
    parts.append(f'<line class="tick" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{half:.1f}" y2="{half:.1f}"/>')
    bottom = y + HEAD + STRIP
    for look in run.looks:
        if not axis.begin <= look.at <= axis.end:
            continue
        seen = look.data
        tall = max(STRIP * min(seen["percent"], PERCENT_MAX) / PERCENT_MAX, 1)
        x = axis.x(look.at)
        acts = seen["act"] != "none"
        numbers = f"{seen['percent']:.0f} %, {seen['needed']} needed, {seen['running']} in service"
        told = f"{look.at - axis.zero:+.1f} s: {numbers}: {seen['act']}, desired {seen['desired']}; {seen['why']}"
        parts.append(_box("acted" if acts else "looked", (x - 2, x + 2), bottom - tall, tall, told))
        if acts:
            parts.append(_label(f"{seen['act']} to {seen['desired']}", x, bottom - tall - 10))
    return bottom + BAND_GAP


def _note(life: Lifeline, axis: Axis) -> str:
    if life.exited_at is not None:
        killed = "KILL, " if life.killed_at is not None else ""
        waited = life.exited_at - (life.signalled_at or life.exited_at)
        return f"{killed}exit {','.join(map(str, life.exit_codes))} {waited:.1f} s after TERM"
    if life.started_at is not None:
        return f"RUNNING at {life.started_at - axis.zero:.1f} s"
    return "never started"


def _label(words: str, x: float, y: float) -> str:
    return f'<text class="label mid" x="{x:.0f}" y="{y + 4:.0f}">{escape(words)}</text>'


def _box(kind: str, sides: tuple[float, float], top: float, tall: float, told: str) -> str:
    left, right = sides
    return (
        f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 0.5):.1f}" height="{tall:.1f}">'
        f"<title>{escape(told)}</title></rect>"
    )
