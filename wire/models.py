"""AWS's service models, as botocore has them; requests of ECS's neighbours held against theirs."""

from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel

from wire.errors import AwsError, SerializationException
from wire.shape_checks import FaultKind, faults

ECS = "ecs"
SCALING = "application-autoscaling"
METRICS = "cloudwatch"
LOGS = "logs"
EVENTS = "events"


def checked(service: str, operation: str, body: dict[str, Any], *, code: str) -> dict[str, Any]:
    """The request without nulls. `code` names the error that the service has for a parameter that is not valid.

    Raises:
        SerializationException: a value has another type.
        AwsError: a required member, an enum, a length, a range or a pattern is not kept.
    """
    request = {name: value for name, value in body.items() if value is not None}
    for fault in faults(model(service).operation_model(operation).input_shape, request):
        if fault.kind is FaultKind.TYPE:
            raise SerializationException(fault.message)
        if fault.kind is not FaultKind.UNKNOWN:
            raise AwsError(fault.message, code=code)
    return request


def answer_faults(service: str, operation: str, answer: dict[str, Any]) -> list[str]:
    """What is wrong with an answer of ours; empty where it is as the model says."""
    shape = model(service).operation_model(operation).output_shape
    return [fault.message for fault in faults(shape, answer)] if shape is not None else []


@cache
def operations(service: str) -> frozenset[str]:
    """Names of all operations of a service."""
    return frozenset(model(service).operation_names)


@cache
def model(service: str) -> ServiceModel:
    """The model, from botocore's own package: no session, no credentials, no `~/.aws`."""
    loader = Loader(extra_search_paths=[], include_default_search_paths=False)
    loader.search_paths.append(Loader.BUILTIN_DATA_PATH)
    return ServiceModel(loader.load_service_model(service, "service-2"), service)
