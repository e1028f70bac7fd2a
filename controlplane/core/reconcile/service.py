"""One look at one service."""

from functools import partial

from controlplane.core.model import Scheduling, Service
from controlplane.core.names import Dice, Names
from controlplane.core.reconcile import course, daemon, replica, rollout
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
    course.take_in(look)
    if look.service.scheduling is Scheduling.DAEMON:
        formation = daemon.move(look)
    else:
        look.kept_free = partial(daemon.awaiting, draft, look.service.cluster, dice)
        formation = replica.move(look, {look.service.deployments[0].id: look.service.desired_count})
    course.finish(look, formation)
    return look.look_again_at()


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
    newest = service.deployments[0].id
    return sum(t.is_live and t.deployment == newest for t in view.tasks_of(service.arn)) < service.desired_count
