"""AWS's errors, by the names and in the words that cross the wire.

A failure of the *world* is one of these values; a mistake of a programmer is an ordinary exception.
Source: API reference, "Common errors" and the errors of each operation; botocore reads `__type` and `message`.
"""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any


class AwsError(Exception):
    """An error that a caller of the ECS API sees.

    `code` is AWS's exception name, `message` one sentence. Client faults answer 400, `ServerException` 500.
    `members` are what a few errors carry besides (`resourceIds` of ConflictException). `request_id` is known on the
    side of the caller.
    """

    code = "ClientException"
    status = HTTPStatus.BAD_REQUEST
    request_id = ""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        members: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.members = members
        if code is not None:
            self.code = code
        if status is not None:
            self.status = HTTPStatus(status)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class ClientException(AwsError):
    """The request cannot be carried out as it is."""


class InvalidParameterException(AwsError):
    """A parameter is not valid."""

    code = "InvalidParameterException"


class ClusterNotFoundException(AwsError):
    """The cluster is not there."""

    code = "ClusterNotFoundException"

    def __init__(self, message: str = "Cluster not found.") -> None:
        super().__init__(message)


class ServiceNotFoundException(AwsError):
    """The service is not there."""

    code = "ServiceNotFoundException"

    def __init__(self, message: str = "Service not found.") -> None:
        super().__init__(message)


class ServiceNotActiveException(AwsError):
    """The service is DRAINING or INACTIVE."""

    code = "ServiceNotActiveException"

    def __init__(self, message: str = "Service was not ACTIVE.") -> None:
        super().__init__(message)


class UnknownOperationException(AwsError):
    """There is no such operation, or not here."""

    code = "UnknownOperationException"


class SerializationException(AwsError):
    """The body is no JSON object."""

    code = "SerializationException"


class ServerException(AwsError):
    """Something here broke; the caller may try again."""

    code = "ServerException"
    status = HTTPStatus.INTERNAL_SERVER_ERROR
