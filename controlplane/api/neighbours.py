"""Requests for other AWS services, in the protocol in which each reads its answer: one sentence, and who the caller is.

ECS and its neighbours with targets speak JSON; STS and its like send a form and read XML, EC2 and S3 read XML of their
own, the rest read JSON with the error's name in a header. Source: botocore's parsers; the services' API references.
"""

import re
from enum import StrEnum
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import parse_qs
from uuid import uuid4
from xml.sax.saxutils import escape

import msgspec
from aiohttp import web

from controlplane.api import sigv4
from controlplane.api.auth import SERVICES
from controlplane.api.http import Headers, Response, lower, response_of
from controlplane.api.role_keys import Claims
from wire import envelope
from wire.arn import short_id
from wire.errors import AwsError, UnknownOperationException

_SCOPE = re.compile(r"Credential=[^/\s]+/\d{8}/[^/\s]+/(?P<service>[a-z0-9-]+)/aws4_request")
_OURS = frozenset({"", *SERVICES})
_IDENTITY = "GetCallerIdentity"


class Dialect(StrEnum):
    """How a caller reads an answer."""

    JSON = "json"
    QUERY = "query"
    EC2 = "ec2"
    S3 = "s3"
    REST = "rest"


_BY_SERVICE = {"ec2": Dialect.EC2, "s3": Dialect.S3, "cloudfront": Dialect.QUERY, "route53": Dialect.QUERY}


def service_of(headers: Headers) -> str:
    """The service that a request was signed for; "" where that cannot be seen."""
    return _service_in(headers.get("authorization", "").partition("Signature=")[0])


@lru_cache(sigv4.SIGNERS_KEPT)
def _service_in(credential: str) -> str:
    scope = _SCOPE.search(credential)
    return scope["service"] if scope else ""


def is_foreign(headers: Headers) -> bool:
    """Whether a request was signed for a service that is not served here: no signature of its kind is for us."""
    return service_of(headers) not in _OURS


def dialect_of(headers: Headers, path: str = "/") -> Dialect:
    """How the sender of a request reads its answer."""
    if "x-amz-target" in headers:
        return Dialect.JSON
    if known := _BY_SERVICE.get(service_of(headers)):
        return known
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return Dialect.QUERY
    return Dialect.JSON if path == "/" else Dialect.REST


def wrong_service(headers: Headers) -> UnknownOperationException:
    """What a request for another service is told; its name is in its signature or, less readable, in its target."""
    signed, prefix = service_of(headers), headers.get("x-amz-target", "").rpartition(".")[0]
    service = signed if is_foreign(headers) else prefix or signed
    if service in ("", "ecs"):
        return UnknownOperationException("This is an ECS API: POST / with an X-Amz-Target header is what it serves.")
    return UnknownOperationException(
        f"This request is for {service[:100]}, which is not served here. "
        "Point only ECS here, with AWS_ENDPOINT_URL_ECS instead of AWS_ENDPOINT_URL."
    )


def caller_identity(body: bytes, account: str, role: Claims | None) -> str:
    """The answer to a form that STS would have: who signed. `account` is the number.

    Raises:
        AwsError: it asks for something else.
    """
    action = parse_qs(body.decode(errors="replace")).get("Action", [""])[0]
    if action != _IDENTITY:
        raise AwsError(f"STS's {action[:100] or 'operation'} is not served here; {_IDENTITY} is.", code="InvalidAction")
    if role is None:
        arn, user = f"arn:aws:iam::{account}:root", account
    else:
        session = short_id(role.task)
        arn, user = f"arn:aws:sts::{account}:assumed-role/{short_id(role.role)}/{session}", f"AROA:{session}"
    said = f"<Arn>{escape(arn)}</Arn><UserId>{escape(user)}</UserId><Account>{account}</Account>"
    return _ANSWER.format(action=_IDENTITY, said=said, id=uuid4())


def refusal(error: AwsError, dialect: Dialect, status: int | None = None) -> Response:
    """The answer that says an error, so that a caller of this dialect shows its sentence."""
    status = error.status if status is None else status
    if dialect is Dialect.JSON:
        return Response(status, envelope.encode_error(error), {"Content-Type": envelope.CONTENT_TYPE})
    if dialect is Dialect.REST:
        headers = {"Content-Type": "application/json", "x-amzn-ErrorType": error.code}
        return Response(status, msgspec.json.encode({"message": error.message}), headers)
    said = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
    return xml(_XML[dialect].format(said=said, id=uuid4()), status)


def xml(text: str, status: int = HTTPStatus.OK) -> Response:
    """An answer in the older protocols."""
    return Response(status, text.encode(), {"Content-Type": "text/xml; charset=utf-8"})


async def elsewhere(request: web.Request) -> web.Response:
    """The answer on a path that is not served: most likely a client of another AWS service that was pointed here."""
    headers = lower(request.headers)
    return response_of(refusal(wrong_service(headers), dialect_of(headers, request.path), HTTPStatus.NOT_FOUND))


_ANSWER = (
    '<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>{said}</{action}Result>'
    "<ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{action}Response>"
)
_XML = {
    Dialect.QUERY: "<ErrorResponse><Error><Type>Sender</Type>{said}</Error><RequestId>{id}</RequestId></ErrorResponse>",
    Dialect.EC2: "<Response><Errors><Error>{said}</Error></Errors><RequestID>{id}</RequestID></Response>",
    Dialect.S3: "<Error>{said}<RequestId>{id}</RequestId></Error>",
}
