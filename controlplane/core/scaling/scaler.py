"""One look at one service that may be scaled: its policies over what was measured, the change, and the reason told.

The count is changed as UpdateService changes it; which tasks then start or stop, and which are protected, is for the
service scheduler. Source: Application Auto Scaling User Guide, "Scaling activities"; ECS Developer Guide,
"Automatically scale your Amazon ECS service" (no scale-in while a deployment is in progress).
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from controlplane.core.model import Controller, Service
from controlplane.core.names import Names
from controlplane.core.reconcile import events
from controlplane.core.rollouts import Alarm
from controlplane.core.scaling import decision
from controlplane.core.scaling.decision import Act, Bounds, Memory, Pause, Verdict, Want
from controlplane.core.scaling.metrics import SPARE_PERIODS, Book, Statistic, recent
from controlplane.core.scaling.model import (
    Activity,
    Comparison,
    MetricAlarm,
    ScalableTarget,
    ScalingActivity,
    ScalingPolicy,
    ScheduledAction,
    Status,
)
from controlplane.core.view import Draft, View
from wire.status import TaskStatus
from wire.story import Kind

ACTIVITIES_MAX = 100
"""Of one target; the oldest go first. AWS keeps those of six weeks."""


class Minute(msgspec.Struct, frozen=True):
    """The minute that has just ended, on a clock that runs `scale` times as fast as the wall's."""

    number: int
    scale: float


def look(draft: Draft, target: ScalableTarget, book: Book, minute: Minute, names: Names) -> Verdict | None:
    """Look at one target; None where it has no policy, or its service no tasks to count."""
    service = draft.service(target.service)
    policies = policies_of(draft, target)
    if service is None or service.status != "ACTIVE" or not policies:
        return None
    bounds = Bounds(current=service.desired_count, minimum=target.minimum, maximum=target.maximum)
    wants = [want for policy in policies for want in _wants(draft, policy, book, bounds, minute)]
    verdict = decision.choose(wants, bounds, pause=_pause(service, target), is_out_suspended=target.is_out_suspended)
    _tell(draft, target, bounds, verdict, wants)
    if verdict.act is not Act.NONE:
        _remember(draft, target, verdict, bounds)
        change(draft, target, verdict.desired, reason=_cause(verdict), names=names)
    elif verdict.bound:
        _note_bound(draft, target, verdict, bounds, names)
    return verdict


def change(draft: Draft, target: ScalableTarget, desired: int, *, reason: str, names: Names) -> None:
    """Set the desired count of a target's service, as an activity with this `reason` (AWS's `Cause`)."""
    service = draft.service(target.service)
    assert service is not None, f"{target.service} is not there"
    scaled = msgspec.structs.replace(service, desired_count=desired)
    events.tell(draft, scaled, events.rescaled(scaled), names)
    for activity in activities_of(draft, target.resource):
        if activity.status is Status.IN_PROGRESS:
            draft.put(msgspec.structs.replace(activity, status=Status.OVERRIDDEN, ended_at=draft.now))
    description = f"Setting desired count to {desired}."
    message = f"Successfully set desired count to {desired}. Waiting for change to be fulfilled by ecs."
    _record(draft, target, description=description, reason=reason, desired=desired, message=message, names=names)


def keep_within(draft: Draft, target: ScalableTarget, *, reason: str, names: Names) -> None:
    """Bring a service within new bounds of its target at once."""
    service = draft.service(target.service)
    if service is None or service.status != "ACTIVE":
        return
    bounds = Bounds(current=service.desired_count, minimum=target.minimum, maximum=target.maximum)
    desired = decision.within(bounds)
    if desired != bounds.current:
        change(draft, target, desired, reason=reason, names=names)


