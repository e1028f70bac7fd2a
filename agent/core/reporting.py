"""What is to be told to the control plane: an outbox per task, persisted before it is sent, emptied in order."""

import msgspec

from agent.core.spec import Port
from wire.holds import Proof


class ContainerReport(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One container in a report; `status` is PENDING, RUNNING or STOPPED."""

    name: str
    status: str
    docker_id: str | None = None
    exit_code: int | None = None
    reason: str | None = None
    image_digest: str | None = None
    ports: tuple[Port, ...] = ()


class Report(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag=True):
    """An entry of the outbox. `number` counts up over the task's life, so that an acceptance is idempotent."""

    number: int
    cause: str = ""


class StateReport(Report, frozen=True, omit_defaults=True, kw_only=True, tag="state"):
    """A state change of the task: PENDING, RUNNING or STOPPED, with its containers. Times are epoch seconds."""

    status: str
    reason: str = ""
    containers: tuple[ContainerReport, ...] = ()
    pull_started_at: float | None = None
    pull_stopped_at: float | None = None
    execution_stopped_at: float | None = None


class ReleaseReport(Report, frozen=True, omit_defaults=True, kw_only=True, tag="release"):
    """The task's room is free, or (eager) will be: `proof` says which."""

    released_at: float
    proof: Proof


Outbox = StateReport | ReleaseReport
