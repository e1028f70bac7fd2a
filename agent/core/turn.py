"""One fact is being taken in: the task's memory, the agent's policy, the time, and what is to be done about it.

The parts of the task's machine (`pulls`, `starts`, `stops`, `containers`) share this and nothing else.
"""

import msgspec

from agent.core.instructions import Instruction, Tell
from agent.core.state import ContainerState, Settings, TaskState
from wire.story import Kind


class Turn:
    """What the parts of the machine read and write while one fact is handled. `now` is epoch seconds."""

    def __init__(self, state: TaskState, settings: Settings, now: float, cause: str) -> None:
        self.state = state
        self.settings = settings
        self.now = now
        self.instructions: list[Instruction] = []
        self._cause = cause

    @property
    def arn(self) -> str:
        """The task's ARN."""
        return self.state.spec.arn

    @property
    def cause(self) -> str:
        """What led here. What happens to a task that was told to stop, happens because of that."""
        return self.state.cause if self.state.stop_requested else self._cause

    def container(self, name: str) -> ContainerState | None:
        """A container of the task by its name."""
        return next((c for c in self.state.containers if c.spec.name == name), None)

    def do(self, instruction: Instruction) -> None:
        """Ask the shell for something."""
        self.instructions.append(instruction)

    def tell(self, kind: Kind, cause: str | None = None, **members: object) -> None:
        """A line of the story; members that are None are left out."""
        known = {name: value for name, value in members.items() if value is not None}
        why = self.cause if cause is None else cause
        self.do(Tell(task=self.arn, kind=kind, cause=why, data=msgspec.to_builtins(known)))
