"""Run the control plane and count the bytecodes of its loop from SIGUSR1 to SIGUSR2: `python counted.py INTO OPTIONS`.

At SIGUSR2 the file INTO has them as JSON: for each function its file, its name, its bytecodes and its calls.
"""

import json
import runpy
import signal
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

bytecodes: Counter[CodeType] = Counter()
calls: Counter[CodeType] = Counter()


def entered(frame: FrameType, *_: Any) -> Any:
    calls[frame.f_code] += 1
    frame.f_trace_opcodes, frame.f_trace_lines = True, False
    return ran


def ran(frame: FrameType, event: str, _: Any) -> Any:
    if event == "opcode":
        bytecodes[frame.f_code] += 1
    return ran


def write(into: Path) -> None:
    sys.settrace(None)
    rows = [(code.co_filename, code.co_qualname, ran, calls[code]) for code, ran in bytecodes.items()]
    part = into.with_suffix(".part")
    part.write_text(json.dumps(rows))
    part.rename(into)


if __name__ == "__main__":
    into = Path(sys.argv.pop(1))
    signal.signal(signal.SIGUSR1, lambda *_: sys.settrace(entered))
    signal.signal(signal.SIGUSR2, lambda *_: write(into))
    sys.path.insert(0, str(Path.cwd()))
    runpy.run_module("controlplane", run_name="__main__", alter_sys=True)
