"""A DAEMON service: one task on each ACTIVE instance that meets its constraints, first to start and last to stop there.

Its desired count is how many such instances there are. A new revision takes over instance by instance: the old task
stops, then the new one starts. Source: ECS Developer Guide, "Daemon scheduling strategy"; API reference, `Service`.
"""

import msgspec

from controlplane.core.model import Deployment, Scheduling, Service, Task
from controlplane.core.names import Dice
from controlplane.core.placement.engine import place
from controlplane.core.placement.request import Chooser, service_request
from controlplane.core.reconcile import events, images, throttle, unhealthy
from controlplane.core.reconcile.health import Soundness
from controlplane.core.reconcile.look import Look, Team, definition_of, floor_of
from controlplane.core.reconcile.replica import Formation
from controlplane.core.view import Draft, View
from wire.resources import Amounts
from wire.status import InstanceStatus, TaskStatus

_ONE_EACH = {"type": "distinctInstance"}
_PROBE = "probe"
"""A group that no task is of."""
_ANY: tuple[dict[str, str], ...] = ({"type": "spread", "field": "instanceId"},)


def move(look: Look) -> Formation:
    """Stop, then start, towards one task of the newest deployment on each instance that is wanted."""
    wanted = _wanted(look)
    _count(look, wanted)
    formation = _form(look, wanted)
    _stop_strays(look, wanted)
    look.stop(_one_too_many(look, formation.teams[0]) + _leaving(look, formation))
    team = _form(look, wanted).teams[0]
    for task, reason in unhealthy.stops(look, team, is_rolling=len(look.service.deployments) > 1):
        look.stop([task], reason=reason)
    _start(look, wanted)
    return _form(look, wanted)


def counted(draft: Draft, service: Service, dice: Dice) -> Service:
    """A new service with its desired count, put into the draft.

    At its creation, not at the first look at it: a waiter that begins in between must not find nothing wanted,
    nothing running, all stable. Assumed.
    """
    counted = msgspec.structs.replace(
        service, desired_count=len(_matching(draft, service, service.deployments[0], dice))
    )
    draft.put(counted)
    return counted


def awaiting(view: View, cluster: str, dice: Dice) -> frozenset[str]:
    """Instances (ARN) of a cluster (name) that are kept for a daemon task which has never been there, where it fits.

    Source: ECS Developer Guide, "Daemon scheduling strategy": the scheduler reserves room for daemon tasks.
    """
    kept: set[str] = set()
    for service in view.services(cluster):
        if service.scheduling is Scheduling.DAEMON and service.status == "ACTIVE" and service.deployments:
            amounts = definition_of(view, service.deployments[0]).amounts
            kept |= {
                instance
                for instance in _matching(view, service, service.deployments[0], dice)
                if not any(task.service == service.arn for task in view.tasks_on(instance))
                and not view.free(instance).lacks(amounts)
            }
    return frozenset(kept)


def _wanted(look: Look) -> set[str]:
    """Instances that are to have a task: those that match, and those that cannot be asked and have one."""
    wanted = set(_matching(look.draft, look.service, look.service.deployments[0], look.dice))
    for task in look.live:
        instance = look.draft.instance(task.instance) if task.instance else None
        if instance is not None and instance.status is InstanceStatus.ACTIVE and not instance.agent_connected:
            wanted.add(instance.arn)
    return wanted


def _matching(view: View, service: Service, deployment: Deployment, dice: Dice) -> tuple[str, ...]:
    """Instances that meet the constraints, full or not: where a task that costs nothing could go."""
    instances = len(view.instances(service.cluster))
    request = service_request(service, definition_of(view, deployment), instances)
    free = msgspec.structs.replace(
        request,
        amounts=Amounts(),
        group=_PROBE,
        strategy=_ANY,
        chooser=Chooser.ENGINE,
        constraints=(*request.constraints, _ONE_EACH),
    )
    return place(view, free, dice).placed


def _count(look: Look, wanted: set[str]) -> None:
    if look.service.desired_count != len(wanted):
        look.service = msgspec.structs.replace(look.service, desired_count=len(wanted))
        look.draft.put(look.service)
        look.read()


def _form(look: Look, wanted: set[str]) -> Formation:
    here = [task for task in look.live if task.instance in wanted]
    newest = look.service.deployments[0]
    own = [task for task in here if task.deployment == newest.id]
    return Formation([Team(newest, len(wanted), own)], [task for task in here if task.deployment != newest.id])


def _stop_strays(look: Look, wanted: set[str]) -> None:
    """Tasks where none is wanted: on an instance that no longer meets the constraints; last on one that drains."""
    violators, last = [], []
    for task in look.live:
        if task.instance in wanted or look.is_held(task):
            continue
        if not look.on_draining(task):
            violators.append(task)
        elif not _others(look, task):
            last.append(task)
    if violators:
        look.tell(events.no_longer_matching(look.service, violators))
    look.stop(violators + last)


def _others(look: Look, task: Task) -> list[Task]:
    """Tasks on the same instance that are to stop before a daemon's, and have not."""
    others = []
    for other in look.draft.tasks_on(task.instance or ""):
        service = look.draft.service(other.service) if other.service else None
        if other.last_status is not TaskStatus.STOPPED and (
            service is None or service.scheduling is not Scheduling.DAEMON
        ):
            others.append(other)
    return others


def _one_too_many(look: Look, team: Team) -> list[Task]:
    first: set[str | None] = set()
    more = []
    for task in team.tasks:
        if task.instance in first and not look.is_held(task):
            more.append(task)
        first.add(task.instance)
    return more


def _leaving(look: Look, formation: Formation) -> list[Task]:
    """Old tasks: those that do not run, or are not healthy, then as many healthy ones as the floor leaves."""
    free = [task for task in formation.leave if not look.is_held(task)]
    healthy = [task for task in free if look.is_(task, Soundness.HEALTHY)]
    spare = len(look.healthy) - floor_of(look.service)
    chosen = look.choose(healthy, spare)
    if chosen:
        look.lean_on(look.healthy)
    return [task for task in free if not look.is_(task, Soundness.HEALTHY)] + chosen


def _start(look: Look, wanted: set[str]) -> None:
    newest = look.service.deployments[0]
    taken = {task.instance for task in (*look.live, *look.counted_stopping())}
    missing = frozenset(wanted - taken)
    if not missing or newest.rollout_state == "FAILED":
        return
    retry_at = throttle.retry_at(newest, look.service.desired_count, look.policy)
    if look.draft.now < retry_at:
        look.times.append(retry_at)
        return
    look.start(newest, images.starts_allowed(look, _form(look, wanted).teams[0], len(missing)), only=missing)
