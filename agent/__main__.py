"""`python -m agent`: be a host's agent. `check`: is there an engine? `sweep --run ID`: remove a run's containers."""

import argparse
import asyncio
import logging
import os
import sys

from agent.config import Config, ConfigError, read
from agent.daemon import run
from agent.journal import JournalInUseError
from agent.runtime import docker
from agent.runtime.port import UnreachableError

EXIT_TRY_AGAIN = 1
EXIT_USAGE = 2
EXIT_TERMINAL = 5
"""Amazon's agent uses it for "do not start me again"."""


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m agent", description=__doc__)
    verbs = parser.add_subparsers(dest="verb")
    verbs.add_parser("run", help="be the agent of this host, configured by ECS_* variables (the default)")
    verbs.add_parser("check", help="print the engine's version, or say in one sentence why there is none")
    sweep = verbs.add_parser("sweep", help="remove every container of one `berth dev` run")
    sweep.add_argument("--run", required=True, help="value of the label berth.run")
    arguments = parser.parse_args()
    try:
        if arguments.verb == "check":
            print(docker.connect(docker.QUICK_SECONDS).version()["Version"])
            return 0
        if arguments.verb == "sweep":
            print(docker.sweep(arguments.run))
            return 0
        return _run()
    except UnreachableError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE


def _run() -> int:
    try:
        config = read(os.environ)
        _log(config)
        asyncio.run(run(config))
    except (ConfigError, JournalInUseError) as error:
        print(error, file=sys.stderr)
        return EXIT_TERMINAL
    except OSError as error:
        print(f"The agent's data directory cannot be used: {error}", file=sys.stderr)
        return EXIT_TERMINAL
    except ExceptionGroup:
        logging.getLogger("agent").exception("The agent ends by a mistake of its own; its state is on disk.")
        return EXIT_TRY_AGAIN
    return 0


def _log(config: Config) -> None:
    logging.basicConfig(
        level=getattr(logging, config.log_level.upper(), logging.INFO),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        filename=config.log_file or None,
    )
    for warning in config.warnings:
        logging.getLogger("agent").warning(warning)


if __name__ == "__main__":
    sys.exit(main())
