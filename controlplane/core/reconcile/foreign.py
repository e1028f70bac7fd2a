"""A scheduler of one's own moves a service: its `reconcile(service, view, now) -> Plan` in the place of ours.

Its plan is read as what it wants, tasks to start and tasks to stop, and our own hands carry that out; whatever else is
in it is a reason to refuse it whole, with one sentence. So no record can be forged and no instance over-committed.
Floor, ceiling, back-off and scale-in protection are the scheduler's own business then: nothing here looks at them. What
becomes of the deployment (steady, completed, failed) stays with `course`.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from controlplane.core import lifecycle
from controlplane.core.capacity import launching
from controlplane.core.capacity.attachment import PROVIDER_MEMBER, instances_of, terms
from controlplane.core.lifecycle import NewTask
from controlplane.core.model import Deployment, Service, Task
from controlplane.core.placement import custom
from controlplane.core.placement.field import Field
from controlplane.core.plan import Key, Plan
from controlplane.core.reconcile.events import Sentence
from controlplane.core.reconcile.look import STARTS_PER_STEP_MAX, Look, definition_of
from controlplane.core.tables import BY_TABLE
from controlplane.core.view import Draft
from wire.status import StopCode
from wire.story import Kind

AGAIN_SECONDS = 30.0
"""It is asked whenever something changes that its service may care for, and after so long at the latest."""

Reconcile = Callable[[Service, "Proposal", float], Plan]


class Refused(Exception):
    """The plan is not carried out; the message ends the sentence "the plan of the scheduler NAME ..."."""


class Start(NamedTuple):
    """One more task of a deployment on an instance (ARN); None: where the service's strategy finds room."""

    deployment: Deployment
    instance: str | None


class Stop(NamedTuple):
    """No more of a task."""

    task: Task
    reason: str


class Proposal(Draft):
    """The view that the scheduler reads, and a draft of its own to write its plan in: `start`, `stop`, then `plan`."""

    def __init__(self, look: Look) -> None:
        super().__init__(look.draft, now=look.draft.now, cause=look.draft.cause)
        self._service, self._names = look.service, look.names

    def start(self, instance: str | None = None, deployment: Deployment | None = None) -> Task:
        """One more task on an instance (ARN), of the newest deployment unless another is named.

        Without an instance it goes where the service's capacity provider strategy and placement find room; with
        managed scaling it may wait for that.
        """
        if instance is not None and self.instance(instance) is None:
            raise Refused(f"starts a task on {instance}, which is no instance of the cluster")
        deployment = deployment or self._service.deployments[0]
        new = NewTask(
            cluster=self._service.cluster,
            group=f"service:{self._service.name}",
            instance=instance,
            service=self._service.arn,
            deployment=deployment.id,
        )
        return lifecycle.create(self, definition_of(self, deployment), new, self._names)

    def stop(self, task: Task, reason: str = "") -> Task:
        """Want a task of the service STOPPED. Its room is free at once where the cluster's policy says so."""
        return lifecycle.request_stop(self, task, stop_code=StopCode.SERVICE_SCHEDULER_INITIATED, reason=reason)


def reconcile_of(look: Look) -> Reconcile | None:
    """That of the cluster's scheduler; None where ours moves the service."""
    found: Reconcile | None = getattr(custom.installed.get(look.policy.scheduler), "reconcile", None)
    return found


def move(look: Look, reconcile: Reconcile) -> None:
    """Ask it, and carry out what it wants; a plan that is refused changes nothing."""
    look.times.append(look.draft.now + AGAIN_SECONDS)
    try:
        starts, stops = _read(look, _asked(look, reconcile))
        _require_room(look, starts, stops)
    except Refused as refused:
        sentence = f"the plan of the scheduler {look.policy.scheduler} {refused}"
        if look.say(Sentence(f"(service {look.service.name}) {sentence}.")):
            look.draft.tell(Kind.PLAN_REFUSED, look.service.arn, why=sentence)
        return
    for stop in stops:
        look.stop([stop.task], reason=stop.reason, quietly=True)
    for start in starts:
        if start.instance is not None:
            look.create(start.deployment, start.instance, _provider(look, start))
    look.read()
    for id_, count in Counter(start.deployment.id for start in starts if start.instance is None).items():
        look.start(next(each for each in look.service.deployments if each.id == id_), count)


