"""Every kind of record that a store keeps, by table."""

from controlplane.core.accounts import AccountSetting
from controlplane.core.balancing.records import Listener, TargetGroup
from controlplane.core.capacity.model import CapacityProvider, Group, Machine, Scaler
from controlplane.core.model import Cluster, Family, Instance, Service, Task, TaskDefinition, Token
from controlplane.core.record import Record
from controlplane.core.rollouts import Alarm, ServiceDeployment, ServiceRevision
from controlplane.core.rules import Rule
from controlplane.core.scaling.model import RECORDS as SCALING_RECORDS

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
    TargetGroup,
    Listener,
    *SCALING_RECORDS,
)
BY_TABLE = {record.table: record for record in RECORDS}
