"""PROVISIONING: tasks that wait for an instance of their capacity provider, placed as room appears.

They exist only where managed scaling can answer; elsewhere what does not fit is a failure at once. Oldest first;
equal ones are placed together. Source: AWS containers blog, "Deep dive on Amazon ECS cluster auto scaling"; ECS
Developer Guide, "Service quotas" (500).
"""

from collections.abc import Iterator

import msgspec

from controlplane.core import lifecycle
from controlplane.core.capacity.attachment import Terms, instances_of, is_attached, provider_of_task, terms
from controlplane.core.capacity.occupancy import policy_of
from controlplane.core.capacity.pace import Pace
from controlplane.core.model import Service, Task, TaskDefinition
from controlplane.core.names import Dice, Names
from controlplane.core.placement import explain
from controlplane.core.placement.engine import Outcome, place
from controlplane.core.placement.request import Caution, Request, required_of, service_request
from controlplane.core.reconcile import events
from controlplane.core.task_lines import tell_status
from controlplane.core.view import Draft, View
from wire.status import StopCode, TaskStatus

PROVISIONING_MAX = 500
"""Of one cluster."""
PLACED_MAX = 100
"""Tasks that one look places: one plan stays small."""


def room(view: View, cluster: str) -> int:
    """How many more tasks of a cluster (name) may be PROVISIONING."""
    return max(0, PROVISIONING_MAX - len(waiting(view, cluster)))


def waiting(view: View, cluster: str) -> list[Task]:
    """The tasks of a cluster (name) that wait for an instance, oldest first."""
    tasks = (t for t in view.tasks(cluster) if t.last_status is TaskStatus.PROVISIONING and t.instance is None)
    return sorted(tasks, key=lambda task: task.created_at)


def may_wait(view: View, provider: str, cluster: str) -> Terms | None:
    """The terms of a provider (name) whose tasks may wait in PROVISIONING; None where they may not."""
    each = terms(view, provider, cluster)
    return each if each is not None and each.scales and is_attached(view, each) else None


def look(draft: Draft, cluster: str, *, names: Names, dice: Dice, pace: Pace) -> float | None:
    """Place what fits, stop what has waited too long. Returns when the next one has (epoch seconds)."""
    limit = pace.wall(policy_of(draft, cluster).provisioning_seconds)
    placed = 0
    for batch in _batches(waiting(draft, cluster)):
        outcome = place(draft, _request(draft, batch), dice)
        started = [_place(draft, task, instance) for task, instance in zip(batch, outcome.placed, strict=False)]
        service = draft.record(Service, batch[0].service) if batch[0].service else None
        if service is not None and started:
            events.started(draft, service, started, names)
        placed += len(outcome.placed)
        for task in batch[len(outcome.placed) :]:
            if draft.now - task.created_at >= limit:
                _give_up(draft, task, outcome)
        if placed >= PLACED_MAX:
            return draft.now
    left = waiting(draft, cluster)
    return min((task.created_at + limit for task in left), default=None)


def _batches(tasks: list[Task]) -> Iterator[list[Task]]:
    """Neighbours that are placed by one request."""
    batches: dict[tuple[object, ...], list[Task]] = {}
    for task in tasks:
        rules = str(task.body.get("placementConstraints", ())) + str(task.body.get("placementStrategy", ()))
        key = (task.group, task.task_definition, task.amounts, task.service, provider_of_task(task), rules)
        batches.setdefault(key, []).append(task)
    for batch in batches.values():
        yield batch[:PLACED_MAX]


def _request(view: View, batch: list[Task]) -> Request:
    first = batch[0]
    service = view.record(Service, first.service) if first.service else None
    name = provider_of_task(first)
    each = terms(view, name, first.cluster) if name else None
    definition = view.record(TaskDefinition, first.task_definition)
    assert definition is not None, f"{first.task_definition} is in use and gone"
    # Where waiting tasks are moved, one that waits must not go back to where it would wait again.
    leases = policy_of(view, first.cluster).pending_lease_seconds is not None
    caution = Caution.ONLY_EMPTY if leases else Caution.NONE
    only = instances_of(view, each) if each else frozenset()
    if service is not None:
        wanted = service_request(service, definition, len(batch), caution)
        return msgspec.structs.replace(wanted, amounts=first.amounts, only=only)
    return Request(
        cluster=first.cluster,
        group=first.group,
        amounts=first.amounts,
        count=len(batch),
        strategy=tuple(first.body.get("placementStrategy", ())),
        constraints=tuple(first.body.get("placementConstraints", ())),
        required=required_of(definition),
        caution=caution,
        only=only,
    )


def _place(draft: Draft, task: Task, instance: str) -> Task:
    """The task has its instance (ARN): PENDING, and its room is held."""
    assert task.is_live, f"{task.arn} is not wanted"
    pending = msgspec.structs.replace(task, last_status=TaskStatus.PENDING, version=task.version + 1)
    placed = draft.begin_hold(pending, instance, "placed")
    tell_status(draft, placed)
    return placed


def _give_up(draft: Draft, task: Task, outcome: Outcome) -> None:
    reasons = explain.tally(outcome.refusals)
    if not outcome.refusals:
        reason = "EMPTY CAPACITY PROVIDER"
    elif set(reasons) == {explain.AGENT}:
        reason = "NO ACTIVE INSTANCES"
    else:
        reason = max(reasons, key=lambda name: reasons[name])
    lifecycle.request_stop(draft, task, stop_code=StopCode.TASK_FAILED_TO_START, reason=reason)
