"""Records, plans and lines for the tests of stores, and all that a reader of one can see."""

from controlplane.core.model import Cluster, Instance, Record, Task, Token
from controlplane.core.plan import Plan
from controlplane.core.state import State
from controlplane.core.view import Draft
from controlplane.store.port import Store
from wire.holds import Hold
from wire.resources import Amounts
from wire.story import StoryLine

HALF = Amounts(1024, 1024)


def token(name: str, **members: object) -> Token:
    return Token(scope="s", token=name, fingerprint="", **members)


def putting(store: Store, *records: Record, cause: str = "test") -> Plan:
    draft = Draft(store.view(), now=0, cause=cause)
    for record in records:
        draft.put(record)
    return draft.plan()


def line(nth: int) -> StoryLine:
    return StoryLine(float(nth), "test", "subject", "kind", "", {"nth": nth})


def telling(*numbers: int) -> Plan:
    return Plan(cause="", story=tuple(line(nth) for nth in numbers))


def task(name: str, *, on: str | None = None) -> Task:
    hold = Hold(name, HALF, 0, "placed") if on else None
    return Task(
        arn=name, cluster="c", task_definition="d", containers=(), amounts=HALF, group="g", instance=on, hold=hold
    )


async def with_instance(store: Store) -> None:
    instance = Instance(arn="i", cluster="c", registered=Amounts(2048, 2048))
    await store.commit(putting(store, Cluster(name="c", arn="c"), instance))


def contents(state: State) -> object:
    """All that a reader can see, in the order in which a reader sees it."""
    kinds = (Cluster, Instance, Task, Token)
    records = [record for kind in kinds for record in state.records(kind)]
    revisions = [state.revision_of((record.table, record.key)) for record in records]
    rooms = [(i.arn, state.free(i.arn), list(state.ledger(i.arn))) for i in state.records(Instance)]
    order = [[t.arn for t in state.tasks_on(i.arn)] for i in state.records(Instance)]
    return state.revision, records, revisions, rooms, order