def settle(draft: Draft) -> None:
    """Activities whose count runs are successful; targets whose service has gone are deregistered."""
    targets = {target.resource: target for target in draft.records(ScalableTarget)}
    for activity in list(draft.records(ScalingActivity)):
        target = targets.get(activity.resource)
        service = draft.service(target.service) if target is not None else None
        if activity.status is not Status.IN_PROGRESS:
            continue
        if service is None:
            draft.put(msgspec.structs.replace(activity, status=Status.OVERRIDDEN, ended_at=draft.now))
            continue
        live = [task for task in draft.tasks_of(service.arn) if task.is_live]
        if len(live) == activity.desired and all(task.last_status is TaskStatus.RUNNING for task in live):
            message = f"Successfully set desired count to {activity.desired}. Change successfully fulfilled by ecs."
            done = msgspec.structs.replace(activity, status=Status.SUCCESSFUL, message=message, ended_at=draft.now)
            draft.put(done)
    for target in targets.values():
        if has_gone(draft, target):
            deregister(draft, target)


def has_gone(view: View, target: ScalableTarget) -> bool:
    """Its service was deleted."""
    service = view.service(target.service)
    return service is None or service.status == "INACTIVE"


def deregister(draft: Draft, target: ScalableTarget) -> None:
    """A target goes with its policies and scheduled actions."""
    for policy in policies_of(draft, target):
        draft.delete(policy)
    for action in [action for action in draft.records(ScheduledAction) if action.resource == target.resource]:
        draft.delete(action)
    draft.delete(target)


def ring(draft: Draft, alarm: MetricAlarm, book: Book, minute: Minute) -> None:
    """Set an alarm by its datapoints.

    Where there are too few it stays as it was; where there never was one, as somebody has set it; where none comes any
    more it is silent (CloudWatch: INSUFFICIENT_DATA).
    """
    rings = _rings(alarm, book, minute)
    known = draft.record(Alarm, alarm.name)
    if rings is None or (known is not None and known.is_ringing == rings):
        return
    draft.put(Alarm(name=alarm.name, is_ringing=rings, updated_at=draft.now))
    draft.tell(Kind.ALARM, alarm.name, ringing=rings)


def policies_of(view: View, target: ScalableTarget) -> list[ScalingPolicy]:
    """Policies of a target, by name."""
    found = [policy for policy in view.records(ScalingPolicy) if policy.resource == target.resource]
    return sorted(found, key=lambda policy: policy.name)


def activities_of(view: View, resource: str) -> list[ScalingActivity]:
    """Activities of a resource (its id), the newest first."""
    found = [activity for activity in view.records(ScalingActivity) if activity.resource == resource]
    return sorted(found, key=lambda activity: (activity.started_at, activity.id), reverse=True)


def _wants(draft: Draft, policy: ScalingPolicy, book: Book, bounds: Bounds, minute: Minute) -> Iterator[Want]:
    memory = Memory.of(policy.last_out, policy.last_in, now=draft.now, scale=minute.scale)
    if policy.tracking is not None:
        rule = policy.tracking
        seen = book.datapoints(rule.metric, rule.statistic, newest=minute.number, count=decision.POINTS_MAX)
        yield decision.track(policy.name, rule, seen, bounds, memory, alarms=policy.alarms)
        return
    assert policy.stepping is not None, f"{policy.key} has no rule"
    ringing = [
        alarm for alarm in draft.records(MetricAlarm) if policy.arn in alarm.policies and _is_ringing(draft, alarm)
    ]
    for alarm in ringing:
        newest = recent(_datapoints(alarm, book, minute), 1)
        yield decision.step(
            policy.name,
            policy.stepping,
            newest[-1] - alarm.threshold if newest else 0.0,
            bounds,
            memory,
            alarm=alarm.name,
            is_below=alarm.comparison.is_below,
        )
    if not ringing:
        yield Want(policy=policy.name, why="none of its alarms rings")


def _rings(alarm: MetricAlarm, book: Book, minute: Minute) -> bool | None:
    newest = recent(_datapoints(alarm, book, minute), alarm.periods)
    if not newest and book.knows(alarm.metric):
        return False
    if len(newest) < alarm.periods:
        return None
    return sum(1 for value in newest if _breaches(alarm, value)) >= alarm.breaches


