"""A REPLICA service: so many tasks, between a floor and a ceiling, of the newest revision.

In one step, stops come before starts: room that a stop frees at once is used in the same step. That order is what
puts a new task beside an old one that is still stopping (aws/amazon-ecs-agent#4106).
Source: `DeploymentConfiguration` (floor, ceiling, rounding); the order within a step is derived from field reports.
"""

from collections.abc import Sequence
from typing import NamedTuple

from controlplane.core.capacity import launching
from controlplane.core.model import Task
from controlplane.core.placement.engine import place
from controlplane.core.placement.field import is_phantom
from controlplane.core.placement.request import Caution
from controlplane.core.policy import UnhealthyInRollout
from controlplane.core.reconcile import events, images, throttle, unhealthy
from controlplane.core.reconcile.health import Soundness
from controlplane.core.reconcile.look import Look, Team, floor_of
from wire.holds import Proof
from wire.status import TaskStatus


class Formation(NamedTuple):
    """Which tasks are meant to be there, by deployment, and which are to leave. The newest deployment comes first."""

    teams: list[Team]
    leave: list[Task]


def form(look: Look, wanted: dict[str, int]) -> Formation:
    """The formation now. What belongs to no deployment in `wanted`, or stands on a DRAINING instance, leaves."""
    deployments = {deployment.id: deployment for deployment in look.service.deployments}
    staying = [task for task in look.live if task.deployment in wanted and not look.on_draining(task)]
    teams = [
        Team(deployments[id_], count, [task for task in staying if task.deployment == id_])
        for id_, count in wanted.items()
    ]
    for team in teams:
        unhealthy.pair(look, team)
    stays = {task.arn for task in staying}
    return Formation(teams, [task for task in look.live if task.arn not in stays])


def move(look: Look, wanted: dict[str, int]) -> Formation:
    """Stop, then start, towards the `wanted` numbers (by deployment id). Returns the formation as it is then."""
    formation = form(look, wanted)
    going = [task for team in formation.teams for task in surplus(look, team)]
    going += leaving(look, formation.leave, gone=going)
    look.stop(going)
    for team in formation.teams:
        is_rolling = len(look.service.deployments) > 1
        for task, reason in unhealthy.stops(look, team, is_rolling=is_rolling):
            if task.arn not in look.stopped:
                look.stop([task], reason=reason)
    formation = form(look, wanted)
    for team in formation.teams:
        move_waiting(look, team)
    for nth in range(len(formation.teams)):
        start_missing(look, form(look, wanted).teams[nth])
    _replace_old(look, form(look, wanted))
    return form(look, wanted)


def surplus(look: Look, team: Team) -> list[Task]:
    """More than wanted: those that do not run first, then those not healthy yet, then by rule; never protected ones.

    Healthy ones go only as far as the floor of their own team allows: it may be the protected that are not healthy.
    A stand-in takes the unhealthy task with it, which would count again, and have the next stand-in.
    """
    count = len(team.counted) - team.wanted
    free = [
        task for task in team.counted if count > 0 and not any(map(look.is_held, (task, *unhealthy.behind(team, task))))
    ]
    chosen = _least_missed(look, team, free, count)
    if len(chosen) < count:
        held = len(team.counted) - len(free)
        look.say(events.held_by_protection(look.service, team.deployment.id, held))
    return chosen + [other for task in chosen for other in unhealthy.behind(team, task)]


def leaving(look: Look, leave: list[Task], *, gone: Sequence[Task]) -> list[Task]:
    """Tasks that are to go: at once where they do not run, else as many as the floor allows; never protected ones.

    `gone` are chosen already. A stand-in for an unhealthy task of its own revision is still needed, but where it starts
    on a DRAINING instance (API reference, UpdateContainerInstancesState: PENDING tasks stop at once). A task set that
    is deleted goes whole: whoever deletes it answers for the number (ECS Developer Guide, EXTERNAL: the percentages
    hold only while instances drain).
    """
    deleted = {deployment.id for deployment in look.service.deployments if deployment.status == "DRAINING"}
    dropped = [task for task in leave if task.deployment in deleted and not look.is_held(task)]
    chosen_already = {task.arn for task in (*gone, *dropped)}
    free = [task for task in leave if task.arn not in chosen_already and not look.is_held(task)]
    unhealthy_ones = {task.arn for task in look.live if look.is_(task, Soundness.UNHEALTHY)}
    pending = [
        task
        for task in free
        if task.last_status.is_starting and (task.replaces not in unhealthy_ones or look.on_draining(task))
    ]
    running = [task for task in free if not task.last_status.is_starting]
    healthy = [task for task in look.healthy if task.arn not in chosen_already]
    spare = len(healthy) - floor_of(look.service)
    if spare < 0:
        is_first = look.policy.unhealthy_in_rollout is UnhealthyInRollout.STOP_FIRST
        return dropped + pending + [task for task in running if is_first and task.arn in unhealthy_ones]
    young = [task for task in running if not look.is_(task, Soundness.HEALTHY)]
    old = look.choose([task for task in running if look.is_(task, Soundness.HEALTHY)], spare)
    if old:
        look.lean_on(look.healthy)
    return dropped + pending + young + old


