"""What is asked of placement. It knows nothing of what it leads to."""

from enum import StrEnum
from typing import NamedTuple

import msgspec

from controlplane.core.capabilities import NOT_INSISTED_ON
from controlplane.core.model import Service, TaskDefinition
from controlplane.core.placement.constraints import together
from controlplane.core.placement.strategies import SERVICE_DEFAULT
from controlplane.core.policy import Policy
from controlplane.core.record import following
from wire.resources import Amounts

Attribute = tuple[str, str | None]
"""Name and value; None: any value."""


class Caution(StrEnum):
    """How far the placement ledger is believed."""

    NONE = "none"
    """Free is free."""
    PREFER_EMPTY = "prefer-empty"
    """First where the room fits even if tasks that are still stopping there hold theirs; then as NONE."""
    ONLY_EMPTY = "only-empty"
    """Only where it fits so."""


class Chooser(StrEnum):
    """Who chooses among the instances that fit."""

    CLUSTERS = "clusters"
    """The cluster's scheduler: the switch `scheduler` of its policy."""
    ENGINE = "engine"
    """The engine itself, where there is nothing to choose: a daemon's place is each instance that matches."""


def caution_of(policy: Policy) -> Caution:
    """A cluster that moves waiting tasks prefers, from the start, places where nothing has to be waited for."""
    return Caution.NONE if policy.pending_lease_seconds is None else Caution.PREFER_EMPTY


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """`count` copies of one task for one cluster."""

    cluster: str
    """Name."""
    group: str
    """Spread and distinctInstance count the live tasks of this group."""
    amounts: Amounts
    count: int = 1
    strategy: tuple[dict[str, str], ...] = ()
    """Amazon's `{type, field}`, in order; empty: random (RunTask's default). Services pass `SERVICE_DEFAULT`."""
    constraints: tuple[dict[str, str], ...] = ()
    """Amazon's `{type, expression}`; `constraints.refuse` has passed them."""
    required: tuple[Attribute, ...] = ()
    """Attributes that an instance must have: a task definition's `requiresAttributes`."""
    caution: Caution = Caution.NONE
    avoid: frozenset[str] = frozenset()
    """Instances (ARN) that are not looked at."""
    only: frozenset[str] | None = None
    """Instances (ARN) that are looked at, those of a capacity provider; None: all of the cluster."""
    chooser: Chooser = Chooser.CLUSTERS


class Demand(NamedTuple):
    """What every copy of a task definition asks of an instance, whoever starts it."""

    group: str
    """That of a copy which is given no other."""
    required: tuple[Attribute, ...]
    """Its `requiresAttributes`, but for what is not insisted on."""
    constraints: tuple[dict[str, str], ...]
    """Its own."""


@following
def demand_of(definition: TaskDefinition) -> Demand:
    """Read from its registration, which has checked it."""
    required = definition.body.get("requiresAttributes", ())
    return Demand(
        f"family:{definition.family}",
        tuple((each["name"], each.get("value")) for each in required if each["name"] not in NOT_INSISTED_ON),
        together(definition.body.get("placementConstraints", ()), ()),
    )


def required_of(definition: TaskDefinition) -> tuple[Attribute, ...]:
    """Attributes that a task definition asks of an instance."""
    return demand_of(definition).required


def service_request(
    service: Service,
    definition: TaskDefinition,
    count: int,
    caution: Caution = Caution.NONE,
    avoid: frozenset[str] = frozenset(),
) -> Request:
    """`count` more tasks of a service, of the revision `definition`."""
    demand = demand_of(definition)
    return Request(
        cluster=service.cluster,
        group=f"service:{service.name}",
        amounts=definition.amounts,
        count=count,
        strategy=service.placement_strategy or SERVICE_DEFAULT,
        constraints=together(demand.constraints, service.placement_constraints),
        required=demand.required,
        caution=caution,
        avoid=avoid,
    )
