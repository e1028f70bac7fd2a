"""The live picture, the dated lines and the report: what they show of a played run, and that they fit."""

from html.parser import HTMLParser
from io import StringIO
from xml.etree import ElementTree as ET

import msgspec
import pytest
from rich.console import Console
from run_maker import DEPLOY_AT, played
from story_maker import issue_4106

from berth.demo.live import Picture
from berth.demo.plain import PlainWatcher
from berth.demo.record import record_of
from berth.demo.report import report
from berth.demo.scenario import Run, note
from controlplane.core.twoledgers import TwoLedgers
from wire.story import StoryLine


def drawn(run: Run, at: float, width: int) -> list[str]:
    console = Console(file=StringIO(), width=width, color_system=None, legacy_windows=False)
    console.print(Picture(lambda: at, run))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("release", ["eager", "on-exit"])
@pytest.mark.parametrize("after", [-5.0, 0.5, 3.0, 20.0, 41.0])
def test_the_picture_fits_the_terminal(width: int, release: str, after: float) -> None:
    lines = drawn(played(release, until=DEPLOY_AT + after), DEPLOY_AT + after, width)
    assert max(len(line) for line in lines) <= width
    assert len(lines) <= 23


def test_while_the_fourth_task_waits_the_picture_tells_all() -> None:
    text = "\n".join(drawn(played("eager", until=DEPLOY_AT + 20), DEPLOY_AT + 20, 120))
    assert "phantom 7372 MiB, 1024 CPU" in text
    assert "queued 7372 MiB, 1024 CPU" in text
    assert "TERM 20 s ago, KILL in 40 s" in text
    assert "PENDING 20 s, no room" in text
    assert "web:2 b4000000 waits on host-2 for 20 s: web:1 a4000000, asked to stop 20 s ago" in text
    assert "┣▒▒▒▒" in text
    assert "exit 0 after 2.0 s" in text


def test_a_kill_is_marked() -> None:
    run = played("eager", until=DEPLOY_AT + 20)
    life = run.ledgers.lifelines[run.job_task]
    life.containers["web"].killed_at = DEPLOY_AT + 10
    life.containers["web"].exited_at = DEPLOY_AT + 10.1
    life.containers["web"].exit_code = 137
    text = "\n".join(drawn(run, DEPLOY_AT + 20, 120))
    assert "\N{BOX DRAWINGS LIGHT DIAGONAL CROSS}" in text
    assert "exit 137 after 10.1 s" in text


def test_the_dated_lines_tell_the_run() -> None:
    lines: list[str] = []
    watcher = PlainWatcher(lines.append, clock=lambda: DEPLOY_AT)
    run = played("eager", until=DEPLOY_AT)
    run.ledgers = TwoLedgers()
    watcher.on_phase(run, "deploy")
    for line in issue_4106("eager"):
        run.ledgers.fold(line)
        watcher.on_line(run, line)
    assert lines == [], "held, so that a line of an earlier time may still come"
    watcher.stop()
    text = "\n".join(lines)
    assert "+0.00 s  --- deploy" in text
    assert lines == sorted(lines, key=lambda line: line.split()[0])
    assert "host-1   registers with 2048 CPU and 15731 MiB" in text
    assert "phantom" in text
    assert "web:2 b4000000 has to wait, the host lacks CPU and MEMORY" in text
    assert "gets SIGTERM, and 60 s" in text
    assert text.count("b4000000 waits on host-2") == 1, "why it waits is told once"
    assert "+40.00 s  host-2   web:1 a4000000 its container has exited with 0" in text


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]


def test_the_report_is_one_well_formed_file_without_a_link() -> None:
    runs = [played("eager"), played("on-exit")]
    text = report(runs, [record_of(run) for run in runs])
    links = _Links()
    links.feed(text)
    assert links.found == []
    assert "script" not in links.tags
    assert "http" not in text
    root = ET.fromstring(text.removeprefix("<!DOCTYPE html>\n"))
    classes = [element.get("class") for element in root.iter("rect")]
    assert classes.count("phantom") > 0
    assert {"agreed", "queued", "running", "waiting", "stopping", "free"} <= set(classes)


def test_the_report_of_a_run_on_exit_has_no_phantom() -> None:
    run = played("on-exit")
    root = ET.fromstring(report([run], [record_of(run)]).removeprefix("<!DOCTYPE html>\n"))
    assert "phantom" not in [element.get("class") for element in root.iter("rect")]


def test_with_a_provider_the_picture_and_the_report_show_the_scaler() -> None:
    """Its newest look, what it does not count and why, hosts on their way, tasks without one; and every look drawn."""
    run = played("eager")
    run.setup, ended_at, run.ended_at = msgspec.structs.replace(run.setup, time_scale=20), run.ended_at, None
    look = {"needed": 2, "running": 2, "percent": 100.0, "desired": 2, "act": "none", "why": "it is at its target"}
    out = {"needed": 3, "running": 2, "percent": 150.0, "desired": 3, "act": "scale-out", "why": "3 needed, 2 running"}
    pending = [{"task": "x", "why": "PENDING, so it has its place"}]
    waiting = {"last": "PROVISIONING", "desired": "RUNNING", "task_definition": "td/web:2"}
    lines = (
        (DEPLOY_AT + 5, "scaler.look", "asg", {**look, "ignored": pending}),
        (DEPLOY_AT + 8, "task.desired", "task/c0ffee00", {**waiting, "desired": "RUNNING"}),
        (DEPLOY_AT + 8, "task.status", "task/c0ffee00", waiting),
    )
    for at, kind, subject, data in lines:
        line = StoryLine(at, "controlplane", subject, kind, data=data)
        run.ledgers.fold(line)
        note(run, line)
    text = "\n".join(drawn(run, DEPLOY_AT + 10, 120))
    assert "scaler  100 %, 2 needed, 2 in service: it is at its target" in text
    assert "not counted: PENDING, so it has its place" in text
    assert "web:2 c0ffee PROVISIONING 2 s, no host has room" in text
    for number in range(5):
        note(run, StoryLine(DEPLOY_AT + 12, "controlplane", f"i-{number}", "machine.state", data={"state": "Pending"}))
    note(run, StoryLine(DEPLOY_AT + 12, "controlplane", "asg", "scaler.look", data={**out, "ignored": []}))
    text = "\n".join(drawn(run, DEPLOY_AT + 13, 80))
    assert "scaler  150 %, 3 needed, 2 in service: scale-out to 3 at +12 s; 3 needed" in text
    assert "hosts more: bought, on the way" in text
    run.ended_at = ended_at
    page = report([run], [record_of(run)])
    assert page.count('class="looked"') == page.count('class="acted"') == 1
    assert ">scale-out to 3</text>" in page
