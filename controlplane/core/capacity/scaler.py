"""One look of managed scaling at one capacity provider: count, decide, and tell why, whatever comes of it.

The counting is here, the arithmetic in `needs`, the rules in `scaling`. It changes a group's desired capacity and
nothing else; which machines that means is `fleet`'s.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Any

import msgspec

from controlplane.core.capacity.attachment import (
    Terms,
    instance_of,
    instances_of,
    is_attached,
    machines,
    provider_of_task,
    terms,
)
from controlplane.core.capacity.model import Group, Machine, MachineState, Scaler
from controlplane.core.capacity.needs import Want, estimate, step
from controlplane.core.capacity.occupancy import occupants, policy_of
from controlplane.core.capacity.pace import Pace
from controlplane.core.capacity.scaling import METRIC_SECONDS, Act, Reading, Verdict, decide
from controlplane.core.model import Service, Task
from controlplane.core.placement.constraints import is_distinct
from controlplane.core.placement.field import is_phantom
from controlplane.core.policy import ScalerCounts
from controlplane.core.view import Draft, View
from wire.arn import short_id
from wire.instance_types import INSTANCE_TYPES
from wire.resources import RESERVED_PORTS, Amounts
from wire.status import TaskStatus
from wire.story import Kind

IGNORED_TOLD_MAX = 20
"""Tasks that one line names."""


def due_at(view: View, provider: str, pace: Pace) -> float:
    """When the next datapoint of a provider (name) is due: epoch seconds."""
    scaler = view.record(Scaler, provider)
    return scaler.looked_at + pace.wall(METRIC_SECONDS) if scaler is not None else 0.0


def look(draft: Draft, provider: str, pace: Pace) -> Verdict | None:
    """Take a datapoint and act on it. None where managed scaling of the provider is off."""
    each = terms(draft, provider)
    if each is None or not each.scales or not is_attached(draft, each):
        return None
    group = draft.record(Group, each.group)
    assert group is not None
    draft.expect(group)
    scaler = draft.record(Scaler, provider) or Scaler(provider=provider)
    count = _Count(draft, each, group)
    verdict = decide(each.tracking, count.reading(scaler, pace), scaler.low_points)
    draft.put(
        msgspec.structs.replace(
            scaler,
            looked_at=draft.now,
            low_points=verdict.low_points,
            scaled_out_at=draft.now if verdict.act is Act.OUT else scaler.scaled_out_at,
        )
    )
    id_ = f"{provider}-{draft.now:.3f}"
    if verdict.desired != group.desired:
        draft.put(msgspec.structs.replace(group, desired=verdict.desired, cause=id_))
    draft.tell(Kind.SCALER_LOOK, group.name, id=id_, **count.told(verdict))
    return verdict


class _Count:
    """What there is at one look."""

    def __init__(self, view: Draft, each: Terms, group: Group) -> None:
        self.view = view
        self.each = each
        self.group = group
        self.machines = machines(view, group.name)
        self.running = [m for m in self.machines if m.state is MachineState.IN_SERVICE]
        self.instances = instances_of(view, each)
        tasks = [task for task in view.tasks(each.cluster) if task.last_status is not TaskStatus.STOPPED]
        self.provisioning = [
            t for t in tasks if t.last_status is TaskStatus.PROVISIONING and provider_of_task(t) == each.provider
        ]
        self.pending = [t for t in tasks if t.last_status is TaskStatus.PENDING and t.instance in self.instances]
        self.others = [t for t in tasks if t.last_status is TaskStatus.PROVISIONING and provider_of_task(t) is None]
        self.stopping = [t for t in tasks if t.is_stopping and t.instance in self.instances]
        counts = policy_of(view, each.cluster).scaler_counts
        self.blocked = [t for t in self.pending if counts is ScalerCounts.AND_PENDING and self._is_blocked(t)]
        self.waiting = self.provisioning + self.blocked
        sizes = [_size(name) for name in group.instance_types]
        self.estimate = estimate(self._wants(self.waiting), sizes)
        tracking = each.tracking
        self.added = step(self.estimate.instances, least=tracking.least_step, most=tracking.most_step)
        self.needed = len(self.running) + self.added if self.added else sum(map(self._is_occupied, self.running))

    def reading(self, scaler: Scaler, pace: Pace) -> Reading:
        """The datapoint."""
        now = self.view.now
        youngest = max((m.launched_at for m in self.machines if not m.state.is_going), default=None)
        since = scaler.scaled_out_at
        return Reading(
            needed=self.needed,
            running=len(self.running),
            desired=self.group.desired,
            minimum=self.group.minimum,
            maximum=self.group.maximum,
            youngest_seconds=None if youngest is None else pace.scaler(now - youngest),
            since_scale_out_seconds=None if since is None else pace.scaler(now - since),
            is_incompatible=bool(self.waiting) and not self.added,
        )

    def told(self, verdict: Verdict) -> dict[str, Any]:
        """The members of the line."""
        return {
            "provider": self.each.provider,
            "cluster": self.each.cluster,
            "needed": self.needed,
            "running": len(self.running),
            "percent": float(verdict.percent),
            "target": self.each.tracking.target_percent,
            "desired": verdict.desired,
            "before": self.group.desired,
            "act": verdict.act,
            "why": verdict.why,
            "provisioning": len(self.provisioning),
            "pending_counted": len(self.blocked),
            "low_points": verdict.low_points,
            "ignored": list(islice(self._ignored(), IGNORED_TOLD_MAX)),
        }

    def _ignored(self) -> Iterable[dict[str, str]]:
        """Tasks that somebody might think it counts, and why it does not."""
        too_big = {want.amounts for want in self.estimate.incompatible}
        counted = {task.arn for task in self.blocked}
        for task in self.provisioning:
            if task.amounts in too_big:
                yield _why(task, "fits no instance of the smallest type")
        for task in self.pending:
            if task.arn not in counted and self._is_blocked(task):
                yield _why(task, "PENDING, so it has its place: behind a task that is still stopping there")
            elif task.arn not in counted:
                yield _why(task, "PENDING, so it has its place")
        for task in self.stopping:
            if task.hold is None:
                yield _why(task, "stopping, its room is counted as free")
        for task in self.others:
            yield _why(task, "has no capacity provider strategy")

    def _is_blocked(self, task: Task) -> bool:
        return task.instance is not None and any(map(is_phantom, self.view.tasks_on(task.instance)))

    def _is_occupied(self, machine: Machine) -> bool:
        instance = instance_of(self.view, machine, self.each.cluster)
        return instance is not None and bool(occupants(self.view, instance))

    def _wants(self, tasks: list[Task]) -> list[Want]:
        groups = Counter((task.amounts, self._is_distinct(task)) for task in tasks)
        return [Want(amounts=amounts, count=n, is_distinct=distinct) for (amounts, distinct), n in groups.items()]

    def _is_distinct(self, task: Task) -> bool:
        service = self.view.record(Service, task.service) if task.service else None
        constraints = service.placement_constraints if service else task.body.get("placementConstraints", ())
        return is_distinct(constraints)


def _why(task: Task, why: str) -> dict[str, str]:
    return {"task": short_id(task.arn), "why": why}


def _size(name: str) -> Amounts:
    its = INSTANCE_TYPES[name]
    return Amounts(its.cpu, its.memory_mib, RESERVED_PORTS, gpus=its.gpus)
