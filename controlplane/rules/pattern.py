"""Event patterns: whether an event is one that a rule waits for. Pure.

What is served: exact values (also null, numbers, booleans), and `prefix`, `suffix`, `anything-but` (values, or one with
prefix or suffix), `exists`, `numeric`. Other comparisons and `$or` are refused by name.
Source: EventBridge User Guide, "Event patterns" and "Comparison operators".
"""

import operator
from collections.abc import Callable
from typing import Any

NESTING_MAX = 20

_NUMERIC: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MISSING = object()


class PatternError(ValueError):
    """The pattern is not one that is served; the text says why."""


def check(pattern: Any) -> None:
    """Refuse a pattern that is none, or that asks for what is not served.

    Raises:
        PatternError: see there.
    """
    if not isinstance(pattern, dict) or not pattern:
        raise PatternError("Event pattern must be an object with at least one member")
    _check_object(pattern, 0)


def matches(pattern: dict[str, Any], event: Any) -> bool:
    """Whether `event` passes every member of a checked pattern."""
    if not isinstance(event, dict):
        return False
    for name, wanted in pattern.items():
        value = event.get(name, _MISSING)
        if isinstance(wanted, dict):
            if not (matches(wanted, value) if value is not _MISSING else _is_content_with_nothing(wanted)):
                return False
        elif not _any_of(wanted, value):
            return False
    return True


def _is_content_with_nothing(pattern: dict[str, Any]) -> bool:
    """Every leaf asks only that something be absent."""
    return matches(pattern, {})


def _any_of(wanted: list[Any], value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    if not values:
        values = [_MISSING]
    return any(_passes(rule, each) for rule in wanted for each in values)


def _passes(rule: Any, value: Any) -> bool:
    if not isinstance(rule, dict):
        return _same(rule, value)
    ((comparison, operand),) = rule.items()
    return _COMPARISONS[comparison](operand, value)


def _same(wanted: Any, value: Any) -> bool:
    """JSON's equality: true is not 1."""
    return isinstance(wanted, bool) == isinstance(value, bool) and wanted == value and value is not _MISSING


def _prefix(operand: str, value: Any) -> bool:
    return isinstance(value, str) and value.startswith(operand)


def _suffix(operand: str, value: Any) -> bool:
    return isinstance(value, str) and value.endswith(operand)


def _anything_but(operand: Any, value: Any) -> bool:
    if value is _MISSING or isinstance(value, dict):
        return False
    if isinstance(operand, dict):
        return isinstance(value, str) and not _passes(operand, value)
    return not any(_same(each, value) for each in (operand if isinstance(operand, list) else [operand]))


def _exists(operand: bool, value: Any) -> bool:  # noqa: FBT001 - a row of the table
    return (value is not _MISSING and not isinstance(value, dict)) is operand


def _numeric(operand: list[Any], value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return all(_NUMERIC[sign](value, bound) for sign, bound in zip(operand[::2], operand[1::2], strict=True))


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "anything-but": _anything_but,
    "exists": _exists,
    "numeric": _numeric,
}


def _check_object(pattern: dict[str, Any], depth: int) -> None:
    if depth > NESTING_MAX:
        raise PatternError("Event pattern is nested too deeply")
    for name, wanted in pattern.items():
        if name.startswith("$"):
            raise PatternError(f"{name} is not served here")
        if isinstance(wanted, dict):
            if not wanted:
                raise PatternError(f'Empty objects are not allowed at "{name}"')
            _check_object(wanted, depth + 1)
        elif isinstance(wanted, list) and wanted:
            for rule in wanted:
                _check_rule(name, rule)
        else:
            raise PatternError(f'"{name}" must be an object or a non-empty array')


def _check_rule(name: str, rule: Any) -> None:
    if isinstance(rule, list):
        raise PatternError(f'Arrays in arrays are not allowed at "{name}"')
    if not isinstance(rule, dict):
        return
    if len(rule) != 1:
        raise PatternError(f'Only one key allowed in match expression at "{name}"')
    ((comparison, operand),) = rule.items()
    if comparison not in _COMPARISONS:
        raise PatternError(f"The comparison {comparison} is not served here; there are {', '.join(_COMPARISONS)}")
    if not _is_operand(comparison, operand):
        raise PatternError(f'The value of {comparison} at "{name}" can not be used')


def _is_operand(comparison: str, operand: Any) -> bool:
    if comparison in ("prefix", "suffix"):
        return isinstance(operand, str) and bool(operand)
    if comparison == "exists":
        return isinstance(operand, bool)
    if comparison == "numeric":
        return _is_range(operand)
    if isinstance(operand, dict):
        return len(operand) == 1 and all(k in ("prefix", "suffix") and isinstance(v, str) for k, v in operand.items())
    return isinstance(operand, (str, int, float, bool)) or (isinstance(operand, list) and bool(operand))


def _is_range(operand: Any) -> bool:
    if not isinstance(operand, list) or len(operand) not in (2, 4):
        return False
    bounds = all(isinstance(bound, (int, float)) and not isinstance(bound, bool) for bound in operand[1::2])
    return bounds and all(sign in _NUMERIC for sign in operand[::2])
