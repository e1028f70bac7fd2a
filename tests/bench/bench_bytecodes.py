"""What a call costs the loop of the control plane, in bytecodes: `make bench-bytecodes` (`ARGS=DescribeTasks`).

They are the same within a twentieth however busy the machine is, so that a change can be held against what was before
where times cannot. They are no times, and what C does beneath one is not seen: `make bench-api` has the last word.
"""

import argparse
import asyncio
import json
import signal
import tempfile
from pathlib import Path

from bench_api import KEYS, RUN, always, fill, look, ours
from load import rate, signed
from rich.console import Console
from rich.table import Table

COUNTED = Path(__file__).with_name("counted.py")
CONNECTIONS = 32
Function = tuple[str, str, int, int]
"""Its file, its name, its bytecodes and its calls."""


async def counted(operation: str, seconds: float) -> list[Function]:
    """Every function that ran for some calls."""
    with tempfile.TemporaryDirectory(prefix="berth-bench-") as folder:
        into = Path(folder) / "bytecodes"
        async with ours(folder, runs=(COUNTED, into)) as (endpoint, process):
            task = await asyncio.to_thread(fill, endpoint)
            body = RUN if operation == "RunTask" else look(task)
            request = always(signed(endpoint, operation, body, KEYS))
            await rate(endpoint, CONNECTIONS, 1, request)
            process.send_signal(signal.SIGUSR1)
            await rate(endpoint, CONNECTIONS, seconds, request)
            process.send_signal(signal.SIGUSR2)
            while not into.exists():  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.1)
        return json.loads(into.read_text())


def table(title: str, counted: dict[str, tuple[int, int]], answers: int, rows: int) -> Table:
    result = Table("bytecodes a call", "calls of it", title)
    for name, (bytecodes, calls) in sorted(counted.items(), key=lambda row: -row[1][0])[:rows]:
        result.add_row(f"{bytecodes / answers:,.0f}", f"{calls / answers:.1f}", name)
    return result


def main(options: argparse.Namespace) -> None:
    functions = asyncio.run(counted(options.operation, options.seconds))
    answers = next(calls for _, name, _, calls in functions if name == "Dispatcher.answer")
    by_file, by_name = {}, {}
    for path, name, bytecodes, calls in functions:
        file = path.rpartition("site-packages/")[2].removeprefix(f"{COUNTED.parents[2]}/")
        before = by_file.get(file, (0, 0))
        by_file[file] = (before[0] + bytecodes, before[1] + calls)
        by_name[f"{name} ({file})"] = (bytecodes, calls)
    total, calls = (sum(row[nth] for row in functions) / answers for nth in (2, 3))
    console = Console(width=120)
    console.print(table("file", by_file, answers, options.rows), table("function", by_name, answers, options.rows))
    console.print(f"One {options.operation}: {total:,.0f} bytecodes in {calls:,.0f} calls of Python functions.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("operation", nargs="?", choices=("RunTask", "DescribeTasks"), default="RunTask")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rows", type=int, default=25, help="of each table")
    main(parser.parse_args())
