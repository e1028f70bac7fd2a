"""Task scale-in protection, asked for from inside: `$ECS_AGENT_URI/task-protection/v1/state`.

The agent passes it on with the credentials of the task's role, and adds nothing: what protection protects from is the
control plane's business. Source: amazon-ecs-agent `ecs-agent/tmds/handlers/taskprotection/v1`; the words are theirs.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from agent.backend.ecsclient import BackendUnreachableError, EcsClient
from agent.core.state import TaskState
from agent.local.answers import Refusal, answer, refused
from agent.local.books import Books
from agent.local.credentials import CredentialsStore, RoleCredentials
from agent.local.shapes import instant
from wire.errors import AwsError

LIMIT_SECONDS = 4
PATH = "/api/{endpoint:[^/]*}/task-protection/v1/state"
Shape = dict[str, Any]


class _Wanted(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    protection_enabled: bool | None = None
    expires_in_minutes: int | None = None


class Protection:
    """GET and PUT."""

    def __init__(
        self,
        books: Books,
        store: CredentialsStore,
        client_of: Callable[[RoleCredentials], EcsClient],
        cluster: str,
    ) -> None:
        """`client_of` makes a client that signs with a role's credentials."""
        self._books = books
        self._store = store
        self._client_of = client_of
        self._cluster = cluster

    def routes(self) -> list[web.RouteDef]:
        """What is served here."""
        return [web.get(PATH, self._get), web.put(PATH, self._put)]

    async def _get(self, request: web.Request) -> web.Response:
        try:
            task = await self._task(request)
            return answer(await self._ask(task, "GetTaskProtection", {}))
        except Refusal as refusal:
            return refused(refusal)

    async def _put(self, request: web.Request) -> web.Response:
        try:
            try:
                wanted = msgspec.json.decode(await request.read(), type=_Wanted)
            except msgspec.MsgspecError:
                text = "UpdateTaskProtection: failed to decode request"
                raise _error("", "InvalidParameterException", text, HTTPStatus.BAD_REQUEST) from None
            task = await self._task(request)
            if wanted.protection_enabled is None:
                text = "Invalid request: does not contain 'ProtectionEnabled' field"
                raise _error(task.spec.arn, "InvalidParameterException", text, HTTPStatus.BAD_REQUEST)
            members: Shape = {"protectionEnabled": wanted.protection_enabled}
            if wanted.expires_in_minutes is not None and wanted.protection_enabled:
                members["expiresInMinutes"] = wanted.expires_in_minutes
            return answer(await self._ask(task, "UpdateTaskProtection", members))
        except Refusal as refusal:
            return refused(refusal)

    async def _task(self, request: web.Request) -> TaskState:
        found = self._books.by_endpoint(request.match_info["endpoint"])
        if found is None or not await self._books.may_ask(request.remote or "", found.task):
            text = "Failed to find a task for the request"
            raise _error("", "ResourceNotFoundException", text, HTTPStatus.NOT_FOUND)
        return found.task

    async def _ask(self, task: TaskState, operation: str, members: Shape) -> Shape:
        """The control plane's answer, in the shape of this endpoint."""
        arn = task.spec.arn
        credentials = self._store.get(task.spec.credentials_id) if task.spec.credentials_id else None
        if credentials is None:
            text = "Invalid Request: no task IAM role credentials available for task"
            raise _error(arn, "AccessDeniedException", text, HTTPStatus.FORBIDDEN)
        body = {"cluster": self._cluster, "tasks": [arn], **members}
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                said = await self._client_of(credentials).call(operation, body)
        except AwsError as error:
            raise _error(arn, error.code, error.message, error.status, error.request_id) from error
        except TimeoutError as error:
            text = "Timed out calling ECS Task Protection API"
            raise _error(arn, "RequestCanceled", text, HTTPStatus.GATEWAY_TIMEOUT) from error
        except BackendUnreachableError as error:
            raise _error(arn, "ServerException", str(error), HTTPStatus.INTERNAL_SERVER_ERROR) from error
        if said.get("failures"):
            failure = said["failures"][0]
            return {"failure": {member.capitalize(): failure[member] for member in failure}}
        return {"protection": _protection(said["protectedTasks"][0])}


def _protection(protected: Shape) -> Shape:
    shape = {"ProtectionEnabled": protected["protectionEnabled"], "TaskArn": protected["taskArn"]}
    expires = instant(protected.get("expirationDate"))
    return {"ExpirationDate": expires, **shape} if expires else shape


def _error(arn: str, code: str, message: str, status: int, request_id: str = "") -> Refusal:
    error = {**({"Arn": arn} if arn else {}), "Code": code, "Message": message}
    return Refusal(status, {**({"requestID": request_id} if request_id else {}), "error": error})
