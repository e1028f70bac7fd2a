"""`python -m agent`: be a host's agent. `check`: is there an engine? `sweep --run ID`: remove a run's containers."""

import argparse
import asyncio
import logging
import os
import sys

from agent import diet  # noqa: F401 - before all that it spares
from agent.config import Config, ConfigError, read, seconds
from agent.daemon import run
from agent.departure import LIMIT_SECONDS, Leaving, Way
from agent.journal import JournalInUseError
from agent.logs import set_up
from agent.runtime.port import ForbiddenError, RuntimeCallError, UnreachableError

EXIT_TRY_AGAIN = 1
EXIT_USAGE = 2
EXIT_TERMINAL = 5
"""Amazon's agent uses it for "do not start me again"."""


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m agent", description=__doc__)
    verbs = parser.add_subparsers(dest="verb")
    run_parser = verbs.add_parser("run", help="be the agent of this host, configured by ECS_* variables (the default)")
    run_parser.add_argument("--drain", action="store_true", help="SIGTERM empties the host before the agent ends")
    run_parser.add_argument(
        "--drain-limit",
        type=_seconds,
        default=LIMIT_SECONDS,
        metavar="DURATION",
        help="longest wait for the last task, such as 90s or 1h (1h)",
    )
    parser.set_defaults(drain=False, drain_limit=LIMIT_SECONDS)
    verbs.add_parser("check", help="print the engine's version, or say in one sentence why there is none")
    sweep = verbs.add_parser("sweep", help="remove every container of one `berth dev` run")
    sweep.add_argument("--run", required=True, help="value of the label berth.run")
    sweep.add_argument("--instance", default="", help="only the containers of this container instance (ARN)")
    arguments = parser.parse_args()
    try:
        if arguments.verb in ("check", "sweep"):
            from agent.runtime import connection  # noqa: PLC0415 - a scripted agent does without Docker's library
        if arguments.verb == "check":
            print(connection.connect(connection.QUICK_SECONDS).version()["Version"])
            return 0
        if arguments.verb == "sweep":
            return _sweep(arguments.run, arguments.instance)
        return _run(
            Leaving(on_term=Way.EMPTIED if arguments.drain else Way.AT_ONCE, limit_seconds=arguments.drain_limit)
        )
    except UnreachableError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE


def _sweep(run: str, instance: str) -> int:
    from agent.runtime.connection import UnsweptError, sweep  # noqa: PLC0415 - as above

    try:
        print(sweep(run, instance))
    except UnsweptError as error:
        print(error, file=sys.stderr)
        return EXIT_TRY_AGAIN
    return 0


def _seconds(text: str) -> float:
    try:
        limit = seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if limit <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time to wait")
    return limit


def _run(leaving: Leaving) -> int:
    try:
        config = read(os.environ)
        _log(config)
        asyncio.run(run(config, leaving))
    except (ConfigError, JournalInUseError) as error:
        print(error, file=sys.stderr)
        return EXIT_TERMINAL
    except (UnreachableError, RuntimeCallError) as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE if isinstance(error, ForbiddenError) else EXIT_TRY_AGAIN
    except OSError as error:
        print(f"The agent's data directory cannot be used: {error}", file=sys.stderr)
        return EXIT_TERMINAL
    except ExceptionGroup:
        logging.getLogger("agent").exception("The agent ends by a mistake of its own; its state is on disk.")
        return EXIT_TRY_AGAIN
    return 0


def _log(config: Config) -> None:
    set_up(config.log)
    for warning in config.warnings:
        logging.getLogger("agent").warning(warning)


if __name__ == "__main__":
    sys.exit(main())
