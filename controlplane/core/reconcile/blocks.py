"""Deployments that make no progress are found: who keeps whom, until when at the latest, and what a person can do.

A block is told once, when it is seen, and once when it has gone. Nothing decides by it.
"""

from enum import StrEnum

import msgspec

from controlplane.core import lifecycle
from controlplane.core.model import Task
from controlplane.core.placement.field import is_phantom
from controlplane.core.reconcile import events, throttle
from controlplane.core.reconcile.health import Soundness
from controlplane.core.reconcile.look import Look, ceiling_of, floor_of
from controlplane.core.reconcile.replica import Formation
from controlplane.core.rollouts import Block, ServiceDeployment
from wire.story import Kind

PATIENCE_SECONDS = 10.0
"""What passes by itself so soon is no block (assumed)."""


class Why(StrEnum):
    """What keeps a deployment."""

    SETTINGS = "settings"
    PROTECTION = "protection"
    STOPPING = "stopping"
    QUEUED = "queued"
    ROOM = "room"
    FAILING = "failing"


_ADVICE = {
    Why.SETTINGS: (
        "minimumHealthyPercent keeps {floor} of {desired} tasks and maximumPercent allows {ceiling}, so no task can be "
        "stopped first and none started first: lower the one or raise the other{single}."
    ),
    Why.PROTECTION: (
        "{by} old tasks are protected from scale-in: end their protection (UpdateTaskProtection), wait until it "
        "expires, or raise maximumPercent so that the new tasks need not wait."
    ),
    Why.STOPPING: (
        "{by} stopping tasks count against maximumPercent, which allows {ceiling}: raise it, shorten stopTimeout, or "
        "wait."
    ),
    Why.QUEUED: (
        "{whom} new tasks wait on their host behind {by} tasks that are still stopping: shorten stopTimeout, protect "
        "long jobs from scale-in, or let agents release room on exit."
    ),
    Why.ROOM: "{count} tasks find no instance that meets their requirements: add instances, or make the tasks smaller.",
    Why.FAILING: "Tasks of the new revision fail before they run, and are tried less and less: look at stoppedReason.",
}


def watch(look: Look, formation: Formation, rollout: ServiceDeployment) -> None:
    """Keep `rollout.block` as it is now, and tell where it has changed."""
    block = find(look, formation)
    before = rollout.block
    if block == before:
        return
    look.draft.put(msgspec.structs.replace(rollout, block=block))
    deployment = look.service.deployments[0].id
    if before is not None and (block is None or block.why != before.why):
        look.draft.tell(Kind.DEPLOYMENT_UNBLOCKED, look.service.arn, deployment=deployment, why=before.why)
    if block is not None:
        look.draft.tell(
            Kind.DEPLOYMENT_BLOCKED,
            look.service.arn,
            deployment=deployment,
            why=block.why,
            by=block.by,
            whom=block.whom,
            until=block.until,
            advice=advice(look, block),
        )


def find(look: Look, formation: Formation) -> Block | None:
    """What keeps the newest deployment now; None where it goes on, or may in a moment."""
    for look_for in (_settings, _protection, _stopping, _queued, _room, _failing):
        block = look_for(look, formation)
        if block is not None:
            return block
    return None


def advice(look: Look, block: Block) -> str:
    """One sentence: what is so, and what a person can change."""
    service = look.service
    single = " (one task alone needs minimumHealthyPercent 0 or maximumPercent 200)"
    return _ADVICE[Why(block.why)].format(
        floor=floor_of(service),
        ceiling=ceiling_of(service),
        desired=service.desired_count,
        single=single if service.desired_count == 1 else "",
        by=len(block.by),
        whom=len(block.whom),
        count=look.unplaced,
    )


def is_deadlocked(look: Look, formation: Formation) -> bool:
    """Whether floor and ceiling leave no step to take, now or ever."""
    return bool(formation.leave) and floor_of(look.service) >= ceiling_of(look.service) + look.extra_room


def _settings(look: Look, formation: Formation) -> Block | None:
    return Block(why=Why.SETTINGS, whom=_arns(formation.leave)) if is_deadlocked(look, formation) else None


def _protection(look: Look, formation: Formation) -> Block | None:
    held = [task for task in formation.leave if look.is_held(task)]
    newest = formation.teams[0]
    is_waiting = any(not look.is_(task, Soundness.HEALTHY) for task in newest.tasks)
    if not held or len(held) < len(formation.leave) or is_waiting:
        return None
    if len(newest.tasks) < newest.wanted and (look.room() > 0 or look.counted_stopping()):
        return None
    return Block(why=Why.PROTECTION, by=_arns(held), until=max(task.protected_until or 0 for task in held))


def _stopping(look: Look, formation: Formation) -> Block | None:
    newest = formation.teams[0]
    if len(newest.tasks) >= newest.wanted or look.room() > 0:
        return None
    return _by_stopping(look, Why.STOPPING, look.counted_stopping(), ())


def _queued(look: Look, formation: Formation) -> Block | None:
    waiting = [task for task in formation.teams[0].tasks if look.is_(task, Soundness.STARTING) and task.instance]
    behind = {
        other.arn: other
        for task in waiting
        for other in look.draft.tasks_on(task.instance or "")
        if is_phantom(other) and other.arn != task.arn
    }
    return _by_stopping(look, Why.QUEUED, list(behind.values()), _arns(waiting))


def _by_stopping(look: Look, why: Why, stopping: list[Task], whom: tuple[str, ...]) -> Block | None:
    since = {task.arn: task.stopping_at or look.draft.now for task in stopping}
    lasting = [task for task in stopping if since[task.arn] + PATIENCE_SECONDS <= look.draft.now]
    look.times += [at + PATIENCE_SECONDS for at in since.values()]
    if not lasting:
        return None
    until = max(lifecycle.deadline(task, task.stop_told_at or since[task.arn]) for task in lasting)
    return Block(why=why, by=_arns(lasting), whom=whom, until=until)


def _room(look: Look, _: Formation) -> Block | None:
    return Block(why=Why.ROOM) if look.unplaced else None


def _failing(look: Look, formation: Formation) -> Block | None:
    newest = formation.teams[0]
    retry_at = throttle.retry_at(newest.deployment, look.service.desired_count, look.policy)
    if retry_at - look.draft.now < PATIENCE_SECONDS or len(newest.tasks) >= newest.wanted:
        return None
    return Block(why=Why.FAILING, until=retry_at)


def tell_protected(look: Look, formation: Formation) -> None:
    """Say which older deployments cannot scale in because of protected tasks."""
    for deployment in look.service.deployments[1:]:
        own = [task for task in formation.leave if task.deployment == deployment.id and look.is_held(task)]
        if own:
            look.say(events.unsteady_by_protection(look.service, deployment.id, len(own)))


def _arns(tasks: list[Task]) -> tuple[str, ...]:
    return tuple(sorted(task.arn for task in tasks))
