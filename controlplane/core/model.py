"""The records that the control plane keeps. They are frozen; a change is a new record in a plan.

Amazon's shapes stop at `api/` and `agents/`: what is here carries our names, units at the end, statuses as enums.
Members of a request that nothing acts on are kept whole in `body` and given back. Those of services stand in
`services` and come with these; those of their deployments in `rollouts`.
"""

from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from controlplane.core.balancing.records import Target
from controlplane.core.policy import AgentPolicy, Policy
from controlplane.core.record import Record, following
from controlplane.core.services import Controller, Deployment, Scheduling, Service, ServiceEvent
from wire.holds import Hold
from wire.resources import Amounts
from wire.status import ContainerStatus, DesiredStatus, HealthStatus, InstanceStatus, StopCode, TaskStatus

__all__ = ["Controller", "Deployment", "Scheduling", "Service", "ServiceEvent"]
# One door: what is used together is imported together.


class Cluster(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A cluster. Key: its name."""

    table: ClassVar[str] = "clusters"

    name: str
    arn: str
    status: str = "ACTIVE"
    policy: Policy = Policy()
    agent_policy: AgentPolicy | None = None
    """What its agents are told, those of ours; None: each goes by its own environment."""
    body: dict[str, Any] = {}
    ended_at: float | None = None
    """When it went INACTIVE."""

    @property
    def key(self) -> str:
        return self.name


class Family(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What outlives the task definitions of a family: the highest revision that was ever given. Key: its name."""

    table: ClassVar[str] = "families"

    name: str
    newest_revision: int

    @property
    def key(self) -> str:
        return self.name


class TaskDefinition(Record, frozen=True, kw_only=True, omit_defaults=True):
    """One revision of a family. Key: its ARN. `body` is the registration as given (Amazon's member names)."""

    table: ClassVar[str] = "task_definitions"

    arn: str
    family: str
    revision: int
    status: str = "ACTIVE"
    amounts: Amounts = Amounts()
    """What one copy costs an instance."""
    body: dict[str, Any] = {}
    registered_at: float = 0
    deregistered_at: float | None = None
    delete_requested_at: float | None = None

    @property
    def key(self) -> str:
        return self.arn


class Release(StrEnum):
    """Whether and how the agent of an instance reports releases."""

    NONE = "none"
    EAGER = "eager"
    ON_EXIT = "on-exit"


class RuntimeHealth(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the container runtime of an instance was found, from the first report of that on. Epoch seconds."""

    status: str
    """INITIALIZING, OK, IMPAIRED or INSUFFICIENT_DATA."""
    reason: str = ""
    updated_at: float = 0
    changed_at: float = 0


class Instance(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A registered container instance. Key: its ARN. `registered.ports` are the reserved, hence taken, ports."""

    table: ClassVar[str] = "instances"

    arn: str
    cluster: str
    status: InstanceStatus = InstanceStatus.ACTIVE
    agent_connected: bool = False
    connected_at: float | None = None
    """When its agent last came."""
    registered: Amounts
    attributes: tuple[dict[str, str], ...] = ()
    """Amazon's `{name, value?}`."""
    tags: tuple[dict[str, str], ...] = ()
    ec2_instance_id: str = ""
    group: str | None = None
    """Name of the instance group (Auto Scaling group) that it is a member of."""
    registered_at: float = 0
    release: Release = Release.NONE
    agent_version: str = ""
    docker_version: str = ""
    runtime: RuntimeHealth | None = None
    client_token: str = ""
    ended_at: float | None = None
    """When it went INACTIVE."""
    version: int = 1
    """ECS's counter: one up with every change that emits an event."""

    @property
    def key(self) -> str:
        return self.arn

    def attribute(self, name: str) -> str | None:
        """Value of an attribute; "" where it has none, None where it is missing."""
        return _attributes_of(self).get(name)


@following
def _attributes_of(instance: Instance) -> dict[str, str]:
    return {attribute["name"]: attribute.get("value", "") for attribute in reversed(instance.attributes)}


class Container(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A container of a task, as last reported."""

    name: str
    arn: str
    image: str
    essential: bool = True
    cpu: int = 0
    memory_mib: int | None = None
    memory_reservation_mib: int | None = None
    stop_timeout_seconds: int | None = None
    pinned_digest: str = ""
    """What its instance is told to run in the place of the image's tag."""
    gpus: int = 0
    """How many it asks for."""
    gpu_ids: tuple[str, ...] = ()
    """Those that it has got, from its placement on."""
    last_status: ContainerStatus = ContainerStatus.PENDING
    exit_code: int | None = None
    reason: str | None = None
    runtime_id: str | None = None
    image_digest: str | None = None
    network_bindings: tuple[dict[str, Any], ...] = ()
    health_status: HealthStatus | None = None
    """As last heard; None where the definition has no health check."""


_WANTED, _STOPPED = DesiredStatus.RUNNING, TaskStatus.STOPPED
"""At hand, as they are asked of all tasks there are: Python 3.11 takes as long to find an enum's member as to ask."""


class Task(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A task. Key: its ARN. Times are epoch seconds. `hold` is its room on the placement ledger of `instance`."""

    table: ClassVar[str] = "tasks"

    arn: str
    cluster: str
    task_definition: str
    containers: tuple[Container, ...]
    amounts: Amounts
    group: str
    last_status: TaskStatus = TaskStatus.PENDING
    desired_status: DesiredStatus = DesiredStatus.RUNNING
    instance: str | None = None
    hold: Hold | None = None
    service: str | None = None
    """ARN of the service that owns it."""
    deployment: str | None = None
    started_by: str | None = None
    client_token: str | None = None
    cause: str = ""
    """Id of the request or evaluation that last changed the desired status."""
    body: dict[str, Any] = {}
    """Members kept and given back: overrides, tags, networkConfiguration, ..."""
    credentials_id: str = ""
    """Under which its containers ask for their role's credentials; "" for a task without roles. Shown to its agent."""
    address: str = ""
    """IPv4 address of a task with a network of its own; "" until its agent has told it."""
    mac_address: str = ""
    stop_code: StopCode | None = None
    stopped_reason: str | None = None
    created_at: float = 0
    started_at: float | None = None
    stopping_at: float | None = None
    force: bool = False
    """Its containers get no grace any more (`ForceStopTask`)."""
    stop_told_at: float | None = None
    """When the instance acknowledged the stop."""
    execution_stopped_at: float | None = None
    stopped_at: float | None = None
    pull_started_at: float | None = None
    pull_stopped_at: float | None = None
    protected_until: float | None = None
    """End of its scale-in protection; None or past: it is not protected."""
    targets: tuple[Target, ...] = ()
    """Its places in target groups, by load balancer of the service."""
    is_counted: bool = False
    """It never started, and that has been counted."""
    unhealthy_at: float | None = None
    """When the scheduler found that it fails its checks; None: it does not."""
    replaces: str | None = None
    """ARN of the task that it is to stand in for: an unhealthy one, or one that is moved."""
    is_move: bool = False
    """It stands in for the balance of zones."""
    version: int = 1
    """ECS's counter: one up with every change that emits an event."""

    @property
    def key(self) -> str:
        return self.arn

    @property
    def is_live(self) -> bool:
        """Wanted: desired RUNNING and not STOPPED."""
        return self.desired_status is _WANTED and self.last_status is not _STOPPED

    @property
    def is_stopping(self) -> bool:
        """Told to stop, not yet stopped. This is the state that the project is about."""
        return self.desired_status is not _WANTED and self.last_status is not _STOPPED

    def is_protected(self, now: float) -> bool:
        """Its scale-in protection stands at `now` (epoch seconds)."""
        return self.protected_until is not None and now < self.protected_until


class Token(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What a `clientToken` was used for, so that a repeated call answers with the same tasks. Key: scope + token."""

    table: ClassVar[str] = "tokens"

    scope: str
    """Operation and cluster."""
    token: str
    fingerprint: str
    """Hash of the request's other members: same token, other request is a ConflictException."""
    tasks: tuple[str, ...] = ()
    failures: tuple[dict[str, Any], ...] = ()
    created_at: float = 0

    @property
    def key(self) -> str:
        return f"{self.scope} {self.token}"
