"""`clientToken` of RunTask: a request that comes again is answered with what it started.

Source: API reference, RunTask; ECS Developer Guide, "Ensuring idempotency". How long a token is remembered stands in
`core/retention`.
"""

import re
from hashlib import sha256
from typing import Any

import msgspec

from controlplane.api.call import Answer, Call
from controlplane.api.task_shapes import render
from controlplane.core.model import Cluster, Task, Token
from controlplane.core.view import Draft
from wire.errors import AwsError, InvalidParameterException

_TOKEN = re.compile(r"[!-~]{1,64}")


def used_token(draft: Draft, call: Call, cluster: Cluster) -> Token | None:
    """What this request's token was used for before.

    Raises:
        InvalidParameterException: it is none.
        AwsError: ConflictException, where that was another request.
    """
    text = call.body.get("clientToken")
    if not text:
        return None
    if not _TOKEN.fullmatch(text):
        raise InvalidParameterException("clientToken should be up to 64 ASCII characters in the range of 33-126.")
    used = draft.token(Token(scope=_scope(cluster), token=text, fingerprint="").key)
    if used is not None and used.fingerprint != _fingerprint(call.body):
        raise AwsError(
            "The clientToken was already used with other parameters.",
            code="ConflictException",
            members={"resourceIds": list(used.tasks)},
        )
    return used


def again(draft: Draft, used: Token) -> Answer:
    """The answer to a request that was answered before: the tasks as they are now."""
    tasks = [task for task in map(draft.task, used.tasks) if task is not None]
    return {"tasks": [render(draft, task) for task in tasks], "failures": list(used.failures)}


def remember_token(
    draft: Draft, call: Call, cluster: Cluster, tasks: list[Task], failures: list[dict[str, Any]]
) -> None:
    """A token that started something must not start it again; one that started nothing may be tried anew."""
    text = call.body.get("clientToken")
    if not text or not tasks:
        return
    token = Token(
        scope=_scope(cluster),
        token=text,
        fingerprint=_fingerprint(call.body),
        tasks=tuple(task.arn for task in tasks),
        failures=tuple(failures),
        created_at=draft.now,
    )
    draft.put(token)


def _scope(cluster: Cluster) -> str:
    return f"RunTask {cluster.name}"


def _fingerprint(body: dict[str, Any]) -> str:
    rest = {member: value for member, value in body.items() if member != "clientToken"}
    return sha256(msgspec.json.encode(rest, order="deterministic")).hexdigest()
