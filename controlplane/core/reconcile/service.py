"""One look at one service."""

from functools import partial

from controlplane.core.model import Controller, Scheduling, Service
from controlplane.core.names import Dice, Names
from controlplane.core.reconcile import course, daemon, foreign, images, rebalance, replica, rollout, stages, taskset
from controlplane.core.reconcile.look import Look
from controlplane.core.view import Draft, View


def reconcile(draft: Draft, service: str, *, names: Names, dice: Dice) -> float | None:
    """Bring `service` (ARN) one step nearer to what it wants; the changes are in the draft.

    Returns the time (epoch seconds) at which another look is due though nothing may change until then; None: never.
    """
    record = draft.service(service)
    if record is None or record.status == "INACTIVE":
        return None
    draft.expect(record)
    look = Look(draft, record, names=names, dice=dice)
    if record.status == "DRAINING":
        drain(look)
        return None
    if not record.deployments:
        return None
    course.take_in(look)
    images.learn(look)
    if look.service.scheduling is Scheduling.DAEMON:
        course.finish(look, daemon.move(look))
        return look.look_again_at()
    look.kept_free = partial(daemon.awaiting, draft, look.service.cluster, dice)
    if look.service.controller is Controller.EXTERNAL:
        numbers = taskset.wanted(look.service)
        look.extra_room = sum(numbers.values())
        taskset.finish(look, replica.move(look, numbers))
    elif not stages.has_stages(course.current(look)) and (own := foreign.reconcile_of(look)) is not None:
        foreign.move(look, own)
        course.finish(look, replica.form(look, _wanted(look)))
    else:
        formation = replica.move(look, _wanted(look))
        rebalance.move(look, formation)
        course.finish(look, replica.form(look, _wanted(look)))
    return look.look_again_at()


def _wanted(look: Look) -> dict[str, int]:
    """How many tasks each deployment (id) is to have: all of the newest, unless it goes by stages."""
    under_way = course.current(look)
    if under_way is None or not stages.has_stages(under_way):
        return {look.service.deployments[0].id: look.service.desired_count}
    if stages.is_staged(under_way):
        look.extra_room = look.service.desired_count
    return stages.wanted(look, under_way)


def drain(look: Look) -> None:
    """A deleted service: everything stops, protected or not; INACTIVE once all is STOPPING or STOPPED.

    Source: API reference, DeleteService.
    """
    look.stop(look.live)
    if all(rollout.is_gone(task) for task in look.tasks):
        rollout.end(look.draft, look.service)


def is_short(view: View, service: Service) -> bool:
    """Whether a service may wait for room: it has fewer live tasks of its newest deployment than it wants.

    A DAEMON service wants a look whenever an instance changes.
    """
    if service.status != "ACTIVE" or not service.deployments:
        return False
    if service.scheduling is Scheduling.DAEMON:
        return True
    if service.controller is Controller.EXTERNAL:
        return sum(t.is_live for t in view.tasks_of(service.arn)) < sum(taskset.wanted(service).values())
    newest = service.deployments[0].id
    return sum(t.is_live and t.deployment == newest for t in view.tasks_of(service.arn)) < service.desired_count