def _datapoints(alarm: MetricAlarm, book: Book, minute: Minute) -> list[float | None]:
    count = alarm.periods + SPARE_PERIODS
    whole = minute.number - (minute.number + 1) % alarm.minutes  # a period ends where its minutes do
    return book.datapoints(alarm.metric, Statistic(alarm.statistic), newest=whole, count=count, minutes=alarm.minutes)


def _breaches(alarm: MetricAlarm, value: float) -> bool:
    match alarm.comparison:
        case Comparison.ABOVE:
            return value > alarm.threshold
        case Comparison.ABOVE_OR_AT:
            return value >= alarm.threshold
        case Comparison.BELOW:
            return value < alarm.threshold
        case Comparison.BELOW_OR_AT:
            return value <= alarm.threshold


def _is_ringing(view: View, alarm: MetricAlarm) -> bool:
    known = view.record(Alarm, alarm.name)
    return known is not None and known.is_ringing


def _pause(service: Service, target: ScalableTarget) -> Pause:
    if target.is_in_suspended:
        return Pause.SUSPENDED
    is_rolling = any(deployment.rollout_state == "IN_PROGRESS" for deployment in service.deployments)
    if service.controller is Controller.ECS and is_rolling:
        return Pause.DEPLOYMENT
    return Pause.NONE


def _remember(draft: Draft, target: ScalableTarget, verdict: Verdict, bounds: Bounds) -> None:
    """The policy that acted cools down. A scale-out ends what is left of the cooldown of a scale-in."""
    policy = draft.record(ScalingPolicy, f"{target.resource} {verdict.policy}")
    assert policy is not None, f"{verdict.policy} has decided and is not there"
    done = Activity(at=draft.now, before=bounds.current)
    if verdict.act is Act.OUT:
        draft.put(msgspec.structs.replace(policy, last_out=done, last_in=None))
    else:
        draft.put(msgspec.structs.replace(policy, last_in=done))


def _cause(verdict: Verdict) -> str:
    return f"monitor alarm {verdict.alarm} in state ALARM triggered policy {verdict.policy}"


def _note_bound(draft: Draft, target: ScalableTarget, verdict: Verdict, bounds: Bounds, names: Names) -> None:
    """An activity that did not come about; told once, until something else has happened."""
    reason = _cause(verdict)
    newest = next(iter(activities_of(draft, target.resource)), None)
    if newest is not None and newest.not_scaled and newest.reason == reason:
        return
    limit = {"MaxCapacity": bounds.maximum} if "Max" in verdict.bound else {"MinCapacity": bounds.minimum}
    _record(
        draft,
        target,
        description="Attempting to scale due to alarm triggered",
        reason=reason,
        desired=bounds.current,
        message=f"The desired count stays at {bounds.current}.",
        names=names,
        not_scaled=({"Code": verdict.bound, "CurrentCapacity": bounds.current, **limit},),
    )


def _record(
    draft: Draft,
    target: ScalableTarget,
    *,
    description: str,
    reason: str,
    desired: int,
    message: str,
    names: Names,
    not_scaled: tuple[dict[str, Any], ...] = (),
) -> None:
    for old in activities_of(draft, target.resource)[ACTIVITIES_MAX - 1 :]:
        draft.delete(old)
    draft.put(
        ScalingActivity(
            id=names.uuid(),
            resource=target.resource,
            description=description,
            reason=reason,
            desired=desired,
            status=Status.FAILED if not_scaled else Status.IN_PROGRESS,
            message=message,
            not_scaled=not_scaled,
            started_at=draft.now,
            ended_at=draft.now if not_scaled else None,
        )
    )


def _tell(draft: Draft, target: ScalableTarget, bounds: Bounds, verdict: Verdict, wants: list[Want]) -> None:
    draft.tell(
        Kind.SERVICE_SCALING,
        target.service,
        act=verdict.act,
        before=bounds.current,
        desired=verdict.desired,
        minimum=bounds.minimum,
        maximum=bounds.maximum,
        why=verdict.why,
        policies=[{"policy": want.policy, "act": want.act, "why": want.why} for want in wants],
    )
