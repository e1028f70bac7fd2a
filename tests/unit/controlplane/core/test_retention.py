"""What has ended is kept for a while, and what others need as long as they need it."""

from controlplane.core import retention
from controlplane.core.capacity.model import CapacityProvider
from controlplane.core.model import Cluster, Family, Instance, Record, Service, Task, TaskDefinition
from controlplane.core.state import State
from controlplane.core.view import Draft
from wire.resources import Amounts
from wire.status import DesiredStatus, InstanceStatus, TaskStatus

HOUR = 3600.0
DEFINITION = TaskDefinition(arn="d:7", family="d", revision=7, status="DELETE_IN_PROGRESS")
ENDED: list[Record] = [
    Cluster(name="gone", arn="c", status="INACTIVE", ended_at=0),
    CapacityProvider(name="p", arn="p", status="INACTIVE", ended_at=0),
    Service(arn="s", name="s", cluster="gone", status="INACTIVE", task_definition="d:7", ended_at=0),
    Instance(arn="i", cluster="gone", status=InstanceStatus.INACTIVE, registered=Amounts(1, 1), ended_at=0),
    Task(
        arn="t",
        cluster="gone",
        task_definition="d:7",
        containers=(),
        amounts=Amounts(),
        group="g",
        instance="i",
        service="s",
        desired_status=DesiredStatus.STOPPED,
        last_status=TaskStatus.STOPPED,
        stopped_at=0.5 * HOUR,
    ),
    DEFINITION,
]
STANDING: list[Record] = [
    Cluster(name="c", arn="c"),
    CapacityProvider(name="q", arn="q"),
    TaskDefinition(arn="d:6", family="d", revision=6, status="INACTIVE"),
    Service(arn="s2", name="s2", cluster="c", task_definition="d:6"),
]


def left_after(hours: float) -> tuple[set[str], State]:
    """Sweeps as long as something goes, as the sweeper does in the course of its passes."""
    state = State()
    draft = Draft(state, now=0, cause="")
    for record in [*ENDED, *STANDING]:
        draft.put(record)
    state.apply(draft.plan(), 1)
    for revision in range(2, 9):
        draft = Draft(state, now=hours * HOUR, cause="")
        for record in retention.expired(state, draft.now):
            retention.drop(draft, record)
        if draft.plan():
            state.apply(draft.plan(), revision)
    tables = {type(record) for record in ENDED}
    return {record.key for kind in tables for record in state.records(kind)} - {r.key for r in STANDING}, state


def test_each_goes_in_its_time_and_not_before_what_leans_on_it() -> None:
    everything = {record.key for record in ENDED}
    assert left_after(0.99)[0] == everything
    assert left_after(1.4)[0] == everything - {"p"}, "the task is not old enough, and needs the rest"
    assert left_after(1.6)[0] == {"gone", "i"}, "an instance that went is told so for a day"
    assert left_after(24.1)[0] == set()


def test_what_stands_stays_and_the_highest_revision_is_remembered() -> None:
    _, state = left_after(1000)
    for record in STANDING:
        assert state.record(type(record), record.key) == record
    assert state.record(Family, "d") == Family(name="d", newest_revision=7)
