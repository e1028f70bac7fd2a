"""What a toy cluster is made of: its hosts, what containers do there, and services behind a load balancer."""

from dataclasses import dataclass, field

from controlplane.core.model import Release
from wire.holds import Ledger

STEPS_MAX = 500
"""Evaluations that one change may lead to before it counts as a loop."""
PORT = 8080
GROUP = "arn:tg"
BALANCED = {"loadBalancers": [{"targetGroupArn": GROUP, "containerName": "app", "containerPort": PORT}]}
"""`body` of a service whose tasks are targets."""


@dataclass
class Host:
    """An agent and its host."""

    arn: str
    release: Release
    ledger: Ledger
    queue: list[str] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)
    """Task ARN to queued, running, stopping or stopped."""


@dataclass
class Behaviour:
    """What a task's container does. Seconds."""

    starts_in: float = 0.3
    quits_in: float = 2.0
    """After TERM."""
    fails: bool = False
    """Never runs."""
