"""Every kind of record that a store keeps, by table."""

from controlplane.core.capacity.model import CapacityProvider, Group, Machine, Scaler
from controlplane.core.model import (
    AccountSetting,
    Cluster,
    Family,
    Instance,
    Rule,
    Service,
    Task,
    TaskDefinition,
    Token,
)
from controlplane.core.record import Record
from controlplane.core.rollouts import Alarm, ServiceDeployment, ServiceRevision

RECORDS: tuple[type[Record], ...] = (
    Cluster,
    CapacityProvider,
    AccountSetting,
    Family,
    TaskDefinition,
    Instance,
    Service,
    ServiceRevision,
    ServiceDeployment,
    Alarm,
    Task,
    Token,
    Group,
    Machine,
    Scaler,
    Rule,
)
BY_TABLE = {record.table: record for record in RECORDS}
