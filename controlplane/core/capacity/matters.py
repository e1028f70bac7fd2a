"""What there is to look at about capacity now, in order: who waits, who is protected, the scalers, the groups."""

from collections.abc import Callable, Iterator
from functools import partial

from controlplane.core.capacity import fleet, protection, provisioning, scaler
from controlplane.core.capacity.attachment import all_terms
from controlplane.core.capacity.model import Group, Machine, MachineState
from controlplane.core.capacity.pace import Pace
from controlplane.core.model import Task
from controlplane.core.names import Dice, Names
from controlplane.core.view import Draft, View
from wire.status import TaskStatus

FORGOTTEN_MAX = 100
"""Records of machines that went long ago, dropped at once."""

Decide = Callable[[Draft], float | None]
"""One look: fills a draft, and says when to look again (epoch seconds)."""


def matters(view: View, *, now: float, names: Names, dice: Dice, pace: Pace) -> Iterator[tuple[str, Decide]]:
    """Each look that is due, with the cause that its plan carries. One look, one commit, then a fresh view."""
    if any(machine.state is MachineState.TERMINATED for machine in view.records(Machine)):
        yield "retention", partial(fleet.forget, limit=FORGOTTEN_MAX)
    if next(view.records(Group), None) is None:
        return  # no group, no provider that acts, nobody who waits: a look costs nothing
    waiting = {task.cluster for task in view.records(Task) if task.last_status is TaskStatus.PROVISIONING}
    for cluster in sorted(waiting):
        yield "provisioning", partial(provisioning.look, cluster=cluster, names=names, dice=dice, pace=pace)
    for each in all_terms(view):
        if each.protects:
            yield "protection", partial(protection.look, provider=each.provider)
        if each.scales and scaler.due_at(view, each.provider, pace) <= now:
            yield "scaler", partial(_scale, provider=each.provider, pace=pace)
    for group in view.records(Group):
        yield group.cause or "fleet", partial(fleet.look, group=group.name, names=names, pace=pace)


def _scale(draft: Draft, provider: str, pace: Pace) -> float | None:
    if scaler.look(draft, provider, pace) is None:
        return None
    return scaler.due_at(draft, provider, pace)
