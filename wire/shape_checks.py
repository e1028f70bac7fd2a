"""What is wrong with a JSON value, against a shape of one of botocore's models: each shape becomes a check, once.

It knows JSON values only: no operation, no service. Where AWS words a fault in its own way, so does this.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple


class FaultKind(StrEnum):
    """What is wrong with a value."""

    TYPE = "type"
    MISSING = "missing"
    ENUM = "enum"
    LENGTH = "length"
    RANGE = "range"
    PATTERN = "pattern"
    UNKNOWN = "unknown"


class Fault(NamedTuple):
    """One thing that is wrong; `path` is like `containerDefinitions[0].name`."""

    kind: FaultKind
    path: str
    message: str


_Where = tuple["_Where", str | int] | None
"""The way to a value, members and positions from the inside out; a path is made of it only where something is wrong."""
_Check = Callable[[Any, _Where, list[Fault]], None]
"""Adds to the list what is wrong with a value."""


def faults(shape: Any, value: Any) -> list[Fault]:
    """Everything wrong with a JSON value, against a shape of a model (botocore's `Shape`), in the model's order."""
    found: list[Fault] = []
    _check_of(shape)(value, None, found)
    return found


@cache
def _check_of(shape: Any) -> _Check:
    """Made at the first value of this shape; botocore's shapes are equal only to themselves."""
    make = _KINDS.get(shape.type_name)
    return _typed(shape, make(shape) if make else _nothing_wrong)


def _typed(shape: Any, inside: _Check) -> _Check:
    expected = _PYTHON_TYPES.get(shape.type_name)
    if expected is None or getattr(shape, "is_document_type", False):
        return _nothing_wrong
    takes_booleans, described = shape.type_name == "boolean", _A_TYPE[shape.type_name]
    is_all = inside is _nothing_wrong

    def check(value: Any, where: _Where, found: list[Fault]) -> None:
        if not isinstance(value, expected) or (isinstance(value, bool) and not takes_booleans):
            path = _path(where)
            found.append(Fault(FaultKind.TYPE, path, f"{path or 'the request'} can not be read as {described}."))
        elif not is_all:
            inside(value, where, found)

    return check


def _only_type(shape: Any) -> type | None:
    """The type of a string or a boolean of which nothing else is asked: no call has to look at such a value."""
    asks = shape.type_name == "string" and (shape.enum or shape.metadata.keys() & {"min", "max", "pattern"})
    return None if asks else _ONLY_TYPES.get(shape.type_name)


def _nothing_wrong(_value: Any, _where: _Where, _found: list[Fault]) -> None: ...


def _structure(shape: Any) -> _Check:
    required, members = tuple(shape.required_members), shape.members
    types = {name: _only_type(member) for name, member in members.items()}

    def check(value: Any, where: _Where, found: list[Fault]) -> None:
        for name in required:
            if name not in value:
                path = _path((where, name))
                found.append(Fault(FaultKind.MISSING, path, f"{path} should not be null or empty."))
        for name, item in value.items():
            if type(item) is types.get(name):
                continue
            if name in members:
                _check_of(members[name])(item, (where, name), found)
            else:
                path = _path((where, name))
                found.append(Fault(FaultKind.UNKNOWN, path, f"{path} is not a member of {shape.name}."))

    return check


def _list(shape: Any) -> _Check:
    sized, types = _sized(shape), frozenset({_only_type(shape.member)})

    def check(value: Any, where: _Where, found: list[Fault]) -> None:
        sized(value, where, found)
        if types.issuperset(map(type, value)):
            return
        item_check = _check_of(shape.member)
        for index, item in enumerate(value):
            item_check(item, (where, index), found)

    return check


def _map(shape: Any) -> _Check:
    def check(value: Any, where: _Where, found: list[Fault]) -> None:
        item_check = _check_of(shape.value)
        for key, item in value.items():
            item_check(item, (where, key), found)

    return check


def _string(shape: Any) -> _Check:
    enum, sized = frozenset(shape.enum), _sized(shape)
    text = _ENUM_TEXTS.get(shape.name, "{path} should be one of [{values}]")
    pattern = shape.metadata.get("pattern")
    compiled = _python_pattern(pattern) if pattern else None
    if not enum and not compiled:
        return sized

    def check(value: Any, where: _Where, found: list[Fault]) -> None:
        if enum and value not in enum:
            path, values = _path(where), ",".join(shape.enum)
            found.append(Fault(FaultKind.ENUM, path, text.format(path=path, value=value[:100], values=values)))
        sized(value, where, found)
        if compiled and not compiled.fullmatch(value):
            path = _path(where)
            sentence = f"{path} contains characters that are not allowed: {pattern}"
            found.append(Fault(FaultKind.PATTERN, path, sentence))

    return check


def _number(shape: Any) -> _Check:
    bits, least, most = _BITS.get(shape.type_name), shape.metadata.get("min"), shape.metadata.get("max")

    def check(value: Any, where: _Where, found: list[Fault]) -> None:
        if bits and not -(2**bits) <= value < 2**bits:
            path = _path(where)
            sentence = f"{path} can not be read as {_A_TYPE[shape.type_name]}: it is too large."
            found.append(Fault(FaultKind.TYPE, path, sentence))
        if (least is not None and value < least) or (most is not None and value > most):
            path = _path(where)
            low = value if least is None else least
            bounds = f"between {low} and {most}" if most is not None else f"at least {low}"
            found.append(Fault(FaultKind.RANGE, path, f"{path} should be {bounds}."))

    return check


def _sized(shape: Any) -> _Check:
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max")
    if not low and high is None:
        return _nothing_wrong

    def check(value: Any, where: _Where, found: list[Fault]) -> None:
        if len(value) < low:
            path = _path(where)
            found.append(Fault(FaultKind.LENGTH, path, f"{path} should have a length of at least {low}."))
        if high is not None and len(value) > high:
            path = _path(where)
            found.append(Fault(FaultKind.LENGTH, path, f"{path} should have a length of at most {high}."))

    return check


def _path(where: _Where) -> str:
    parts = []
    while where is not None:
        where, part = where
        parts.append(f"[{part}]" if isinstance(part, int) else f".{part}")
    return "".join(reversed(parts)).removeprefix(".")


def _python_pattern(pattern: str) -> re.Pattern[str]:
    """A pattern of the model, made Python's: it is written in Java's dialect, with classes of Unicode."""
    for java, python in (
        (r"\p{L}", r"\w"),
        (r"\p{N}", r"\w"),
        (r"\p{Z}", _SEPARATORS),
        (_PAIRS, _BEYOND),
        (r"\p{Print}", "[ -~]"),
    ):
        pattern = pattern.replace(java, python)
    return re.compile(pattern)


_KINDS: dict[str, Callable[[Any], _Check]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _number,
    "long": _number,
    "float": _number,
    "double": _number,
}
_BITS = {"integer": 31, "long": 63}
_PAIRS, _BEYOND = r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF"
"""What is beyond 16 bits: in Java a pair of surrogates."""
_SEPARATORS = " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_ENUM_TEXTS = {
    "SettingName": "{value} should be one of [{values}]",
    "LaunchType": "launch type should be one of [{values}]",
    "TargetType": "targetType must be container-instance",
}
"""Where AWS words it in its own way, by the name of the shape."""
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "timestamp": (int, float),
}
_ONLY_TYPES = {"string": str, "boolean": bool}
_A_TYPE = {
    "structure": "an object",
    "map": "an object",
    "list": "a list",
    "string": "a string",
    "integer": "an integer",
    "long": "an integer",
    "float": "a number",
    "double": "a number",
    "boolean": "a boolean",
    "timestamp": "a time in epoch seconds",
}
