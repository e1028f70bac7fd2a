"""What a load balancer is made of: target groups, listeners, and the targets that a task has in groups.

The nouns are Elastic Load Balancing's. Source: ELB User Guide for Application Load Balancers, "Target groups",
"Health checks", "Edit target group attributes"; API reference of elbv2, `TargetGroup`, `TargetHealth`.
"""

from enum import StrEnum
from typing import ClassVar

import msgspec

from controlplane.core.record import Record
from wire.status import HealthStatus


class Protocol(StrEnum):
    """What a group and its listeners speak."""

    HTTP = "HTTP"
    TCP = "TCP"


class TargetType(StrEnum):
    """How a group finds its targets."""

    INSTANCE = "instance"
    """By the instance's address and a port of its host."""
    IP = "ip"
    """By the task's own address: network mode awsvpc."""


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The health check of a group. The defaults are those of an Application Load Balancer's group of instances."""

    path: str = "/"
    """Asked for by GET; a TCP group only connects."""
    matcher: str = "200"
    """Codes that pass: `200`, `200,202`, `200-299`."""
    interval_seconds: int = 30
    timeout_seconds: int = 5
    healthy_threshold: int = 5
    """Checks in a row that make an unhealthy target healthy; a new one needs only one."""
    unhealthy_threshold: int = 2


class TargetGroup(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A target group. Key: its ARN."""

    table: ClassVar[str] = "target_groups"

    arn: str
    name: str
    port: int = 80
    """Shown only: a task's target has the port that the task was given."""
    protocol: Protocol = Protocol.HTTP
    target_type: TargetType = TargetType.INSTANCE
    check: Check = Check()
    deregistration_delay_seconds: int = 300
    slow_start_seconds: int = 0
    """A target that has become healthy comes to its full share in so long; 0: at once."""
    propagation_seconds: float = 0
    """The proxy goes on to send requests for so long after a deregistration. Ours: AWS's own lag is not published."""
    created_at: float = 0

    @property
    def key(self) -> str:
        return self.arn

    @property
    def label(self) -> str:
        """`targetgroup/NAME/ID`: how CloudWatch and scaling policies name it."""
        return self.arn.rpartition(":")[2]


class Listener(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A port in front. Key: the port. It forwards to `group`, unless a service shifts traffic at it."""

    table: ClassVar[str] = "listeners"

    port: int
    arn: str
    group: str
    """ARN."""

    @property
    def key(self) -> str:
        return str(self.port)

    @property
    def balancer(self) -> str:
        """`app/NAME/ID` of the load balancer that it belongs to: each listener has its own."""
        return self.arn.partition(":listener/")[2].rpartition("/")[0]

    @property
    def rule(self) -> str:
        """ARN of its one rule: what `productionListenerRule` and `testListenerRule` name."""
        head, _, path = self.arn.partition(":listener/")
        return f"{head}:listener-rule/{path}/{path.rsplit('/', 1)[-1]}"


class TargetState(StrEnum):
    """How a target stands. Source: elbv2 API reference, `TargetHealth.State`."""

    WAITING = "waiting"
    """Its task does not run yet, or has no address yet. Ours: ELB does not know of it."""
    INITIAL = "initial"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"
    UNUSED = "unused"
    """Deregistered."""

    @property
    def is_registered(self) -> bool:
        """Traffic may go there, now or once it is healthy."""
        return self in {TargetState.INITIAL, TargetState.HEALTHY, TargetState.UNHEALTHY}


_HEALTH = {TargetState.HEALTHY: HealthStatus.HEALTHY, TargetState.UNHEALTHY: HealthStatus.UNHEALTHY}


class Target(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A container's port in a target group."""

    group: str
    """ARN of the target group."""
    container: str = ""
    container_port: int = 0
    address: str = ""
    port: int = 0
    """Where it is reached; "" and 0 until it is registered."""
    state: TargetState = TargetState.WAITING
    since: float = 0
    """When `state` was entered (epoch seconds)."""
    until: float | None = None
    """When draining ends."""
    reason: str = ""
    """The load balancer's own, for what is not healthy."""

    @property
    def status(self) -> HealthStatus:
        """What the scheduler makes of it."""
        return _HEALTH.get(self.state, HealthStatus.UNKNOWN)
