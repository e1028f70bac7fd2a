"""The ECS API's shapes, as botocore's public service model has them; nothing of them is retyped here.

The control plane checks requests against the model and, in tests and in dev mode, its own answers. The module knows
JSON values only: no records, no operations' meaning. The agent never imports it (botocore is not on its diet).
"""

from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

from botocore.loaders import Loader
from botocore.model import ServiceModel

from wire.errors import AwsError, InvalidParameterException, SerializationException

NESTING_MAX = 64
"""Levels of JSON in a request; the deepest shape of the model has far fewer."""


class FaultKind(StrEnum):
    """What is wrong with a value."""

    TYPE = "type"
    MISSING = "missing"
    ENUM = "enum"
    LENGTH = "length"
    RANGE = "range"
    UNKNOWN = "unknown"


class Fault(NamedTuple):
    """One thing that is wrong; `path` is like `containerDefinitions[0].name`."""

    kind: FaultKind
    path: str
    message: str


@cache
def service_model() -> ServiceModel:
    """The model, from botocore's own package: no session, no credentials, no `~/.aws`."""
    loader = Loader(extra_search_paths=[], include_default_search_paths=False)
    loader.search_paths.append(Loader.BUILTIN_DATA_PATH)
    return ServiceModel(loader.load_service_model("ecs", "service-2"), "ecs")


@cache
def operations() -> frozenset[str]:
    """Names of all operations that ECS has."""
    return frozenset(service_model().operation_names)


def error_names(operation: str) -> frozenset[str]:
    """Names of the errors that an operation may answer with."""
    return frozenset(shape.name for shape in service_model().operation_model(operation).error_shapes)


def check_request(operation: str, body: dict[str, Any]) -> dict[str, Any]:
    """The request with its nulls left out (AWS takes null as absent); unknown members are kept.

    Raises:
        SerializationException: a value has another type than the model says (AWS's front end).
        InvalidParameterException: a required member, an enum, a length or a range is not kept (ECS).
    """
    request: dict[str, Any] = _without_nulls(body)
    for fault in faults(_shapes(operation)[0], request):
        if fault.kind is not FaultKind.UNKNOWN:
            raise _error_of(fault)
    return request


def response_faults(operation: str, body: dict[str, Any]) -> list[str]:
    """What is wrong with an answer of ours, unknown members included; empty where it is as the model says."""
    return [f"{operation}: {fault.message}" for fault in faults(_shapes(operation)[1], body)]


def faults(shape: Any, value: Any) -> list[Fault]:
    """Everything wrong with a JSON value, against a shape of the model (botocore's `Shape`)."""
    found: list[Fault] = []
    _compiled(shape)(value, None, found)
    return found


_Where = tuple["_Where", str] | None
"""The way to a value, from the inside out; a path is made of it only where something is wrong."""
_Check = Callable[[Any, _Where, list[Fault]], None]
"""Adds to the list what is wrong with a value. One is made for each shape, once."""


@cache
def _compiled(shape: Any) -> _Check:
    """Made at the first value of this shape; botocore's shapes are equal only to themselves."""
    return _typed(shape, _KINDS.get(shape.type_name, _anything)(shape))


def _typed(shape: Any, inside: _Check) -> _Check:
    expected = _PYTHON_TYPES.get(shape.type_name)
    if expected is None or getattr(shape, "is_document_type", False):
        return _anything(shape)
    takes_booleans, described = shape.type_name == "boolean", _A_TYPE[shape.type_name]

    def check(value: Any, where: _Where, found: list[Fault]) -> None:
        if isinstance(value, expected) and (takes_booleans or not isinstance(value, bool)):
            inside(value, where, found)
        else:
            path = _path(where)
            found.append(Fault(FaultKind.TYPE, path, f"{path or 'the request'} can not be read as {described}."))

    return check


def _anything(_: Any) -> _Check:
    return _nothing_wrong


def _nothing_wrong(_value: Any, _where: _Where, _found: list[Fault]) -> None: ...


def _structure(shape: Any) -> _Check:
    required, members = tuple(shape.required_members), shape.members

    def check(value: Any, where: _Where, found: list[Fault]) -> None:
        for name in required:
            if name not in value:
                path = _path((where, f".{name}"))
                found.append(Fault(FaultKind.MISSING, path, f"{path} should not be null or empty."))
        for name, item in value.items():
            if name in members:
                _compiled(members[name])(item, (where, f".{name}"), found)
            else:
                path = _path((where, f".{name}"))
                found.append(Fault(FaultKind.UNKNOWN, path, f"{path} is not a member of {shape.name}."))

    return check


def _list(shape: Any) -> _Check:
    sized = _sized(shape)

    def check(value: Any, where: _Where, found: list[Fault]) -> None:
        sized(value, where, found)
        item_check = _compiled(shape.member)
        for index, item in enumerate(value):
            item_check(item, (where, f"[{index}]"), found)

    return check


def _map(shape: Any) -> _Check:
    def check(value: Any, where: _Where, found: list[Fault]) -> None:
        item_check = _compiled(shape.value)
        for key, item in value.items():
            item_check(item, (where, f".{key}"), found)

    return check


def _string(shape: Any) -> _Check:
    enum, sized = frozenset(shape.enum), _sized(shape)

    def check(value: Any, where: _Where, found: list[Fault]) -> None:
        if enum and value not in enum:
            path = _path(where)
            found.append(Fault(FaultKind.ENUM, path, f"{path} should be one of [{','.join(shape.enum)}]"))
        sized(value, where, found)

    return check


def _whole(shape: Any) -> _Check:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")

    def check(value: Any, where: _Where, found: list[Fault]) -> None:
        if (low is not None and value < low) or (high is not None and value > high):
            path = _path(where)
            found.append(Fault(FaultKind.RANGE, path, f"{path} should be between {low} and {high}."))

    return check


def _sized(shape: Any) -> _Check:
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max")

    def check(value: Any, where: _Where, found: list[Fault]) -> None:
        path_and = "should have a length of at"
        if len(value) < low:
            found.append(Fault(FaultKind.LENGTH, _path(where), f"{_path(where)} {path_and} least {low}."))
        if high is not None and len(value) > high:
            found.append(Fault(FaultKind.LENGTH, _path(where), f"{_path(where)} {path_and} most {high}."))

    return check


def _path(where: _Where) -> str:
    parts = []
    while where is not None:
        where, part = where
        parts.append(part)
    return "".join(reversed(parts)).removeprefix(".")


@cache
def _shapes(operation: str) -> tuple[Any, Any]:
    model = service_model().operation_model(operation)
    return model.input_shape, model.output_shape


def _without_nulls(value: Any, levels: int = NESTING_MAX) -> Any:
    if not levels:
        raise SerializationException(f"The request is nested more than {NESTING_MAX} levels deep.")
    if isinstance(value, dict):
        return {key: _without_nulls(item, levels - 1) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item, levels - 1) for item in value if item is not None]
    return value


def _error_of(fault: Fault) -> AwsError:
    if fault.kind is FaultKind.TYPE:
        return SerializationException(fault.message)
    return InvalidParameterException(fault.message)


_KINDS: dict[str, Callable[[Any], _Check]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _whole,
    "long": _whole,
}
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
