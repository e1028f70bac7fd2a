"""`berth demo stop`: a deployment meets a long job, on real containers, with either way of releasing room.

All checks come before anything is started, and each failure is one sentence.
"""

import asyncio
import os
import textwrap
from pathlib import Path

import click
import msgspec
from rich.console import Console

from berth import checks
from berth.cli.options import Choice, Duration, Number, PresetName
from berth.demo.evidence import check_image
from berth.demo.live import LiveWatcher
from berth.demo.plain import PlainWatcher
from berth.demo.record import Record, RunRecord, record_of
from berth.demo.report import report
from berth.demo.scenario import Run, RunFailed, Scenario
from berth.demo.setup import IMAGE, INSTANCE_TYPE, REMEDIES, Setup, read_remedies
from berth.demo.table import next_command, table_lines, verdict
from berth.devserver import HOST, DevServer, Settings
from berth.errors import UserError
from berth.interrupt import run_with_cleanup
from wire.resources import PORT_MAX

RELEASES = {"both": ("eager", "on-exit"), "eager": ("eager",), "on-exit": ("on-exit",)}
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for."""

    setups: list[Setup]
    port: int | None
    json: Path | None
    report: Path
    is_plain: bool


@click.group(short_help="Show a problem on real containers.")
def demo() -> None:
    """Show a problem on real containers."""


@demo.command(short_help="A deployment meets a long job that works on after TERM.")
@click.option(
    "--release",
    type=Choice(*RELEASES),
    default="both",
    show_default=True,
    help="When agents report a stopping task's room as free: at once (as Amazon's do), or when it has exited.",
)
@click.option("--long-job", type=Duration(), default="40s", show_default=True, help="How long the job works on.")
@click.option("--remedy", "remedies", multiple=True, metavar="REMEDY", help=f"Repeatable: {REMEDIES}.")
@click.option("--policy", type=PresetName(), default="ecs-2026", show_default=True, help="A preset, as in berth dev.")
@click.option(
    "--capacity-provider",
    is_flag=True,
    help="Hosts are bought by managed scaling; eager and on-exit release, then the policies lease and deadline.",
)
@click.option(
    "--time-scale",
    type=Number(1, 600),
    default=20,
    show_default=True,
    help="With --capacity-provider: how much faster the scaler's clock runs; never the grace, never the job.",
)
@click.option("--port", type=Number(1, PORT_MAX), help="Port of the control plane.  [default: any free one]")
@click.option("--json", type=click.Path(path_type=Path), metavar="FILE", help="Write the record to FILE.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    default="berth-demo-stop.html",
    show_default=True,
    metavar="FILE",
    help="Write the drawing of both ledgers to FILE.",
)
@click.option("--plain", is_flag=True, help="Dated lines in place of the live picture.")
def stop(
    *,
    release: str,
    long_job: int,
    remedies: tuple[str, ...],
    policy: str,
    capacity_provider: bool,
    time_scale: int,
    port: int | None,
    json: Path | None,
    report: Path,
    plain: bool,
) -> None:
    """A deployment meets a long job that works on after TERM.

    Four tasks on two hosts are told to stop. Three quit, one works on. Where does the fourth new task go? Each run
    has a server and hosts of its own; it plays aws/amazon-ecs-agent#4106 and removes everything afterwards.
    """
    chosen = read_remedies(remedies)
    order = Order(
        setups=[
            Setup(
                release=one,
                job_seconds=long_job,
                preset=preset,
                remedies=chosen,
                time_scale=time_scale if capacity_provider else None,
            )
            for one, preset in _runs(release, policy, has_provider=capacity_provider)
        ],
        port=port,
        json=_writable(json) if json else None,
        report=_writable(report),
        is_plain=plain,
    )
    raise SystemExit(asyncio.run(_demo(order)))


def _runs(release: str, policy: str, *, has_provider: bool) -> list[tuple[str, str]]:
    """Release and preset of each run. With a provider and nothing chosen, the policies that are ours come too."""
    runs = [(one, policy) for one in RELEASES[release]]
    if has_provider and (release, policy) == ("both", "ecs-2026"):
        runs += [("eager", "lease"), ("eager", "deadline")]
    return runs


async def _demo(order: Order) -> int:
    await checks.engine_version()
    check_image(IMAGE)
    if order.port is not None:
        checks.check_port(HOST, order.port)
    stage = _Stage(order)
    return await run_with_cleanup(
        stage.play, cleanup=stage.clear, force=stage.force, on_interrupt=stage.say_interrupted
    )


class _Stage:
    """Plays the runs one after the other, each on a server of its own, and shows them."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._console = Console(highlight=False)
        self._server: DevServer | None = None

    async def play(self) -> int:
        """Play all runs, then show the table and write the files. Returns the exit code."""
        runs = []
        for setup in self._order.setups:
            try:
                runs.append(await self._play(setup))
            except RunFailed as error:
                self._say(str(error), is_error=True)
                return 1
        self._show(runs)
        return 0

    async def clear(self) -> None:
        """End the server of the run that is played, if one is."""
        if self._server is not None:
            trouble = await self._server.close()
            self._server = None
            if trouble:
                self._say(trouble, is_error=True)

    def force(self) -> None:
        """End it without waiting."""
        if self._server is not None:
            self._server.force()

    def say_interrupted(self) -> None:
        """Tell what happens after Ctrl-C."""
        self._say("Cleaning up, containers too (Ctrl-C again: at once, without waiting).", is_error=True)

    async def _play(self, setup: Setup) -> Run:
        settings = Settings(
            port=self._order.port or checks.free_port(HOST),
            hosts=0 if setup.has_provider else setup.hosts,
            groups=(setup.group,) if setup.has_provider else (),
            time_scale=setup.time_scale or 1,
            instance_type=INSTANCE_TYPE,
            zones=ZONES,
            preset=setup.preset,
            release=setup.release,
            reserved_memory_mib=setup.remedies.reserved_memory_mib,
        )
        self._server = DevServer(settings)
        self._server.open()
        is_plain = self._order.is_plain or not self._console.is_terminal
        watcher = PlainWatcher(self._say) if is_plain else LiveWatcher(self._console)
        watcher.start()
        try:
            run = await Scenario(setup, self._server, watcher).play()
        finally:
            watcher.stop()
        await self.clear()
        return run

    def _show(self, runs: list[Run]) -> None:
        records = [record_of(run) for run in runs]
        self._say("")
        for line in table_lines(records, self._console.width if self._console.is_terminal else None):
            self._say(line)
        self._say("")
        for sentence in verdict(records):
            self._say(textwrap.fill(sentence, self._console.width))
        self._say("")
        self._write(runs, records)
        self._say(f"try      {next_command(records)}")

    def _write(self, runs: list[Run], records: list[RunRecord]) -> None:
        self._order.report.write_text(report(runs, records), encoding="utf-8")
        self._say(f"report   {self._order.report.resolve()}")
        if self._order.json is not None:
            self._order.json.write_bytes(msgspec.json.format(msgspec.json.encode(Record(records))) + b"\n")
            self._say(f"record   {self._order.json.resolve()}")

    def _say(self, text: str, *, is_error: bool = False) -> None:
        click.echo(text, err=is_error)


def _writable(path: Path) -> Path:
    folder = path.parent if path.parent != Path() else Path.cwd()
    target = path if path.exists() else folder
    if path.is_dir() or not folder.is_dir() or not os.access(target, os.W_OK):
        raise UserError(f"{path} cannot be written: name a file in a folder that is there and yours.")
    return path
