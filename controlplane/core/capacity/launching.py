"""New tasks by their capacity provider strategy, or anywhere in the cluster.

What does not fit waits in PROVISIONING where managed scaling can answer; elsewhere it is not made at all. It does not
know who wants the tasks: a service and RunTask do it alike.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from controlplane.core.capacity import provisioning
from controlplane.core.capacity.attachment import PROVIDER_MEMBER, instances_of, provider_of_task, terms
from controlplane.core.capacity.strategy import Item, spread
from controlplane.core.model import Deployment, Service, Task
from controlplane.core.names import Dice
from controlplane.core.placement.engine import place
from controlplane.core.placement.explain import Refusal
from controlplane.core.placement.request import Request
from controlplane.core.view import Draft

Create = Callable[[str | None, dict[str, Any]], Task]
"""Makes one task, of an instance (ARN; None: it waits for one) and the members of its body."""


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    started: list[Task] = []
    """PENDING, and PROVISIONING."""
    refusals: tuple[Refusal, ...] = ()
    """Of what was not made."""
    is_over_limit: bool = False
    """There are too many PROVISIONING tasks in the cluster for one more."""


def strategy_of(service: Service, deployment: Deployment) -> tuple[Item, ...]:
    """The strategy of a service's deployment: a task set's own, else the service's; empty where it is a launch type."""
    body = service.body if deployment.task_set is None else deployment.task_set.body
    return tuple(body.get("capacityProviderStrategy") or ())


def waits(draft: Draft, cluster: str, strategy: Sequence[Item]) -> bool:
    """Whether what does not fit may wait in PROVISIONING, under every provider of the strategy."""
    names = [item["capacityProvider"] for item in strategy]
    return bool(names) and all(provisioning.may_wait(draft, name, cluster) for name in names)


def launch(
    draft: Draft,
    cluster: str,
    strategy: Sequence[Item],
    request: Request,
    *,
    create: Create,
    may_wait: bool,
    dice: Dice,
    keep: Iterable[Task] = (),
) -> Launch:
    """Place `request.count` new tasks and `create` them. `keep` are those that stand: their providers count."""
    if not strategy:
        outcome = place(draft, request, dice)
        return Launch(started=[create(instance, {}) for instance in outcome.placed], refusals=outcome.refusals)
    started: list[Task] = []
    refusals: list[Refusal] = []
    is_over_limit = False
    for name, count in Counter(spread(strategy, request.count, map(provider_of_task, keep))).items():
        each = terms(draft, name, cluster)
        only = instances_of(draft, each) if each else frozenset()
        outcome = place(draft, msgspec.structs.replace(request, count=count, only=only), dice)
        body = {PROVIDER_MEMBER: name}
        started += [create(instance, body) for instance in outcome.placed]
        missing = count - len(outcome.placed)
        if may_wait and missing and provisioning.may_wait(draft, name, cluster):
            room = provisioning.room(draft, cluster)
            started += [create(None, body) for _ in range(min(missing, room))]
            is_over_limit = is_over_limit or missing > room
        else:
            refusals += outcome.refusals
    return Launch(started=started, refusals=tuple(refusals), is_over_limit=is_over_limit)