def _asked(look: Look, reconcile: Reconcile) -> Plan:
    try:
        plan = reconcile(look.service, Proposal(look), look.draft.now)
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"is missing: it broke: {type(error).__name__}: {error}") from error
    if not isinstance(plan, Plan):
        raise Refused(f"is no Plan but {type(plan).__name__}")
    return plan


def _read(look: Look, plan: Plan) -> tuple[list[Start], list[Stop]]:
    _lean_on(look, plan.expected)
    for table, key in plan.deletes:
        raise Refused(f"deletes {key} of {table}, which is not its to delete")
    starts: list[Start] = []
    stops: list[Stop] = []
    for record in plan.puts:
        if not isinstance(record, Task):
            raise Refused(f"changes {record.key} of {record.table}, and may change nothing but tasks")
        before = look.draft.task(record.arn)
        if {record.service, (before or record).service} != {look.service.arn}:
            raise Refused(f"touches {record.arn}, which is no task of this service")
        if before is None:
            starts.append(_start(look.service, record))
        elif before.is_live and not record.is_live:
            stops.append(Stop(before, record.stopped_reason or ""))
        elif before != record:
            raise Refused(f"changes {record.arn} otherwise than by stopping it")
    if len(starts) > STARTS_PER_STEP_MAX:
        raise Refused(f"starts {len(starts)} tasks at once, more than {STARTS_PER_STEP_MAX}")
    return starts, stops


def _lean_on(look: Look, expected: dict[Key, int]) -> None:
    """What the scheduler has leaned on must be unchanged at the commit too."""
    for (table, key), revision in expected.items():
        if look.draft.revision_of((table, key)) != revision:
            raise Refused(f"was made from a view that is gone: {key} of {table} has changed")
        record = look.draft.record(BY_TABLE[table], key) if table in BY_TABLE else None
        if record is not None:
            look.draft.expect(record)


def _start(service: Service, task: Task) -> Start:
    deployment = next((each for each in service.deployments if each.id == task.deployment), None)
    if deployment is None:
        raise Refused(f"starts a task of the deployment {task.deployment}, which this service has not")
    if not task.is_live:
        raise Refused("starts a task that is not wanted")
    return Start(deployment, task.instance)


def _provider(look: Look, start: Start) -> dict[str, str]:
    """What a task says of its capacity provider: that of its instance, which the service's strategy must name."""
    names = [item["capacityProvider"] for item in launching.strategy_of(look.service, start.deployment)]
    for name in names:
        each = terms(look.draft, name, look.service.cluster)
        if each is not None and start.instance in instances_of(look.draft, each):
            return {PROVIDER_MEMBER: name}
    if names:
        raise Refused(
            f"starts a task on {start.instance}, which is of no capacity provider of the service ({', '.join(names)})"
        )
    return {}


def _require_room(look: Look, starts: list[Start], stops: list[Stop]) -> None:
    """Every look of placement, as if its stops had been asked for; the commit looks at the room again."""
    trial = Proposal(look)
    for task, reason in stops:
        trial.stop(task, reason)
    for start in starts:
        deployment, instance = start
        if instance is None:
            continue
        _provider(look, start)
        field = Field(trial, look.request(deployment, 1))
        index = next((nth for nth, each in enumerate(field.instances) if each.arn == instance), None)
        if index is None or not field.looked_at[index]:
            raise Refused(f"starts a task on {instance}, which is no instance of the cluster")
        refusal = field.refusal(index)
        if refusal is not None:
            raise Refused(f"starts a task on {instance}, which says {refusal.reason}: it lacks {refusal.lacks}")
        trial.start(instance, deployment)
