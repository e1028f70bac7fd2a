"""The options of `berth dev` about its runtime, and how scripted containers behave where their task does not say.

The words are those of the image `berth/stubborn`: a task definition plays the same part with Docker and without it.
"""

import re
from collections.abc import Callable
from typing import Any

import click

from berth.cli.options import Choice, Number, Sentence
from berth.errors import UserError

DOCKER, SCRIPTED = "docker", "scripted"
START_SECONDS = 0.1
EXIT_CODE_MAX = 255
_DELAY = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Delay(Sentence):
    """A time of any length, 0s too. Its value is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = _DELAY.fullmatch(value.strip().lower())
        if match is None:
            self.fail(f"{value!r} is no duration: write it like 250ms, 1.5s, 2m or 0s.", param, ctx)
        return float(match[1]) * _UNIT_SECONDS[match[2]]


_OPTIONS = (
    click.option(
        "--runtime",
        type=Choice(DOCKER, SCRIPTED),
        default=DOCKER,
        show_default=True,
        help="scripted: containers are played, and no engine is needed.",
    ),
    click.option(
        "--start-delay", type=Delay(), help=f"Scripted: what a start takes.  [default: {START_SECONDS * 1000:.0f}ms]"
    ),
    click.option("--ignore-term", type=Delay(), help="Scripted: from TERM to the exit.  [default: 0s]"),
    click.option("--run-time", type=Delay(), help="Scripted: exits by itself after that.  [default: never]"),
    click.option("--exit-code", type=Number(0, EXIT_CODE_MAX), help="Scripted: unless it is killed.  [default: 0]"),
)


def runtime_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def script_of(
    runtime: str,
    *,
    start_delay: float | None,
    ignore_term: float | None,
    run_time: float | None,
    exit_code: int | None,
) -> dict[str, str] | None:
    """Variables of scripted containers that set none themselves; None where the runtime is Docker's. Times are seconds.

    Raises:
        UserError: Docker's containers are not played.
    """
    given = {
        "START_SECONDS": start_delay,
        "QUIT_SECONDS": ignore_term,
        "RUN_SECONDS": run_time,
        "EXIT_CODE": exit_code,
    }
    said = {name: f"{value:g}" for name, value in given.items() if value is not None}
    if runtime == SCRIPTED:
        return {"START_SECONDS": f"{START_SECONDS:g}", **said}
    if said:
        raise UserError(
            "--start-delay, --ignore-term, --run-time and --exit-code are for --runtime scripted; "
            "what runs in Docker behaves as its image does."
        )
    return None
