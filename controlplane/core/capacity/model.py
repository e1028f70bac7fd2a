"""The records of capacity: providers, groups of instances, their machines, and what a provider's scaler remembers.

A group is an Auto Scaling group on this machine, a *machine* one of its members: what will be, is, or was a host. It
becomes a container instance when its agent registers. Source: EC2 Auto Scaling API reference (`AutoScalingGroup`,
`LifecycleState`, `LifecycleHook`). Times are epoch seconds; periods are on the scaler's clock.
"""

from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from controlplane.core.record import Record

BOOT_SECONDS = 120.0
"""From launch to the agent's start. AWS's are 60 to 180 s."""
HEARTBEAT_SECONDS = 3600.0
"""EC2 Auto Scaling API reference, PutLifecycleHook `HeartbeatTimeout`."""


class CapacityProvider(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A capacity provider that somebody made (the built-in ones are no records). Key: its name."""

    table: ClassVar[str] = "capacity_providers"

    name: str
    arn: str
    status: str = "ACTIVE"
    """ACTIVE or INACTIVE."""
    update_status: str = "CREATE_COMPLETE"
    cluster: str | None = None
    """Name of the one cluster that it belongs to, where it was made for one."""
    body: dict[str, Any] = {}
    ended_at: float | None = None
    """When it went INACTIVE."""

    @property
    def key(self) -> str:
        return self.name


class Transition(StrEnum):
    """Where a lifecycle hook holds a machine up."""

    LAUNCHING = "launching"
    TERMINATING = "terminating"


class Hook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A lifecycle hook: the machine waits until somebody completes it, or until its heartbeat times out."""

    name: str
    transition: Transition
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    default_result: str = "ABANDON"
    """CONTINUE or ABANDON: what a timeout means. An abandoned launch is terminated."""
    webhook: str = ""
    """URL that is told (POST) when a machine begins to wait; "": whoever waits looks for itself."""


class Group(Record, frozen=True, kw_only=True, omit_defaults=True):
    """An instance group. Key: its name."""

    table: ClassVar[str] = "groups"

    name: str
    arn: str
    cluster: str
    """Name of the cluster that its machines register in."""
    desired: int = 0
    minimum: int = 0
    maximum: int
    instance_types: tuple[str, ...]
    """Types of its machines, in turn; names from `wire.instance_types`."""
    zones: tuple[str, ...]
    boot_seconds: float = BOOT_SECONDS
    protects_new: bool = False
    """New machines are protected from scale-in."""
    hooks: tuple[Hook, ...] = ()
    command: str = ""
    """Shell command that is a machine, in the place of an agent process; its environment says which."""
    is_ending: bool = False
    """It is being deleted: desired 0, and gone with its last machine."""
    cause: str = ""
    """Id of the request or the scaler's look that last changed it."""
    created_at: float = 0

    @property
    def key(self) -> str:
        return self.name


class MachineState(StrEnum):
    """`LifecycleState`, as Auto Scaling names it, in the order in which a machine climbs it."""

    PENDING = "Pending"
    """Boots."""
    PENDING_WAIT = "Pending:Wait"
    IN_SERVICE = "InService"
    TERMINATING = "Terminating"
    """Chosen to go."""
    TERMINATING_WAIT = "Terminating:Wait"
    """A hook, or the draining of its tasks, holds it up."""
    TERMINATING_PROCEED = "Terminating:Proceed"
    """Nothing holds it up any more: whoever runs it ends it."""
    TERMINATED = "Terminated"

    @property
    def is_going(self) -> bool:
        """On its way out, or gone."""
        return self.value.startswith("Terminat")

    @property
    def is_on(self) -> bool:
        """It has booted and has not been told to end: whoever runs machines keeps it running."""
        return self in (
            MachineState.PENDING_WAIT,
            MachineState.IN_SERVICE,
            MachineState.TERMINATING,
            MachineState.TERMINATING_WAIT,
        )


class Waiting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A hook that a machine waits for."""

    hook: str
    """Name; "ecs-managed-draining" for the one that ECS puts up itself."""
    until: float
    token: str = ""
    """LifecycleActionToken."""
    result: str = ""
    """CONTINUE or ABANDON once it is completed; "": it waits."""


class Machine(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A member of a group. Key: its instance id."""

    table: ClassVar[str] = "machines"

    id: str
    group: str
    instance_type: str
    zone: str
    state: MachineState = MachineState.PENDING
    launched_at: float
    changed_at: float
    """When it came to its state."""
    is_protected: bool = False
    """From scale-in."""
    is_healthy: bool = True
    why: str = ""
    """Why it is going, in words."""
    waits: tuple[Waiting, ...] = ()
    runner: str = ""
    """Who runs it: the name that its runner gave when it took it."""

    @property
    def key(self) -> str:
        return self.id


class Scaler(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What managed scaling of one capacity provider remembers between two looks. Key: the provider's name."""

    table: ClassVar[str] = "scalers"

    provider: str
    looked_at: float = 0
    low_points: int = 0
    scaled_out_at: float | None = None

    @property
    def key(self) -> str:
        return self.provider
