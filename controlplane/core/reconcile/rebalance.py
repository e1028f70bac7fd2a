"""Availability Zone rebalancing: in a steady state, a task starts where there are too few and one stops elsewhere.

One at a time, start first. Source: ECS Developer Guide, "Balancing an Amazon ECS service across Availability Zones".
"""

from collections import Counter

import msgspec

from controlplane.core.capacity.attachment import PROVIDER_MEMBER, instances_of, provider_of_task, terms
from controlplane.core.model import Service, Task
from controlplane.core.placement.constraints import MEMBER_OF
from controlplane.core.placement.engine import place
from controlplane.core.reconcile import events
from controlplane.core.reconcile.health import Soundness
from controlplane.core.reconcile.look import Look, floor_of
from controlplane.core.reconcile.replica import Formation
from wire.extensions import ZONE_ATTRIBUTE
from wire.status import InstanceStatus

WHOLE_PERCENT = 100
_SPREAD_OVER_ZONES = f"attribute:{ZONE_ATTRIBUTE}"


def why_not(service: Service) -> str | None:
    """What of a service's settings keeps it from being rebalanced; None: nothing."""
    if service.maximum_percent <= WHOLE_PERCENT:
        return "maximumPercent must be more than 100"
    first = next(iter(service.placement_strategy), None)
    if first is not None and (first.get("type"), first.get("field")) != ("spread", _SPREAD_OVER_ZONES):
        return f"the first placement strategy must be spread over {_SPREAD_OVER_ZONES}"
    for constraint in service.placement_constraints:
        if constraint.get("type") == MEMBER_OF and _SPREAD_OVER_ZONES in constraint.get("expression", ""):
            return f"no placement constraint may name {_SPREAD_OVER_ZONES}"
    return None


def move(look: Look, formation: Formation) -> None:
    """Take the next step: stop whom another has come for, or start one elsewhere, or say that it is done."""
    service, team = look.service, formation.teams[0]
    if not service.rebalances or why_not(service) or formation.leave or len(service.deployments) != 1:
        return
    by_arn = {task.arn: task for task in team.tasks}
    for task in team.tasks:
        former = by_arn.get(task.replaces or "") if task.is_move else None
        if former is None or not look.is_(task, Soundness.HEALTHY) or look.is_held(former):
            continue
        if not look.is_(former, Soundness.HEALTHY) or len(look.healthy) > floor_of(service):
            look.lean_on(look.healthy)
            look.tell(events.stopped_to_balance(look.service, [former], _zone(look, former) or "?"))
            look.stop([former], quietly=True)
            return
    is_at_rest = len(team.tasks) == team.wanted and all(look.is_(task, Soundness.HEALTHY) for task in team.tasks)
    if not is_at_rest or look.stopping:
        return
    counts = _counts(look, team.tasks)
    if len(counts) < 2 or max(counts.values()) - min(counts.values()) < 2:  # noqa: PLR2004 - one more is even enough
        if _is_under_way(service):
            look.tell(events.balanced(service, counts))
    elif look.room() > 0:
        _start(look, team.tasks, counts)


def _start(look: Look, tasks: list[Task], counts: dict[str, int]) -> None:
    """One task in the emptiest zone, for one of the fullest."""
    least = min(sorted(counts), key=lambda zone: counts[zone])
    most = max(sorted(counts), key=lambda zone: counts[zone])
    former = look.choose([task for task in tasks if _zone(look, task) == most and not look.is_held(task)], 1)
    if not former:
        return
    if not _is_under_way(look.service):
        look.tell(events.unbalanced(look.service, counts))
    newest = look.service.deployments[0]
    instances = look.draft.instances(look.service.cluster)
    elsewhere = frozenset(i.arn for i in instances if i.attribute(ZONE_ATTRIBUTE) != least) | look.kept_free()
    name = provider_of_task(former[0])
    each = terms(look.draft, name, look.service.cluster) if name else None
    request = look.request(newest, 1, avoid=elsewhere)
    if each is not None:
        request = msgspec.structs.replace(request, only=instances_of(look.draft, each))
    placed = place(look.draft, request, look.dice).placed
    if not placed:
        look.say(events.unplaced_to_balance(look.service, least))
        return
    body = {PROVIDER_MEMBER: name} if name else {}
    started = look.create(newest, placed[0], body, replaces=former[0])
    look.draft.put(msgspec.structs.replace(started, is_move=True))
    look.tell(events.started_to_balance(look.service, [started], least))
    look.read()


def _counts(look: Look, tasks: list[Task]) -> dict[str, int]:
    """Tasks in each zone that has an ACTIVE instance."""
    zones = {
        instance.attribute(ZONE_ATTRIBUTE) or ""
        for instance in look.draft.instances(look.service.cluster)
        if instance.status is InstanceStatus.ACTIVE
    }
    found = Counter(_zone(look, task) for task in tasks)
    return {zone: found[zone] for zone in zones if zone}


def _zone(look: Look, task: Task) -> str | None:
    instance = look.draft.instance(task.instance) if task.instance else None
    return None if instance is None else instance.attribute(ZONE_ATTRIBUTE)


def _is_under_way(service: Service) -> bool:
    """Whether people were told of an imbalance, and not yet of its end."""
    for event in service.events:
        if "is not AZ balanced with" in event.message:
            return True
        if "is AZ balanced with" in event.message:
            return False
    return False
