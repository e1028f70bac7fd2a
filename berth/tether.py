"""Runs a program that does not outlive its supervisor: `python -m berth.tether PARENT_PID PROGRAM ARG...`.

On Linux the kernel sends the program SIGTERM when the supervisor dies, however it dies (prctl PR_SET_PDEATHSIG, kept
across exec). Elsewhere this only runs the program. The program keeps this process's id.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""Source: linux/prctl.h."""


def main() -> None:
    """Tie this process to its parent, then become the program."""
    parent, *program = sys.argv[1:]
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - only needed here

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        # The supervisor may have died before the tie was made.
        if os.getppid() != int(parent):
            sys.exit(1)
    os.execvp(program[0], program)  # noqa: S606 - the supervisor names the program


if __name__ == "__main__":
    main()
