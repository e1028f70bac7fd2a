"""The run as dated lines, one for each event that matters: for logs, pipes and narrow terminals.

It words lines of the story and computes nothing. Lines come from several machines; each is held for a moment, so that
they stand in the order of their times, a cause before what came of it.
"""

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import Any

from berth.demo.scenario import Run, revision_of
from berth.demo.setup import SERVICE
from controlplane.core.blame import blame
from controlplane.core.lifeline import Side, stretches
from wire.arn import short_id
from wire.story import Kind, StoryLine

SHORT = 8
HELD_SECONDS = 0.3
"""An agent tells its story some tenths of a second late."""
WORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    Kind.INSTANCE_REGISTERED: lambda d: f"registers with {d.get('cpu')} CPU and {d.get('memory_mib')} MiB",
    Kind.PLACEMENT_HELD: lambda d: (
        f"is placed: {d.get('cpu')} CPU, {d.get('memory_mib')} MiB held on the placement ledger"
    ),
    Kind.HOST_QUEUED: lambda d: f"has to wait, the host lacks {' and '.join(d.get('lacks') or ['room'])}",
    Kind.CONTAINER_STARTED: lambda _: "its container has started",
    Kind.CONTAINER_SIGNALLED: lambda d: f"gets {d.get('signal')}, and {d.get('grace_seconds'):g} s",
    Kind.CONTAINER_KILLED: lambda _: "is killed, its time is over",
    Kind.CONTAINER_EXITED: lambda d: f"its container has exited with {d.get('exit_code')}",
    Kind.HOST_ENDED: lambda _: "its room is free on the host",
}


class PlainWatcher:
    """Prints dated lines: wall clock, seconds after the deploy, host, task, event."""

    def __init__(self, echo: Callable[[str], None], clock: Callable[[], float] = time.time) -> None:
        self._echo = echo
        self._clock = clock
        self._held: list[tuple[float, int, str]] = []
        self._printed = 0
        self._telling: asyncio.Task[None] | None = None
        self._blamed: set[str] = set()
        self._scaler_said = ""

    def start(self) -> None:
        """Print from now on."""
        self._telling = asyncio.create_task(self._tell(), name="dated lines")

    def stop(self) -> None:
        """Print the rest."""
        if self._telling is not None:
            self._telling.cancel()
        self._flush(float("inf"))

    def on_phase(self, run: Run, phase: str) -> None:
        """A line for each part of the run."""
        self._print(run, self._clock(), f"--- {phase}")

    def on_line(self, run: Run, line: StoryLine) -> None:
        """A line for an event that matters."""
        if line.kind == Kind.INSTANCE_REGISTERED:
            return self._print(run, line.at, f"{run.host(line.subject):8} {WORDS[line.kind](line.data)}")
        if line.kind == Kind.SCALER_LOOK and run.deploy_at is not None:
            return self._say_look(run, line)
        life = run.ledgers.lifelines.get(line.subject)
        if life is None:
            return None
        words = WORDS.get(line.kind)
        said = words(line.data) if words else ""
        if line.kind == Kind.PLACEMENT_ENDED:
            is_phantom = any(s.side is Side.PHANTOM and s.since <= line.at < s.until for s in stretches(life))
            still = ", though it still stands on the host: phantom" if is_phantom else ""
            said = f"its hold on the placement ledger ends ({line.data.get('proof')}){still}"
        if said:
            name = f"{SERVICE}:{revision_of(life)} {short_id(life.task)[:SHORT]}"
            self._print(run, line.at, f"{run.host(life.instance):8} {name} {said}")
        return self._say_blame(run, line)

    def _say_look(self, run: Run, line: StoryLine) -> None:
        """What the scaler saw and did, where it is not what it said before."""
        data = line.data
        ignored = "; ".join(sorted({each["why"] for each in data["ignored"]}))
        act = f"{data['act']} to {data['desired']}: " if data["act"] != "none" else ""
        said = f"scaler   {data['percent']:.0f} %: {act}{data['why']}"
        said += f" (ignored: {ignored})" if ignored else ""
        if said != self._scaler_said:
            self._scaler_said = said
            self._print(run, line.at, said)

    def _say_blame(self, run: Run, line: StoryLine) -> None:
        """Once for each task that is still in the queue when another one was admitted."""
        if line.kind != Kind.HOST_HELD:
            return
        for life in run.ledgers.queue(line.data.get("instance", ""), line.at):
            reason = blame(run.ledgers, life.task, now=line.at, host=run.host(life.instance))
            if reason and any(holder.is_phantom for holder in reason.holders) and life.task not in self._blamed:
                self._blamed.add(life.task)
                self._print(run, line.at, f"{'':8} {reason.sentence}")

    def _print(self, run: Run, at: float, text: str) -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(at)) + f".{int(at * 1000) % 1000:03d}"
        after = "" if run.deploy_at is None else f"{at - run.deploy_at:+.2f} s"
        self._printed += 1  # of the same time, the first first
        heapq.heappush(self._held, (at, self._printed, f"{clock} {after:>9}  {text}"))

    async def _tell(self) -> None:
        while True:
            self._flush(self._clock() - HELD_SECONDS)
            await asyncio.sleep(HELD_SECONDS / 2)

    def _flush(self, until: float) -> None:
        while self._held and self._held[0][0] <= until:
            self._echo(heapq.heappop(self._held)[-1])
