"""Credentials of task roles, for the containers that were given their id. It vends what the control plane has sent.

A task that has stopped has none, whoever may still know the id.

Source: amazon-ecs-agent `ecs-agent/tmds/handlers/v1/credentials_handler.go`; the words of the errors are theirs.
"""

from http import HTTPStatus
from typing import Protocol

from aiohttp import web

from agent.core.ladder import Known
from agent.local.answers import answer
from agent.local.books import Books


class RoleCredentials(Protocol):
    """Temporary credentials of one role."""

    @property
    def role_arn(self) -> str: ...
    @property
    def access_key_id(self) -> str: ...
    @property
    def secret_access_key(self) -> str: ...
    @property
    def session_token(self) -> str: ...
    @property
    def expiration(self) -> str: ...


class CredentialsStore(Protocol):
    """Where the newest credentials are."""

    def get(self, credentials_id: str) -> RoleCredentials | None:
        """Those of one id; None where there are none (yet: they do not survive a restart of the agent)."""
        ...


def routes(books: Books, store: CredentialsStore) -> list[web.RouteDef]:
    """`/v1/credentials?id=` and `/v2/credentials/<id>`."""

    async def handle(request: web.Request, credentials_id: str, prefix: str) -> web.Response:
        if not credentials_id:
            return _error("NoIdInRequest", f"{prefix}: No Credential ID in the request", HTTPStatus.BAD_REQUEST)
        task = next((t for t in books.tasks() if credentials_id == t.spec.credentials_id), None)
        if task is None or task.known is Known.STOPPED or not await books.may_ask(request.remote or "", task):
            return _error("InvalidIdInRequest", f"{prefix}: Credentials not found", HTTPStatus.BAD_REQUEST)
        found = store.get(credentials_id)
        if found is None:
            text = f"{prefix}: Credentials uninitialized for ID"
            return _error("CredentialsUninitialized", text, HTTPStatus.SERVICE_UNAVAILABLE)
        shape = {
            "RoleArn": found.role_arn,
            "AccessKeyId": found.access_key_id,
            "SecretAccessKey": found.secret_access_key,
            "Token": found.session_token,
            "Expiration": found.expiration,
        }
        return answer(shape)

    async def version_1(request: web.Request) -> web.Response:
        return await handle(request, request.query.get("id", ""), "CredentialsV1Request")

    async def version_2(request: web.Request) -> web.Response:
        return await handle(request, request.match_info.get("id", ""), "CredentialsV2Request")

    return [
        web.get("/v1/credentials", version_1),
        web.get("/v2/credentials", version_2),
        web.get("/v2/credentials/{id:[^/]*}", version_2),
    ]


def _error(code: str, message: str, status: HTTPStatus) -> web.Response:
    return answer({"code": code, "message": message, "HTTPErrorCode": int(status)}, status)
