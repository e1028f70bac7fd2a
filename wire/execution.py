"""A command in a running container, between control plane and agent: all of it is ours.

The control plane asks over ACS; the agent comes back with a websocket of its own, on which binary frames are bytes
(the first says which stream) and text frames are `Control`. Amazon's agent knows none of it, and is never asked.
"""

from enum import IntEnum

import msgspec

EXECUTION_ATTRIBUTE = "berth.execute-command"
"""Attribute of a registration: its agent takes `ExecuteCommandMessage`."""
EXECUTION_PATH = "/_berth/exec"
PLAIN_MEMBER = "berthPlain"
"""Member of an ExecuteCommand request: no terminal; standard output and error stay apart, and the input may end."""


class Stream(IntEnum):
    """First byte of a binary frame."""

    INPUT = 0
    OUTPUT = 1
    ERROR = 2


class ExecuteCommandMessage(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Run `command` in a container of a task, and connect it to `url`."""

    message_id: str
    session_id: str
    task_arn: str
    container: str
    """Name."""
    command: list[str]
    has_terminal: bool
    token: str
    """Shown when connecting."""


class Control(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A text frame: one thing is set."""

    size: tuple[int, int] | None = None
    """To the agent: columns and rows of the terminal."""
    ended: bool = False
    """To the agent: no more input will come."""
    exit_code: int | None = None
    """From the agent: the command has ended; nothing follows."""
    error: str = ""
    """From the agent: the command could not be run."""
