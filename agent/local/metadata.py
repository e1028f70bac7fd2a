"""Task metadata, versions 2, 3 and 4: what a container may read of its own task.

Source: amazon-ecs-agent `ecs-agent/tmds/handlers/v4/handlers.go`, `agent/handlers/v2`, `agent/handlers/v3`; the words
of the errors are theirs.
"""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from agent.backend.ecsclient import BackendUnreachableError, EcsClient
from agent.core.state import TaskState
from agent.local.answers import Refusal, answer, refused
from agent.local.books import Books, Found, Usage
from agent.local.shapes import V2, V3, V4, Shape, container_shape, task_shape, with_rates
from wire.errors import AwsError

SAMPLES_MAX = 1000
"""Containers whose last network sample is remembered; the oldest go first."""
TAGS_SECONDS = 4
"""Limit of the look-up of tags; the metadata is answered without them then (assumed, as for task protection)."""

Answering = Callable[[web.Request], Awaitable[web.Response]]


class Metadata:
    """The handlers of `/v2`, `/v3` and `/v4`."""

    def __init__(self, books: Books, client: EcsClient, *, cluster: str, instance: str, zone: str) -> None:
        """`instance` is the container instance's ARN; `zone` empty where it is not to be told."""
        self._books = books
        self._client = client
        self._cluster = cluster
        self._instance = instance
        self._zone = zone
        self._samples: dict[str, Usage] = {}

    def routes(self) -> list[web.RouteDef]:
        """Everything that is served here."""
        routes = []
        for version in (V3, V4):
            base = f"/v{version}/{{endpoint:[^/]*}}"
            routes += [
                web.get(base, self._of_container(version)),
                web.get(f"{base}/task", self._of_task(version)),
                web.get(f"{base}/taskWithTags", self._of_task(version, with_tags=True)),
                web.get(f"{base}/stats", self._container_stats(version)),
                web.get(f"{base}/task/stats", self._task_stats(version)),
            ]
        return [
            *routes,
            web.get("/v2/metadata", self._by_address(self._v2_task)),
            web.get("/v2/metadataWithTags", self._by_address(self._v2_task_with_tags)),
            web.get("/v2/metadata/{container}", self._by_address(self._v2_container)),
            web.get("/v2/stats", self._by_address(self._v2_stats)),
            web.get("/v2/stats/{container}", self._by_address(self._v2_container_stats)),
        ]

    # ---- versions 3 and 4 --------------------------------------------------------------------------------------

    def _of_container(self, version: int) -> Answering:
        async def handle(request: web.Request) -> web.Response:
            found = await self._found(request, version, "container metadata", is_task=False)
            return answer(await self._container(version, found))

        return _refusing(handle)

    def _of_task(self, version: int, *, with_tags: bool = False) -> Answering:
        async def handle(request: web.Request) -> web.Response:
            found = await self._found(request, version, "task metadata", is_task=True)
            return answer(await self._task(version, found.task, with_tags=with_tags))

        return _refusing(handle)

    def _container_stats(self, version: int) -> Answering:
        async def handle(request: web.Request) -> web.Response:
            found = await self._found(request, version, "container stats", is_task=False)
            stats = await self._stats(version, found.container.docker_id)
            if stats is None:
                text = f"Unable to get container stats for: {found.container.docker_id}"
                raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, text)
            return answer(stats)

        return _refusing(handle)

    def _task_stats(self, version: int) -> Answering:
        async def handle(request: web.Request) -> web.Response:
            found = await self._found(request, version, "task stats", is_task=True)
            return answer(await self._stats_of(version, found.task))

        return _refusing(handle)

    async def _found(self, request: web.Request, version: int, what: str, *, is_task: bool) -> Found:
        """The container that the address names, if it is its own task that asks.

        Raises:
            Refusal: 404, the same for a wrong id and for a stranger with a right one.
        """
        endpoint = request.match_info["endpoint"]
        found = self._books.by_endpoint(endpoint)
        if found is not None and await self._books.may_ask(request.remote or "", found.task):
            return found
        why = (
            f"unable to get task arn from request: unable to get task Arn from v3 endpoint ID: {endpoint}"
            if is_task
            else f"unable to get container ID from request: unable to get docker ID from v3 endpoint ID: {endpoint}"
        )
        raise Refusal(HTTPStatus.NOT_FOUND, f"V{version} {what} handler: {why}")

    # ---- version 2: who asks is known by address ---------------------------------------------------------------

    def _by_address(self, handle: Callable[[web.Request, TaskState], Awaitable[Any]]) -> Answering:
        async def answering(request: web.Request) -> web.Response:
            task = await self._books.by_address(request.remote or "")
            if task is None:
                text = f"Unable to get task arn from request: unable to associate '{request.remote}' with task"
                raise Refusal(HTTPStatus.BAD_REQUEST, text)
            return answer(await handle(request, task))

        return _refusing(answering)

    async def _v2_task(self, _request: web.Request, task: TaskState) -> Shape:
        return await self._task(V2, task, with_tags=False)

    async def _v2_task_with_tags(self, _request: web.Request, task: TaskState) -> Shape:
        return await self._task(V2, task, with_tags=True)

    async def _v2_container(self, request: web.Request, task: TaskState) -> Shape:
        return await self._container(V2, self._of_own_task(request, task, "metadata"))

    async def _v2_stats(self, _request: web.Request, task: TaskState) -> Shape:
        return await self._stats_of(V2, task)

    async def _v2_container_stats(self, request: web.Request, task: TaskState) -> Usage:
        found = self._of_own_task(request, task, "stats")
        stats = await self._stats(V2, found.container.docker_id)
        if stats is None:
            text = f"Unable to get container stats for: {found.container.docker_id}"
            raise Refusal(HTTPStatus.BAD_REQUEST, text)
        return stats

    def _of_own_task(self, request: web.Request, task: TaskState, what: str) -> Found:
        docker_id = request.match_info["container"]
        found = self._books.by_docker_id(docker_id)
        if found is None or found.task is not task:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"Unable to get container {what} for: {docker_id}")
        return found

    # ---- what is answered --------------------------------------------------------------------------------------

    async def _container(self, version: int, found: Found) -> Shape:
        inspected = await self._books.looks.describe(found.container.docker_id)
        return container_shape(version, found.task, found.container, inspected)

    async def _task(self, version: int, task: TaskState, *, with_tags: bool) -> Shape:
        found = [Found(task, container) for container in task.containers if container.docker_id]
        containers = await asyncio.gather(*(self._container(version, each) for each in found))
        shape = task_shape(version, task, list(containers), cluster=self._cluster, zone=self._zone)
        return shape | await self._tags(task.spec.arn) if with_tags else shape

    async def _tags(self, task: str) -> Shape:
        """Tags of task and instance; what cannot be had is said under `Errors`, as Amazon's agent does."""
        shape: Shape = {}
        for member, arn in (("TaskTags", task), ("ContainerInstanceTags", self._instance)):
            try:
                async with asyncio.timeout(TAGS_SECONDS):
                    listed = await self._client.call("ListTagsForResource", {"resourceArn": arn})
            except (AwsError, BackendUnreachableError, TimeoutError) as error:
                shape.setdefault("Errors", []).append(_tag_error(member, arn, error))
                continue
            tags = {tag["key"]: tag.get("value", "") for tag in listed.get("tags", [])}
            if tags:
                shape[member] = tags
        return shape

    async def _stats_of(self, version: int, task: TaskState) -> Shape:
        """By Docker's id; null for a container that does not run."""
        docker_ids = [container.docker_id for container in task.containers if container.docker_id]
        stats = await asyncio.gather(*(self._stats(version, docker_id) for docker_id in docker_ids))
        return dict(zip(docker_ids, stats, strict=True))

    async def _stats(self, version: int, docker_id: str) -> Usage | None:
        usage = await self._books.looks.usage(docker_id)
        if usage is None:
            return None
        before = self._samples.pop(docker_id, None)
        self._samples[docker_id] = usage
        while len(self._samples) > SAMPLES_MAX:
            self._samples.pop(next(iter(self._samples)))
        return with_rates(usage, before) if version >= V4 else usage


def _tag_error(member: str, arn: str, error: Exception) -> Shape:
    code, status = (error.code, int(error.status)) if isinstance(error, AwsError) else ("RequestCanceled", 504)
    return {
        "ErrorField": member,
        "ErrorCode": code,
        "ErrorMessage": error.message if isinstance(error, AwsError) else str(error),
        "StatusCode": status,
        "ResourceARN": arn,
    }


def _refusing(handle: Answering) -> Answering:
    async def answering(request: web.Request) -> web.Response:
        try:
            return await handle(request)
        except Refusal as refusal:
            return refused(refusal)

    return answering
