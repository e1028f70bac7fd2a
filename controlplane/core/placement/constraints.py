"""Placement constraints: rules that bind. `distinctInstance` is here; `memberOf` is refused clearly."""

from collections.abc import Iterable, Mapping

DISTINCT_INSTANCE = "distinctInstance"
CONSTRAINTS_MAX = 10
"""API reference, RunTask `placementConstraints`."""


def refuse(constraints: Iterable[Mapping[str, str]]) -> str | None:
    """One sentence about the first constraint that cannot be carried out; None where all can."""
    constraints = list(constraints)
    if len(constraints) > CONSTRAINTS_MAX:
        return f"A task takes at most {CONSTRAINTS_MAX} placement constraints, not {len(constraints)}."
    for constraint in constraints:
        kind = constraint.get("type")
        if kind == "memberOf":
            return "The placement constraint memberOf is not supported yet; use distinctInstance or none."
        if kind != DISTINCT_INSTANCE:
            return f"Unknown placement constraint type '{kind}'."
        if constraint.get("expression"):
            return "The placement constraint distinctInstance takes no expression."
    return None


def is_distinct(constraints: Iterable[Mapping[str, str]]) -> bool:
    """Whether each task of the group wants an instance of its own."""
    return any(constraint.get("type") == DISTINCT_INSTANCE for constraint in constraints)
