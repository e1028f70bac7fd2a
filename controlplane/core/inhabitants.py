"""What keeps a cluster from being deleted: asked by the one who deletes it, and again at the commit.

Source: API reference, `DeleteCluster` and its errors.
"""

from collections.abc import Iterable
from enum import StrEnum

from controlplane.core.capacity.model import CapacityProvider
from controlplane.core.model import Instance, Service, Task
from controlplane.core.record import Record
from wire.status import InstanceStatus, TaskStatus


class Inhabitants(StrEnum):
    """The kinds, by the names that AWS's exceptions have for them, in the order in which they are looked for."""

    CONTAINER_INSTANCES = "ContainerInstances"
    SERVICES = "Services"
    TASKS = "Tasks"
    CAPACITY_PROVIDER = "CapacityProvider"


STANDING = frozenset({InstanceStatus.ACTIVE, InstanceStatus.DRAINING})
"""Statuses of instances that count as registered."""


def kind_of(record: Record, cluster: str) -> Inhabitants | None:
    """As what `record` lives in the cluster (name); None where it does not, or not any more."""
    match record:
        case Instance() if record.cluster == cluster and record.status in STANDING:
            return Inhabitants.CONTAINER_INSTANCES
        case Service() if record.cluster == cluster and record.status != "INACTIVE":
            return Inhabitants.SERVICES
        case Task() if record.cluster == cluster and record.last_status is not TaskStatus.STOPPED:
            return Inhabitants.TASKS
        case CapacityProvider() if record.cluster == cluster and record.status == "ACTIVE":
            return Inhabitants.CAPACITY_PROVIDER
    return None


def first_kind(records: Iterable[Record], cluster: str) -> Inhabitants | None:
    """The first of the kinds that still live in the cluster (name); None where it is empty."""
    kinds = {kind_of(record, cluster) for record in records}
    return next((kind for kind in Inhabitants if kind in kinds), None)


KINDS: tuple[type[Record], ...] = (Instance, Service, Task, CapacityProvider)
