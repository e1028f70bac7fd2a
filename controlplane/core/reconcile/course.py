"""The course of a deployment: failures are counted, breaker and alarms judged, its end is seen.

Source: ECS Developer Guide, "Deployment circuit breaker", "Deployment alarms", "Rolling update deployments".
"""

import msgspec

from controlplane.core.model import Deployment
from controlplane.core.reconcile import (
    blocks,
    breaker,
    deployments,
    events,
    failures,
    hooks,
    rollout,
    stages,
    throttle,
    unhealthy,
)
from controlplane.core.reconcile.deployments import Cause
from controlplane.core.reconcile.health import Soundness
from controlplane.core.reconcile.look import Look
from controlplane.core.reconcile.replica import Formation, is_steady, shares
from controlplane.core.rollouts import MINUTE_SECONDS, Cleanup, Monitor, RolloutStatus, ServiceDeployment, Stage


def current(look: Look) -> ServiceDeployment | None:
    """The service deployment that is under way; None where none is."""
    course = look.draft.record(ServiceDeployment, look.service.current)
    return course if course is not None and not course.status.is_over else None


def take_in(look: Look) -> None:
    """Count what has failed since the last look, and judge the deployment by it; part who was paired and is well."""
    pairs = [(task, look.sound[task.arn]) for task in look.live]
    look.service, turned = failures.mark_unhealthy(look.draft, look.service, pairs, look.names)
    newest, *others = look.service.deployments
    for task_set in others if newest.task_set is not None else ():
        _count(look, task_set, turned[task_set.id])
    seen = _count(look, newest, turned[newest.id])
    course = current(look)
    if course is not None:
        own = failures.own_tasks(newest, look.tasks)
        course = failures.count_for_breaker(look.draft, deployments.start(look.draft, course), own, seen)
        _judge(look, course)
    look.read()
    unhealthy.part(look)


def _count(look: Look, deployment: Deployment, unhealthy: int) -> failures.Seen:
    own = failures.own_tasks(deployment, look.tasks)
    healthy = sum(look.is_(task, Soundness.HEALTHY) for task in own)
    look.service, seen = failures.count(look.draft, look.service, deployment, own, unhealthy=unhealthy, healthy=healthy)
    return seen


def _judge(look: Look, course: ServiceDeployment) -> None:
    if course.status is RolloutStatus.ROLLBACK_REQUESTED:
        look.service = deployments.fail(look.draft, look.service, course, Cause.STOPPED, look.names)
        return
    if course.breaker is not Monitor.DISABLED and breaker.has_tripped(course, look.service, look.policy):
        limit = breaker.threshold(course.settings.breaker, look.service.desired_count, look.policy)
        course = msgspec.structs.replace(course, breaker_threshold=limit)
        look.service = deployments.fail(look.draft, look.service, course, Cause.BREAKER, look.names)
        return
    ringing = breaker.ringing(course, look.draft) if course.alarms is Monitor.MONITORING else ()
    if ringing and not course.is_rolling_back:
        course = msgspec.structs.replace(course, triggered_alarms=ringing)
        look.service = deployments.fail(look.draft, look.service, course, Cause.ALARM, look.names)


def finish(look: Look, formation: Formation) -> None:
    """Bring the deployments up to date, complete the newest where it is done, say what is to be said."""
    counts = shares(look, formation)
    look.service = rollout.advance(look.draft, look.service, look.tasks, counts)
    course = current(look)
    if course is not None and stages.has_stages(course):
        course = stages.go_on(look, formation, course)
    primary = look.service.deployments[0]
    steady = is_steady(look, formation)
    if primary.rollout_state == "IN_PROGRESS" and _is_done(look, formation, steady=steady):
        if course is None or _has_baked(look, course):
            look.service = deployments.complete(look.draft, look.service, current(look), look.names)
    elif course is not None and course.baking_since is not None:
        look.draft.put(msgspec.structs.replace(course, baking_since=None))
    if steady and len(look.service.deployments) == 1 and primary.rollout_state != "FAILED":
        look.say(events.steady(look.service))
    _tell_trouble(look, formation)


def _tell_trouble(look: Look, formation: Formation) -> None:
    primary = look.service.deployments[0]
    if blocks.is_deadlocked(look, formation):
        look.say(events.deadlocked(look.service), since=primary.created_at)
    blocks.tell_protected(look, formation)
    if throttle.is_impaired(primary, look.service.desired_count):
        look.say(events.impaired(look.service))
    course = current(look)
    if course is not None:
        blocks.watch(look, formation, course)


def _is_done(look: Look, formation: Formation, *, steady: bool) -> bool:
    """Whether the newest deployment has succeeded, but for its bake time."""
    course = current(look)
    is_whole = steady and len(look.service.deployments) == 1
    if course is not None and stages.has_stages(course) and course.stage is not Stage.CLEAN_UP:
        return False
    if course is not None and stages.is_staged(course):
        return is_whole
    if is_whole:
        return True
    early = course.settings.early_success if course is not None else None
    if early is None or not early.is_enabled:
        return False
    newest = formation.teams[0]
    needed = max(min(1, newest.wanted), -(-newest.wanted * early.healthy_percent // 100))
    healthy = sum(look.is_(task, Soundness.HEALTHY) for task in newest.tasks)
    return healthy >= needed and (early.cleanup is Cleanup.DEFERRED or not formation.leave)


def _has_baked(look: Look, course: ServiceDeployment) -> bool:
    """Whether nothing is to be waited for any more: hooks on the way back, else the bake time, which begins now."""
    if course.is_rolling_back:
        course = hooks.expire(look, course)
        return not any(run.status in hooks.OPEN for run in hooks.here(course))
    bake_seconds = course.settings.bake_minutes * MINUTE_SECONDS
    if not bake_seconds or stages.is_staged(course):
        return True
    if course.baking_since is None:
        look.draft.put(msgspec.structs.replace(course, baking_since=look.draft.now))
    since = look.draft.now if course.baking_since is None else course.baking_since
    look.times.append(since + bake_seconds)
    return look.draft.now >= since + bake_seconds