def start_missing(look: Look, team: Team) -> None:
    """Start what a team lacks, and stand-ins for its unhealthy tasks, as the ceiling and the throttle allow."""
    if team.deployment.rollout_state == "FAILED":
        return
    sound = [task for task in team.tasks if not look.is_(task, Soundness.UNHEALTHY)]
    missing = team.wanted - len(team.counted)
    needed = team.wanted - len(sound) - max(0, missing)
    if missing <= 0 and needed <= 0:
        return
    if not _may_start(look, team):
        return
    started = look.start(team.deployment, images.starts_allowed(look, team, min(missing, look.room())))
    is_rolling = len(look.service.deployments) > 1
    if is_rolling and look.policy.unhealthy_in_rollout is UnhealthyInRollout.STOP_FIRST:
        return
    if len(started) == max(0, missing):
        replaces = unhealthy.to_replace(look, team, needed=needed)
        look.start(team.deployment, len(replaces), replaces=replaces)


def _replace_old(look: Look, formation: Formation) -> None:
    """An unhealthy task of an older revision has a stand-in of its own revision, while the service is short.

    Source: ECS Developer Guide, "Rolling update deployments" (2026); that only a shortage calls for it is assumed.
    """
    if look.policy.unhealthy_in_rollout is UnhealthyInRollout.STOP_FIRST:
        return
    for deployment in look.service.deployments[1:]:
        own = [task for task in formation.leave if task.deployment == deployment.id and not look.on_draining(task)]
        team = Team(deployment, len(own), own)
        if not own:
            continue
        unhealthy.pair(look, team)
        for task, reason in unhealthy.stops(look, team, is_rolling=False):
            look.stop([task], reason=reason)
        sound = sum(not look.is_(task, Soundness.UNHEALTHY) for task in look.live)
        replaces = unhealthy.to_replace(look, team, needed=look.service.desired_count - sound)
        look.start(deployment, len(replaces), replaces=replaces)


def _may_start(look: Look, team: Team) -> bool:
    retry_at = throttle.retry_at(team.deployment, look.service.desired_count, look.policy)
    if look.draft.now < retry_at:
        look.times.append(retry_at)
        return False
    return True


def _least_missed(look: Look, team: Team, tasks: list[Task], count: int) -> list[Task]:
    chosen: list[Task] = []
    for kinds in ((Soundness.STARTING,), (Soundness.SETTLING, Soundness.UNHEALTHY)):
        group = [task for task in tasks if look.is_(task, *kinds)]
        chosen += look.choose(group, min(count - len(chosen), len(group)))
    healthy = [task for task in team.tasks if look.is_(task, Soundness.HEALTHY)]
    spare = len(healthy) - floor_of(look.service, team.wanted)
    old = look.choose([task for task in tasks if task in healthy], min(count - len(chosen), spare))
    if old:
        look.lean_on(healthy)
    return chosen + old


def move_waiting(look: Look, team: Team) -> None:
    """Give up the places of tasks whose lease has run out, as many as fit where nothing has to be waited for."""
    lease = look.policy.pending_lease_seconds
    if lease is None:
        return
    waiting = [t for t in team.tasks if t.last_status is TaskStatus.PENDING and t.hold and not look.is_held(t)]
    ends = {task.arn: task.hold.since + lease for task in waiting if task.hold is not None}
    look.times += ends.values()
    expired = [t for t in waiting if ends[t.arn] <= look.draft.now and _is_behind_stopping(look, t)]
    if not expired:
        return
    look.times.append(look.draft.now + lease)
    avoid = frozenset(task.instance for task in expired if task.instance)
    request = look.request(team.deployment, len(expired), caution=Caution.ONLY_EMPTY, avoid=avoid)
    strategy = launching.strategy_of(look.service, team.deployment)
    if not launching.waits(look.draft, look.service.cluster, strategy):
        expired = expired[: len(place(look.draft, request, look.dice).placed)]
    # Else whoever finds no other place waits in PROVISIONING, where managed scaling sees it.
    look.has_moved = look.has_moved or bool(expired)
    look.stop(expired, proof=Proof.LEASE_EXPIRED)


def _is_behind_stopping(look: Look, task: Task) -> bool:
    return task.instance is not None and any(map(is_phantom, look.draft.tasks_on(task.instance)))


def shares(look: Look, formation: Formation) -> dict[str, int]:
    """`desiredCount` of each deployment: it shifts to the newest as its tasks come, or would come if they had room."""
    counts: dict[str, int] = {}
    for task in look.live:
        if task.deployment is not None:
            counts[task.deployment] = counts.get(task.deployment, 0) + 1
    newest = formation.teams[0]
    others = sum(count for id_, count in counts.items() if id_ != newest.deployment.id)
    coming = min(newest.wanted, counts.get(newest.deployment.id, 0) + look.unplaced)
    counts[newest.deployment.id] = coming if others else newest.wanted
    return counts


def is_steady(look: Look, formation: Formation) -> bool:
    """Whether each team is whole and healthy, and nobody else is there."""
    return not formation.leave and all(
        len(team.tasks) == team.wanted and all(look.is_(task, Soundness.HEALTHY) for task in team.tasks)
        for team in formation.teams
    )
