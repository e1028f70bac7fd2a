"""The ECS API's shapes, as botocore's public service model has them; nothing of them is retyped here.

The control plane checks requests against the model and, in tests and in dev mode, its own answers. The module knows
JSON values only: no records, no operations' meaning. The agent never imports it (botocore is not on its diet).
"""

from functools import cache
from typing import Any

from botocore.model import ServiceModel

from wire import models
from wire.errors import AwsError, InvalidParameterException, SerializationException
from wire.shape_checks import Fault, FaultKind, faults

NESTING_MAX = 64
"""Levels of JSON in a request; the deepest shape of the model has far fewer."""


def service_model() -> ServiceModel:
    """Botocore's model of ECS."""
    return models.model(models.ECS)


def operations() -> frozenset[str]:
    """Names of all operations that ECS has."""
    return models.operations(models.ECS)


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


@cache
def _shapes(operation: str) -> tuple[Any, Any]:
    model = service_model().operation_model(operation)
    return model.input_shape, model.output_shape


def _without_nulls(value: Any, levels: int = NESTING_MAX) -> Any:
    if not levels:
        raise SerializationException(f"The request is nested more than {NESTING_MAX} levels deep.")
    if isinstance(value, dict):
        if levels > 1 and _PLAIN.issuperset(map(type, value.values())):
            return value
        return {key: _without_nulls(item, levels - 1) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        if levels > 1 and _PLAIN.issuperset(map(type, value)):
            return value
        return [_without_nulls(item, levels - 1) for item in value if item is not None]
    return value


_PLAIN = frozenset({str, int, float, bool})


def _error_of(fault: Fault) -> AwsError:
    if fault.kind is FaultKind.TYPE:
        return SerializationException(fault.message)
    return InvalidParameterException(fault.message)
