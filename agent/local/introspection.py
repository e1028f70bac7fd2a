"""The introspection port: what people and tools on the host may see of the agent, and the notice of an interruption.

It listens on the loopback alone: a container reaches its own task's metadata, never this. Requests of web pages (they
carry an `Origin`) are refused. Source: amazon-ecs-agent `ecs-agent/introspection`, README; the story, the metrics and
the notice are ours.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

import msgspec
from aiohttp import web

from agent.core.queueing import Host
from agent.core.state import TaskState
from agent.local import gauges
from agent.local.answers import answer
from agent.local.books import Books
from agent.local.interruption import Interruption, Notice
from agent.local.limit import Handler
from agent.local.recent import KEPT_MAX, Recent
from agent.local.shapes import introspected_task

COMMANDS = ("/v1/metadata", "/v1/tasks", "/v1/story", "/v1/interruption", "/metrics", "/license")
LICENSE = "berth: Apache License 2.0, http://www.apache.org/licenses/LICENSE-2.0\n"
NOTHING = {"Arn": "", "KnownStatus": "", "Family": "", "Version": "", "Containers": None}


class Introspection:
    """The handlers."""

    def __init__(
        self,
        books: Books,
        host: Host,
        recent: Recent,
        interruption: Interruption,
        *,
        cluster: str,
        instance: str,
        version: str,
        clock: Callable[[], float],
    ) -> None:
        """`instance` is the container instance's ARN; `clock` tells epoch seconds."""
        self._books = books
        self._host = host
        self._recent = recent
        self._interruption = interruption
        self._about = {"Cluster": cluster, "ContainerInstanceArn": instance, "Version": f"berth agent - v{version}"}
        self._instance = instance
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """What is served here."""
        return [
            web.get("/", self._commands),
            web.get("/v1/metadata", self._metadata),
            web.get("/v1/tasks", self._tasks),
            web.get("/v1/story", self._story),
            web.get("/v1/interruption", self._noticed),
            web.post("/v1/interruption", self._notice),
            web.get("/metrics", self._metrics),
            web.get("/license", self._license),
        ]

    async def _commands(self, _: web.Request) -> web.Response:
        return answer({"AvailableCommands": COMMANDS})

    async def _metadata(self, _: web.Request) -> web.Response:
        return answer(self._about)

    async def _license(self, _: web.Request) -> web.Response:
        return web.Response(text=LICENSE)

    async def _tasks(self, request: web.Request) -> web.Response:
        if "taskarn" in request.query or "dockerid" in request.query:
            task = self._named(request)
            if task is None:
                return answer(NOTHING, HTTPStatus.NOT_FOUND)
            return answer(await self._shape(task))
        return answer({"Tasks": await asyncio.gather(*map(self._shape, self._books.tasks()))})

    def _named(self, request: web.Request) -> TaskState | None:
        if "dockerid" in request.query:
            found = self._books.by_docker_id(request.query["dockerid"])
            return found.task if found else None
        return self._books.by_arn(request.query["taskarn"])

    async def _shape(self, task: TaskState) -> dict[str, object]:
        docker_ids = [container.docker_id for container in task.containers if container.docker_id]
        inspected = await asyncio.gather(*map(self._books.looks.describe, docker_ids))
        return introspected_task(task, dict(zip(docker_ids, inspected, strict=True)))

    async def _story(self, request: web.Request) -> web.Response:
        limit = request.query.get("limit", str(KEPT_MAX))
        if not limit.isdigit():
            return answer(f"limit is {limit!r}, but must be a whole number.", HTTPStatus.BAD_REQUEST)
        return answer({"lines": self._recent.newest(int(limit))})

    async def _metrics(self, _: web.Request) -> web.Response:
        shown = gauges.text(self._books.tasks(), self._host, self._recent.counts, instance=self._instance)
        return web.Response(body=shown.encode(), headers={"Content-Type": gauges.CONTENT_TYPE})

    async def _noticed(self, _: web.Request) -> web.Response:
        notice = self._interruption.notice
        return answer(notice) if notice else answer(None, HTTPStatus.NOT_FOUND)

    async def _notice(self, request: web.Request) -> web.Response:
        """A notice as EC2's metadata service has it (`spot/instance-action`): `{"action", "time"?}`."""
        try:
            wanted = msgspec.json.decode(await request.read() or b"{}", type=Notice)
            stands = self._interruption.give(wanted, self._clock())
        except (msgspec.MsgspecError, ValueError) as error:
            return answer(f"This is no notice of an interruption: {error}.", HTTPStatus.BAD_REQUEST)
        return answer(stands, HTTPStatus.ACCEPTED)


@web.middleware
async def no_web_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A page in somebody's browser must not steer a host."""
    if "Origin" in request.headers:
        return answer("Requests of web pages are not served here.", HTTPStatus.FORBIDDEN)
    return await handler(request)
