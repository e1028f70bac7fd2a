"""The ECS API's shapes, as botocore's public service model has them; nothing of them is retyped here.

The control plane checks requests against the model and, in tests and in dev mode, its own answers. The module knows
JSON values only: no records, no operations' meaning. The agent never imports it (botocore is not on its diet).
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

from botocore.loaders import Loader
from botocore.model import ServiceModel

from wire.errors import AwsError, InvalidParameterException, SerializationException

NESTING_MAX = 32
"""Levels of JSON that are looked at; the deepest shape of the model has fewer."""


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
        InvalidParameterException: a required member, an enum, a length, a range or a pattern is not kept (ECS).
    """
    request: dict[str, Any] = _without_nulls(body)
    for fault in faults(_shapes(operation)[0], request):
        if fault.kind is not FaultKind.UNKNOWN:
            raise _error_of(fault)
    return request


def response_faults(operation: str, body: dict[str, Any]) -> list[str]:
    """What is wrong with an answer of ours, unknown members included; empty where it is as the model says."""
    return [f"{operation}: {fault.message}" for fault in faults(_shapes(operation)[1], body)]


def faults(shape: Any, value: Any, path: str = "") -> Iterator[Fault]:
    """Everything wrong with a JSON value, against a shape of the model (botocore's `Shape`)."""
    expected = _PYTHON_TYPES.get(shape.type_name)
    if path.count(".") + path.count("[") > NESTING_MAX or getattr(shape, "is_document_type", False):
        return
    if expected and (not isinstance(value, expected) or (isinstance(value, bool) and shape.type_name != "boolean")):
        name = path or "the request"
        yield Fault(FaultKind.TYPE, path, f"{name} can not be read as {_A_TYPE[shape.type_name]}.")
        return
    if shape.type_name == "structure":
        yield from _structure_faults(shape, value, path)
    elif shape.type_name == "list":
        yield from _size_faults(shape, len(value), path)
        for index, item in enumerate(value):
            yield from faults(shape.member, item, f"{path}[{index}]")
    elif shape.type_name == "map":
        for key, item in value.items():
            yield from faults(shape.value, item, f"{path}.{key}")
    else:
        yield from _scalar_faults(shape, value, path)


def _structure_faults(shape: Any, value: dict[str, Any], path: str) -> Iterator[Fault]:
    prefix = f"{path}." if path else ""
    for name in shape.required_members:
        if name not in value:
            yield Fault(FaultKind.MISSING, prefix + name, f"{prefix}{name} should not be null or empty.")
    for name, item in value.items():
        if name in shape.members:
            yield from faults(shape.members[name], item, prefix + name)
        else:
            yield Fault(FaultKind.UNKNOWN, prefix + name, f"{prefix}{name} is not a member of {shape.name}.")


def _scalar_faults(shape: Any, value: Any, path: str) -> Iterator[Fault]:
    if shape.type_name == "string":
        if shape.enum and value not in shape.enum:
            text = _ENUM_TEXTS.get(shape.name, "{path} should be one of [{values}]")
            yield Fault(FaultKind.ENUM, path, text.format(path=path, value=value[:100], values=",".join(shape.enum)))
        yield from _size_faults(shape, len(value), path)
        pattern = shape.metadata.get("pattern")
        if pattern and not _compiled(pattern).fullmatch(value):
            yield Fault(FaultKind.PATTERN, path, f"{path} contains characters that are not allowed: {pattern}")
    elif shape.type_name in _NUMBERS:
        bits = _BITS.get(shape.type_name)
        if bits and not -(2**bits) <= value < 2**bits:
            yield Fault(FaultKind.TYPE, path, f"{path} can not be read as {_A_TYPE[shape.type_name]}: it is too large.")
        low, high = shape.metadata.get("min", value), shape.metadata.get("max", value)
        if not low <= value <= high:
            bounds = f"between {low} and {high}" if "max" in shape.metadata else f"at least {low}"
            yield Fault(FaultKind.RANGE, path, f"{path} should be {bounds}.")


def _size_faults(shape: Any, size: int, path: str) -> Iterator[Fault]:
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max")
    if size < low:
        yield Fault(FaultKind.LENGTH, path, f"{path} should have a length of at least {low}.")
    if high is not None and size > high:
        yield Fault(FaultKind.LENGTH, path, f"{path} should have a length of at most {high}.")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of the model, made Python's: it is written in Java's dialect, with classes of Unicode."""
    for java, python in ((r"\p{L}", r"\w"), (r"\p{N}", r"\w"), (r"\p{Z}", _SEPARATORS)):
        pattern = pattern.replace(java, python)
    return re.compile(pattern)


@cache
def _shapes(operation: str) -> tuple[Any, Any]:
    model = service_model().operation_model(operation)
    return model.input_shape, model.output_shape


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value if item is not None]
    return value


def _error_of(fault: Fault) -> AwsError:
    if fault.kind is FaultKind.TYPE:
        return SerializationException(fault.message)
    return InvalidParameterException(fault.message)


_NUMBERS = ("integer", "long", "float", "double")
_BITS = {"integer": 31, "long": 63}
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
