"""What a machine asks its shell to do. They are carried out in order, after the machine's state is on disk."""

from typing import Any

import msgspec

from agent.core.queueing import QueuePolicy
from agent.core.spec import ContainerSpec, TaskSpec
from wire.holds import Proof
from wire.resources import Amounts
from wire.story import Kind


class Instruction(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do for the task of this ARN."""

    task: str


class AskRoom(Instruction, frozen=True, kw_only=True):
    """Queue for room on the host ledger."""

    amounts: Amounts
    resumed: bool = False
    """The task held this room before the agent was restarted."""


class WithdrawRoom(Instruction, frozen=True, kw_only=True):
    """Leave the queue."""


class SetQueue(Instruction, frozen=True, kw_only=True):
    """Another policy goes for the whole queue; `task` is empty."""

    queue: QueuePolicy


class ReleaseHost(Instruction, frozen=True, kw_only=True):
    """End the hold on the host ledger; the queue is looked at in the same breath."""

    proof: Proof


class NoteStopping(Instruction, frozen=True, kw_only=True):
    """The task is stopping and still holds its room (the queue policy `serial` waits for such tasks)."""


class ContainerInstruction(Instruction, frozen=True, kw_only=True):
    """One thing to do for one container."""

    container: str


class SeeToImage(ContainerInstruction, frozen=True, kw_only=True):
    """Pull the image, or find it here. Answers `Pulled` or `RuntimeFault`."""

    spec: ContainerSpec


class LeaveImage(ContainerInstruction, frozen=True, kw_only=True):
    """The image is not needed any more: cut a pull short. Answers nothing."""


class CreateContainer(ContainerInstruction, frozen=True, kw_only=True):
    """Create the container; its image is here. Answers `Created` or `RuntimeFault`."""

    of: TaskSpec
    spec: ContainerSpec


class StartContainer(ContainerInstruction, frozen=True, kw_only=True):
    """Start it. Answers `Started` or `RuntimeFault`."""

    docker_id: str
    after: float | None = None
    """When it was started before (epoch seconds, Docker's): as long as Docker tells that, its new start is to come."""
    of: TaskSpec
    spec: ContainerSpec


class SendSignal(ContainerInstruction, frozen=True, kw_only=True):
    """Send the stop signal. Answers `SignalSent`, `Exited` where it has ended already, or `RuntimeFault`."""

    docker_id: str
    signal: str


class SendKill(ContainerInstruction, frozen=True, kw_only=True):
    """Send SIGKILL. Answers `KillSent`, `Exited` where it has ended already, or `RuntimeFault`."""

    docker_id: str


class RemoveContainer(ContainerInstruction, frozen=True, kw_only=True):
    """Remove the stopped container from Docker."""

    docker_id: str
    force: bool = False
    """Kill it first: its stop was only declared."""


class StartTimer(ContainerInstruction, frozen=True, kw_only=True):
    """Answer `TimerFired` at `at` (epoch seconds). A later one of the same name replaces it."""

    timer: str
    at: float


class Send(Instruction, frozen=True, kw_only=True):
    """There is something in the outbox."""


class RemoveResources(Instruction, frozen=True, kw_only=True):
    """Remove what was made for the task besides its containers: volumes, its cgroup, a network that nobody needs."""

    of: TaskSpec


class Forget(Instruction, frozen=True, kw_only=True):
    """The task is over, reported and cleaned up: drop its record."""


class Tell(Instruction, frozen=True, kw_only=True):
    """A line of the story."""

    kind: Kind
    cause: str
    data: dict[str, Any]
    id: str = ""
