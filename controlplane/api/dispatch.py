"""One POST, one operation: checks, decides, commits, answers. It knows no operation's meaning.

A writer's answer goes out only after its plan is durable. Whatever happens, the caller gets AWS's kind of answer.
Source: botocore's ECS model (protocol JSON 1.1); API reference, "Common errors".
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, NoReturn, Protocol

import msgspec
import structlog
from aiohttp import web

from controlplane.agents.reports import story_lines
from controlplane.api import auth, neighbours, our_requests
from controlplane.api.call import Account, Answer, Call, Reader
from controlplane.api.http import Headers, Request, Response, lower, request_of, response_of
from controlplane.api.keys import KeyRing
from controlplane.api.neighbours import Dialect
from controlplane.api.operations import READERS, REPORTS, WRITERS
from controlplane.api.rates import Rates
from controlplane.api.refusals import REFUSED
from controlplane.api.role_keys import Claims
from controlplane.committing import Committer, as_it_is
from controlplane.core.plan import Plan
from controlplane.core.view import ACTOR
from controlplane.metrics import Metrics
from controlplane.store.port import Store
from wire import ecs_shapes, envelope
from wire.errors import AwsError, ClientException, SerializationException, ServerException, UnknownOperationException
from wire.extensions import (
    EXPLAIN_PLACEMENT,
    FORCE_STOP_TASK,
    GET_POLICY,
    GROUP_OPERATIONS,
    PUT_POLICY,
    SUBMIT_INSTANCE_INTERRUPTION,
    SUBMIT_RESOURCE_RELEASE,
    SUBMIT_STORY,
    SUBMIT_TASK_ADDRESS,
    SYNC_MACHINES,
)
from wire.story import Kind, StoryLine

BODY_BYTES_MAX = 1024 * 1024
BODY_SECONDS_MAX = 20
"""Between the headers and the end of the body: who sends it byte by byte keeps nobody waiting. Assumed."""
OURS = GROUP_OPERATIONS | {
    EXPLAIN_PLACEMENT,
    FORCE_STOP_TASK,
    GET_POLICY,
    PUT_POLICY,
    SUBMIT_INSTANCE_INTERRUPTION,
    SUBMIT_RESOURCE_RELEASE,
    SUBMIT_STORY,
    SUBMIT_TASK_ADDRESS,
    SYNC_MACHINES,
}

EXECUTE_COMMAND = "ExecuteCommand"
_OK = int(HTTPStatus.OK)
_APART = frozenset({SUBMIT_STORY, EXECUTE_COMMAND})
"""Served, and in none of the tables: one adds to the story alone, the other opens a session."""

_log = structlog.get_logger(__name__)
_CAUSE = envelope.CAUSE_HEADER.lower()
_members = msgspec.json.Decoder(dict[str, Any])
_SUBJECTS = {
    "service": "serviceArn",
    "task": "taskArn",
    "taskDefinition": "taskDefinitionArn",
    "containerInstance": "containerInstanceArn",
    "cluster": "clusterArn",
    "capacityProvider": "capacityProviderArn",
}


Later = Coroutine[Any, Any, Response] | asyncio.Future[Response]
"""A response that has to be waited for: by a task of its own, or until others have got it."""


class Neighbour(Protocol):
    """Another service that tools of ECS call, on the same endpoint and in the same protocol."""

    async def serve(self, operation: str, body: dict[str, Any]) -> Answer:
        """Answer one request.

        Raises:
            AwsError: it cannot be carried out.
        """
        ...


class Dispatcher:
    """Serves `POST /`. `by_prefix` are its neighbours, by their target prefixes."""

    def __init__(
        self,
        *,
        store: Store,
        committer: Committer,
        account: Account,
        keys: KeyRing | None,
        clock: Callable[[], float],
        metrics: Metrics,
        by_prefix: Mapping[str, Neighbour],
        rates: Rates,
        execute: Reader,
        check_answers: bool,
    ) -> None:
        self._store = store
        self._account = account
        self._keys = keys
        self._committer = committer
        self._clock = clock
        self._metrics = metrics
        self._by_prefix = by_prefix
        self._rates = rates
        self._execute = execute
        self._check_answers = check_answers
        self._debug = _log.bind().debug  # looked up by name it takes as long as counting the call and checking its body

    async def handle(self, request: web.Request, ours: str = "") -> web.Response:
        """Answer one request that comes by way of aiohttp. `ours` is an operation that a path of ours stands for."""
        try:
            body = await _read(request)
        except AwsError as error:
            dialect = Dialect.JSON if ours else neighbours.dialect_of(lower(request.headers))
            if dialect is not Dialect.JSON:
                return response_of(neighbours.refusal(error, dialect))
            return response_of(self.refused(error, ours or "?", self._account.names.uuid()))
        response = self.answer(request_of(request, body), ours)
        return response_of(response if isinstance(response, Response) else await response)

    def answer(self, request: Request, ours: str = "") -> Response | Later:
        """Answer one request, always: at once where nothing has to be waited for."""
        headers = request.headers
        target = headers.get("x-amz-target", "")
        if not target and not ours and (dialect := neighbours.dialect_of(headers)) is not Dialect.JSON:
            return self._answer_neighbour(request, dialect)
        request_id, operation = self._account.names.uuid(), ours or "?"
        try:
            if neighbours.is_foreign(headers):
                raise neighbours.wrong_service(headers)  # noqa: TRY301 - no signature of theirs is for us
            role = self.authenticate(request)
            prefix, _, named = target.partition(".")
            if prefix in self._by_prefix and named:
                operation = named
                auth.permit(role, operation)
                return self._answer_later(
                    self._by_prefix[prefix].serve(operation, _parse(request.body)), operation, request_id
                )
            operation = ours or _SERVED.get(target) or _not_served(headers)
            auth.permit(role, operation)
            self._rates.take(operation)
            return self._serve(operation, request, request_id)
        except Exception as error:  # noqa: BLE001 - the end of the chain: a caller is never left without an answer
            return self.refused(error, operation, request_id)

    async def _answer_later(self, serving: Awaitable[Answer], operation: str, request_id: str) -> Response:
        try:
            return self.answered(await serving, operation, request_id)
        except Exception as error:  # noqa: BLE001 - as above
            return self.refused(error, operation, request_id)

    def answered(self, answer: Answer, operation: str, request_id: str) -> Response:
        """The response that says this; it counts."""
        return self._response(_OK, msgspec.json.encode(answer), operation, "OK", request_id)

    def refused(self, error: Exception, operation: str, request_id: str) -> Response:
        """The response that says why not; it counts. What is a mistake of ours, the log has."""
        if not isinstance(error, AwsError):
            _log.error("request failed", operation=operation, request_id=request_id, exc_info=error)
            sentence = f"{operation} failed here; the log of the control plane has it as {request_id}."
            error = ServerException(sentence)
        return self._response(error.status, envelope.encode_error(error), operation, error.code, request_id)

    def _response(self, status: int, body: bytes, operation: str, code: str, request_id: str) -> Response:
        self._metrics.count_request(operation, code)
        self._debug("request", operation=operation, code=code, request_id=request_id)
        return Response(status, body, {"x-amzn-RequestId": request_id, "Content-Type": envelope.CONTENT_TYPE})

    def authenticate(self, request: Request) -> Claims | None:
        """Check the signature, where there are keys; the task role that signed, if it was one.

        Raises:
            AwsError: 403.
        """
        return auth.verify(self._keys, request, self._clock())

    def _answer_neighbour(self, request: Request, dialect: Dialect) -> Response:
        """A request that is not in ECS's protocol: STS may say who calls, others are told whom they have reached."""
        try:
            if neighbours.service_of(request.headers) not in ("", "sts"):
                raise neighbours.wrong_service(request.headers)
            role = self.authenticate(request)
            return neighbours.xml(neighbours.caller_identity(request.body, self._account.names.arns.account, role))
        except AwsError as error:
            return neighbours.refusal(error, dialect)

    def _serve(self, operation: str, request: Request, request_id: str) -> Response | Later:
        body: dict[str, Any] = dict(request.query) if request.method == "GET" else _parse(request.body)
        body = (our_requests if operation in OURS else ecs_shapes).check_request(operation, body)
        call = Call(
            operation=operation,
            body=body,
            id=request_id,
            now=self._clock(),
            account=self._account,
            url=request.url,
        )
        if operation == SUBMIT_STORY:
            return self._answer_later(self._tell(call), operation, request_id)
        read = self._execute if operation == EXECUTE_COMMAND else READERS.get(operation)
        if read is None:
            return self._commit(call, request.headers.get(_CAUSE) or call.id)
        return self.answered(self._checked(call, read(self._store.view(), call)), operation, request_id)

    async def _tell(self, call: Call) -> Answer:
        await self._store.tell(story_lines(call))
        return {}

    def _commit(self, call: Call, cause: str) -> "asyncio.Future[Response]":
        if call.operation in REPORTS:
            decide, finish = REPORTS[call.operation], as_it_is
        else:
            decide, finish, cause = WRITERS[call.operation], partial(_introduced, call), call.id
        response: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._committer.ask(
            lambda draft: self._checked(call, decide(draft, call)),
            _Caller(self, call, response),
            cause=cause,
            finish=finish,
        )
        return response

    def _checked(self, call: Call, answer: Answer) -> Answer:
        """The answer, held against the model where that was asked for; before anything is committed."""
        if self._check_answers and call.operation not in OURS:
            faults = ecs_shapes.response_faults(call.operation, msgspec.json.decode(msgspec.json.encode(answer)))
            for fault in faults:
                _log.warning("answer is not as the model has it", fault=fault)
            if faults:
                raise ServerException(f"The answer is not as the model has it: {faults[0]}")
        return answer


