"""Placement constraints: rules that bind. `distinctInstance`, and `memberOf` with the cluster query language.

Source: API reference, `PlacementConstraint`, `TaskDefinitionPlacementConstraint`; ECS Developer Guide, "Task placement
constraints". AWS's exact words about a malformed expression are not published; they are ours.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from controlplane.core.placement.expression import Expression, ExpressionError, parse

DISTINCT_INSTANCE = "distinctInstance"
MEMBER_OF = "memberOf"
CONSTRAINTS_MAX = 10
"""API reference, RunTask `placementConstraints`: those of the task definition included."""

Constraint = Mapping[str, str]


def refuse(constraints: Iterable[Constraint]) -> str | None:
    """One sentence about the first constraint that cannot be carried out; None where all can."""
    constraints = list(constraints)
    if len(constraints) > CONSTRAINTS_MAX:
        return f"A task takes at most {CONSTRAINTS_MAX} placement constraints, not {len(constraints)}."
    return next((sentence for sentence in map(_refuse_one, constraints) if sentence), None)


def together(of_definition: Sequence[Constraint], at_run_time: Sequence[Constraint]) -> tuple[dict[str, str], ...]:
    """Both lists as one; what stands in both is asked once."""
    if not of_definition and not at_run_time:
        return ()
    both = [dict(constraint) for constraint in (*of_definition, *at_run_time)]
    return tuple(constraint for nth, constraint in enumerate(both) if constraint not in both[:nth])


def is_distinct(constraints: Iterable[Constraint]) -> bool:
    """Whether each task of the group wants an instance of its own."""
    return any(constraint.get("type") == DISTINCT_INSTANCE for constraint in constraints)


def expressions(constraints: Iterable[Constraint]) -> dict[str, Expression]:
    """The expressions of all `memberOf`, by their texts. `refuse` has passed them."""
    return {c["expression"]: read(c["expression"]) for c in constraints if c.get("type") == MEMBER_OF}


@lru_cache(maxsize=1024)
def read(text: str) -> Expression:
    """`parse`, remembered: a service asks with the same few expressions for ever.

    Raises:
        ExpressionError: it is none.
    """
    return parse(text)


def _refuse_one(constraint: Constraint) -> str | None:
    kind, text = constraint.get("type"), constraint.get("expression")
    if kind == DISTINCT_INSTANCE:
        return "The placement constraint distinctInstance takes no expression." if text else None
    if kind != MEMBER_OF:
        return f"Unknown placement constraint type '{kind}'; it should be one of [distinctInstance,memberOf]."
    if not text:
        return "The placement constraint memberOf needs an expression."
    try:
        read(text)
    except ExpressionError as error:
        return f"Invalid expression of a placement constraint: {error}."
    return None
