"""Placement strategy and constraints of a request, as the core takes them; what cannot be carried out is refused."""

from collections.abc import Iterable, Mapping
from typing import Any

from controlplane.core.model import TaskDefinition
from controlplane.core.placement import constraints, strategies
from controlplane.core.placement.request import demand_of
from wire.errors import InvalidParameterException

Steps = tuple[dict[str, str], ...]


def strategy_of(body: Mapping[str, Any]) -> Steps:
    """`placementStrategy` of a request.

    Raises:
        InvalidParameterException: one sentence about the first one that is none.
    """
    given = body.get("placementStrategy")
    return _checked(given, strategies.refuse) if given else ()


def constraints_of(body: Mapping[str, Any], definition: TaskDefinition | None = None) -> Steps:
    """`placementConstraints` of a request and of its task definition, where it names one, together.

    Raises:
        InvalidParameterException: one sentence about the first one that cannot be carried out.
    """
    of_definition = demand_of(definition).constraints if definition is not None else ()
    at_run_time = body.get("placementConstraints")
    if not at_run_time:
        return of_definition
    _checked([*of_definition, *at_run_time], constraints.refuse)
    return constraints.together(of_definition, at_run_time)


def _checked(steps: Iterable[dict[str, str]], refuse: Any) -> Steps:
    steps = tuple(steps)
    sentence = refuse(steps)
    if sentence is not None:
        raise InvalidParameterException(sentence)
    return steps
