"""Unhealthy tasks: who stands in for whom, and who is stopped when.

The one that stands in starts first where the ceiling allows it; once it is healthy, the unhealthy one stops; where both
are unhealthy, either stops. Where the ceiling allows none, one unhealthy task at a time stops, and its place is filled.
Source: ECS Developer Guide, "Amazon ECS services" and "Rolling update deployments" (2026).
"""

import msgspec

from controlplane.core.model import Scheduling, Task
from controlplane.core.policy import ProtectionCovers, UnhealthyInRollout
from controlplane.core.reconcile import health
from controlplane.core.reconcile.health import Soundness
from controlplane.core.reconcile.look import Look, Team

_STOPPED_REASON = "Task failed container health checks"


def part(look: Look) -> None:
    """Stand-ins whose task is well again are tasks like any other: should it fail once more, another one starts."""
    sick = {task.arn for task in look.live if look.is_(task, Soundness.UNHEALTHY)}
    well = {task.arn for task in look.live} - sick
    free = [task for task in look.live if task.replaces in well and not task.is_move]
    for task in free:
        look.draft.put(msgspec.structs.replace(task, replaces=None))
    if free:
        look.read()


def pair(look: Look, team: Team) -> None:
    """Find out for which tasks of a team somebody stands in already: unhealthy ones, and those that are moved."""
    there = {task.arn for task in team.tasks}
    unhealthy = {task.arn for task in team.tasks if look.is_(task, Soundness.UNHEALTHY)}
    team.paired = {
        task.replaces
        for task in team.tasks
        if task.replaces is not None and task.replaces in (there if task.is_move else unhealthy)
    }


def behind(team: Team, stand_in: Task) -> list[Task]:
    """The unhealthy task that a task of a team stands in for, if it does; who is moved is no such one."""
    if stand_in.is_move:
        return []
    return [task for task in team.tasks if task.arn == stand_in.replaces and task.arn in team.paired]


def stops(look: Look, team: Team, *, is_rolling: bool) -> list[tuple[Task, str]]:
    """Unhealthy tasks that are to stop now, with the reason that each is given."""
    unhealthy = [task for task in team.tasks if look.is_(task, Soundness.UNHEALTHY) and not _is_left(look, task)]
    if is_rolling and look.policy.unhealthy_in_rollout is UnhealthyInRollout.STOP_FIRST:
        return [_why(task) for task in unhealthy]
    chosen: list[Task] = []
    for task in unhealthy:
        stand_in = next((other for other in team.tasks if other.replaces == task.arn), None)
        if stand_in is None:
            continue
        if look.is_(stand_in, Soundness.HEALTHY):
            chosen.append(task)
        elif look.is_(stand_in, Soundness.UNHEALTHY) and not _is_left(look, stand_in):
            chosen.append((task, stand_in)[look.dice.randrange(2)])
    if not chosen and unhealthy and _is_crowded(look, team):
        alone = [task for task in unhealthy if task.arn not in team.paired]
        chosen += [alone[look.dice.randrange(len(alone))]] if alone else []
    return [_why(task) for task in chosen]


def to_replace(look: Look, team: Team, *, needed: int) -> list[Task]:
    """Unhealthy tasks that nobody stands in for, as many as are `needed` and may be started now."""
    alone = [t for t in team.tasks if look.is_(t, Soundness.UNHEALTHY) and t.arn not in team.paired]
    return alone[: max(0, min(needed, look.room()))]


def _is_crowded(look: Look, team: Team) -> bool:
    """Whether nothing can start beside, and nothing is on its way already: one at a time. A daemon has its place."""
    if look.stopping or any(look.is_(task, Soundness.STARTING, Soundness.SETTLING) for task in team.tasks):
        return False
    if look.service.scheduling is Scheduling.DAEMON:
        return True
    return look.room() <= 0 and len(team.counted) >= team.wanted


def _is_left(look: Look, task: Task) -> bool:
    return look.policy.protection_covers is ProtectionCovers.HEALTH and look.is_held(task)


def _why(task: Task) -> tuple[Task, str]:
    return task, health.why_unhealthy(task) or _STOPPED_REASON
