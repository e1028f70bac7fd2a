"""How an instance is: its container runtime, as its agent last said, and whether that agent is there at all.

It decides nothing; it is kept and shown. Source: API reference, `ContainerInstanceHealthStatus`; that an agent which is
away makes an instance IMPAIRED is assumed.
"""

from collections.abc import Iterator

import msgspec

from controlplane.core.model import Instance, RuntimeHealth
from controlplane.core.view import Draft
from wire.status import InstanceStatus

STATES = ("IMPAIRED", "INSUFFICIENT_DATA", "INITIALIZING", "OK")
"""The worst first."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. Times are epoch seconds."""

    type: str
    """AWS's: CONTAINER_RUNTIME or AGENT_CONNECTIVITY."""
    status: str
    reason: str = ""
    updated_at: float | None = None
    changed_at: float | None = None


def observe_runtime(draft: Draft, arn: str, seen: RuntimeHealth) -> None:
    """Take in what the agent of an instance (ARN) says; what says nothing new changes nothing."""
    instance = draft.instance(arn)
    if instance is None or instance.status is InstanceStatus.INACTIVE or seen.status not in STATES:
        return
    known = instance.runtime
    if known is None or (known.status, known.reason) != (seen.status, seen.reason):
        draft.put(msgspec.structs.replace(instance, runtime=seen))


def checks(instance: Instance) -> Iterator[Check]:
    """Everything that is known."""
    runtime = instance.runtime
    if runtime is not None:
        yield Check(
            type="CONTAINER_RUNTIME",
            status=runtime.status,
            reason=runtime.reason,
            updated_at=runtime.updated_at,
            changed_at=runtime.changed_at,
        )
    yield Check(
        type="AGENT_CONNECTIVITY",
        status="OK" if instance.agent_connected else "IMPAIRED",
        changed_at=instance.connected_at if instance.agent_connected else None,
    )


def overall(instance: Instance) -> str:
    """The worst of all checks."""
    return min((check.status for check in checks(instance)), key=STATES.index)