class _Caller(msgspec.Struct):
    """Who waits for a writer's answer: it becomes a response in the turn in which its plan is durable."""

    dispatcher: Dispatcher
    call: Call
    response: "asyncio.Future[Response]"

    def done(self) -> bool:
        return self.response.done()

    def set_result(self, answer: Answer) -> None:
        try:
            self.response.set_result(self.dispatcher.answered(answer, self.call.operation, self.call.id))
        except Exception as error:  # noqa: BLE001 - the end of the chain
            self.set_exception(error)

    def set_exception(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            self.response.set_result(self.dispatcher.refused(error, self.call.operation, self.call.id))
        else:
            self.response.set_exception(error)


def _introduced(call: Call, plan: Plan, answer: Answer) -> Plan:
    """The plan with the line in front that says who asked for it."""
    subject = call.text("cluster") or call.text("clusterName")
    if not isinstance(subject, str) or not subject:  # a member that the operation does not have may be anything
        subject = "default"
    if not _SUBJECTS.keys().isdisjoint(answer):
        for noun, arn in _SUBJECTS.items():
            if noun in answer:
                subject = msgspec.to_builtins(answer[noun])[arn]
    line = StoryLine(
        plan.story[0].at if plan.story else call.now,
        ACTOR,
        subject,
        Kind.REQUEST,
        data={"operation": call.operation},
        id=call.id,
    )
    return msgspec.structs.replace(plan, story=(line, *plan.story))


async def _read(request: web.Request) -> bytes:
    try:
        if request.content.is_eof():  # most bodies come with their headers; a clock for them costs more than reading
            return await request.read()
        async with asyncio.timeout(BODY_SECONDS_MAX):
            return await request.read()
    except TimeoutError:
        raise AwsError(
            f"The request was not here within {BODY_SECONDS_MAX} s.", code="RequestTimeoutException", status=408
        ) from None
    except web.HTTPRequestEntityTooLarge:
        raise AwsError(
            f"The request is larger than {BODY_BYTES_MAX} bytes.", code="RequestEntityTooLargeException", status=413
        ) from None
    except web.RequestPayloadError:
        raise SerializationException("The request body is not as its Content-Encoding or its length says.") from None


def _parse(body: bytes) -> dict[str, Any]:
    try:
        return _members.decode(body or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise SerializationException("The request body is no JSON object.") from None
    except RecursionError:
        raise SerializationException("The request body is nested too deeply.") from None


_SERVED = {envelope.target(operation): operation for operation in (*READERS, *WRITERS, *REPORTS, *_APART)}


def _not_served(headers: Headers) -> NoReturn:
    """Say what this target is instead of an operation that is served."""
    operation = envelope.operation_of(headers.get("x-amz-target", ""))
    if operation is None:
        raise neighbours.wrong_service(headers)
    if operation not in ecs_shapes.operations():
        raise UnknownOperationException(f"ECS has no operation {operation[:100]!r}.")
    sentence = REFUSED.get(operation, f"{operation} is an operation of ECS that is not served here yet.")
    if "UnsupportedFeatureException" in ecs_shapes.error_names(operation):
        raise AwsError(sentence, code="UnsupportedFeatureException")
    raise ClientException(sentence)
