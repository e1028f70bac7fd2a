"""What an expression of the cluster query language says of one instance. It knows no text and no placement.

A missing attribute fails every operator but `!=`, `!in`, `!~` and `!exists`; `<` and its like compare attributes as
numbers where both are, else as texts; `task:group` speaks of the tasks that are wanted there (all assumed).
"""

import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from controlplane.core.model import Instance
from controlplane.core.placement.expression import Comparison, Either, Every, Expression, Not, Subject
from controlplane.core.placement.pattern import Pattern
from controlplane.core.placement.values import epoch_seconds, number, version_key
from controlplane.core.view import View
from wire.status import TaskStatus

_POSITIVE = {"!=": "==", "!in": "in", "!~": "=~", "!exists": "exists"}
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_TEXTS: dict[Subject, Callable[["Facts"], str]] = {
    Subject.AGENT_CONNECTED: lambda facts: "true" if facts.instance.agent_connected else "false",
    Subject.AGENT_VERSION: lambda facts: facts.instance.agent_version,
    Subject.EC2_INSTANCE_ID: lambda facts: facts.instance.ec2_instance_id,
    Subject.REGISTERED_AT: lambda facts: str(int(facts.instance.registered_at)),
    Subject.RUNNING_TASKS_COUNT: lambda facts: str(facts.running_tasks),
}
OF_TASKS = frozenset({Subject.RUNNING_TASKS_COUNT, Subject.TASK_GROUP})
"""Subjects whose answer changes with the tasks of an instance."""


class Facts(msgspec.Struct, frozen=True):
    """An instance, and of its tasks what can be asked about."""

    instance: Instance
    running_tasks: int = 0
    """Wanted and RUNNING."""
    groups: frozenset[str] = frozenset()
    """Groups of its live tasks."""


def facts_of(view: View, instance: Instance) -> Facts:
    """The facts of an instance as they are in `view`."""
    live = [task for task in view.tasks_on(instance.arn) if task.is_live]
    running = sum(task.last_status is TaskStatus.RUNNING for task in live)
    return Facts(instance, running, frozenset(task.group for task in live))


def matches(expression: Expression, facts: Facts) -> bool:
    """Whether `expression` holds of an instance."""
    match expression:
        case Not(operand):
            return not matches(operand, facts)
        case Every(operands):
            return all(matches(operand, facts) for operand in operands)
        case Either(operands):
            return any(matches(operand, facts) for operand in operands)
        case Comparison():
            positive = _POSITIVE.get(expression.operator)
            if positive is None:
                return _holds(expression, expression.operator, facts)
            return not _holds(expression, positive, facts)


def subjects(expression: Expression) -> frozenset[Subject]:
    """What an expression asks about."""
    match expression:
        case Not(operand):
            return subjects(operand)
        case Every(operands) | Either(operands):
            return frozenset().union(*map(subjects, operands))
        case Comparison():
            return frozenset({expression.subject})


def _holds(comparison: Comparison, sign: str, facts: Facts) -> bool:
    return any(_compare(comparison, sign, actual) for actual in _actual(comparison, facts))


def _actual(comparison: Comparison, facts: Facts) -> tuple[str, ...]:
    """What the subject is, as texts: none where it is missing, several groups."""
    if comparison.subject is Subject.TASK_GROUP:
        return tuple(facts.groups)
    if comparison.subject is Subject.ATTRIBUTE:
        value = facts.instance.attribute(comparison.attribute)
        return () if value is None else (value,)
    return (_TEXTS[comparison.subject](facts),)


def _compare(comparison: Comparison, sign: str, actual: str) -> bool:
    values = comparison.values
    if sign == "exists":
        return True
    if sign == "in":
        return actual in values
    if sign == "=~":
        return _compiled(values[0]).matches(actual)
    left: Any = actual
    right: Any = values[0]
    if comparison.subject is Subject.AGENT_VERSION:
        left, right = version_key(left), version_key(right)
    elif comparison.subject is Subject.REGISTERED_AT:
        left, right = int(left), epoch_seconds(right)
    elif comparison.subject is Subject.RUNNING_TASKS_COUNT:
        left, right = int(left), int(right)
    elif sign != "==" and None not in (number(left), number(right)):
        left, right = number(left), number(right)
    return left is not None and right is not None and _ORDERS[sign](left, right)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Pattern:
    return Pattern(pattern)
