"""The capacity provider strategy of a request: its own or the cluster's default, checked once for all.

Source: API reference, `CapacityProviderStrategyItem`, CreateService and RunTask (`launchType` or a strategy, not both).
"""

from collections.abc import Sequence
from typing import Any

from controlplane.api.call import Call
from controlplane.core import providers
from controlplane.core.capacity import provisioning, strategy
from controlplane.core.capacity.attachment import strategy_of as chosen_of
from controlplane.core.capacity.strategy import Item
from controlplane.core.model import Cluster, Scheduling, Service
from controlplane.core.view import Draft, View
from wire.errors import InvalidParameterException

MEMBER = "capacityProviderStrategy"
_NOT_OF_DAEMONS = (
    "Specifying a capacity provider strategy is not supported when you create a service using the DAEMON scheduling "
    "strategy."
)
"""A cluster's default strategy counts; `launchType` EC2 is the way out. Source: aws/containers-roadmap#692."""
_NOT_FORCED = (
    "When switching from launch type to capacity provider strategy on an existing service, or making a change to a "
    "capacity provider strategy on a service that is already using one, you must force a new deployment."
)
"""Also where the new strategy is empty. Source: aws/aws-cdk#34631, which quotes AWS."""


def strategy_of(view: View, call: Call, cluster: Cluster) -> Sequence[Item]:
    """The strategy of a request; empty where its tasks go anywhere (launch type EC2).

    Raises:
        InvalidParameterException: one sentence about a strategy that cannot be acted on.
    """
    if call.body.get(MEMBER) and call.body.get("launchType"):
        raise InvalidParameterException("Specify either Launch Type or Capacity Provider Strategy, but not both.")
    _refuse_platform(call)
    found = chosen_of(cluster, call.body)
    if found:
        _check(view, cluster, found)
    return found


def any_waits(view: View, cluster: Cluster, items: Sequence[Item]) -> bool:
    """Whether a provider of the strategy may have tasks wait in PROVISIONING."""
    return any(provisioning.may_wait(view, item["capacityProvider"], cluster.name) for item in items)


def resolved(view: View, call: Call, cluster: Cluster) -> dict[str, Any]:
    """The members of a new service's or task set's body: a default strategy stays with those that it was given to."""
    found = strategy_of(view, call, cluster)
    if found and call.text("schedulingStrategy") == Scheduling.DAEMON:
        raise InvalidParameterException(_NOT_OF_DAEMONS)
    return {MEMBER: list(found)} if found else {}


def updated(draft: Draft, call: Call, cluster: Cluster, service: Service) -> dict[str, Any]:
    """The body of a service with the strategy of its update in the place of the former one, or of its launch type.

    An empty one is the launch type EC2.

    Raises:
        InvalidParameterException: it cannot be acted on, or is another one and no deployment is forced; or a platform
            version is given.
    """
    _refuse_platform(call)
    given: Sequence[Item] | None = call.body.get(MEMBER)
    if given is None or _terms(given) == _terms(service.body.get(MEMBER, ())):
        return service.body
    if given and service.scheduling is Scheduling.DAEMON:
        raise InvalidParameterException(_NOT_OF_DAEMONS)
    if given:
        _check(draft, cluster, given)
    if not call.body.get("forceNewDeployment", False):
        raise InvalidParameterException(_NOT_FORCED)
    kept = {member: value for member, value in service.body.items() if member not in (MEMBER, "launchType")}
    return {**kept, **({MEMBER: given} if given else {"launchType": "EC2"})}


def _refuse_platform(call: Call) -> None:
    if "platformVersion" in call.body:
        raise InvalidParameterException("The platform version must be null when specifying an EC2 launch type.")


def _terms(items: Sequence[Item]) -> list[tuple[str, int, int]]:
    return [(item["capacityProvider"], item.get("weight", 0), item.get("base", 0)) for item in items]


def _check(view: View, cluster: Cluster, items: Sequence[Item]) -> None:
    sentence = providers.refuse_strategy(items, providers.of_cluster(view, cluster)) or strategy.refuse(items)
    if sentence is not None:
        raise InvalidParameterException(sentence)
    for item in items:
        if item["capacityProvider"] in providers.FARGATE:
            raise InvalidParameterException(
                f"The capacity provider {item['capacityProvider']} is AWS's own; tasks run on hosts here."
            )
