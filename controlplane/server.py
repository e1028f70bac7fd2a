"""The control plane as one process: what turns commits into work, and the one port that serves it all.

Its parts are made in `parts`; nothing is decided here. What is acknowledged is on disk, so stopping is quick and a
kill -9 is harmless.
"""

import asyncio
import contextlib
import errno
import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from controlplane import schedulers
from controlplane.agents.executing import CHANNEL_PATH
from controlplane.agents.refusal import refused_by
from controlplane.api import auth, neighbours
from controlplane.api.clusters import DEFAULT_CLUSTER
from controlplane.api.dispatch import BODY_BYTES_MAX
from controlplane.api.http import request_of
from controlplane.config import Config, SetupError, check
from controlplane.core.model import Cluster, Instance, Task
from controlplane.core.view import Draft
from controlplane.door import HEADERS_SECONDS_MAX, Door, signed_only, tls
from controlplane.events.emitter import Emitter, render
from controlplane.events.feed import Bell
from controlplane.parts import Parts
from controlplane.store.memory import MemoryStore
from controlplane.store.port import Commit, Store, StoreBusy, StoreForeign
from controlplane.store.sqlite import SqliteStore
from wire.arn import ArnMaker
from wire.errors import AwsError
from wire.execution import EXECUTION_PATH
from wire.extensions import EXPLAIN_PLACEMENT, GET_POLICY, PUT_POLICY

STORE_FILE = "controlplane.sqlite"
RECONNECT_SECONDS = 15
"""After a start the agents have so long to come back before their instances count as disconnected. Assumed."""
SHUTDOWN_SECONDS = 2
BACKLOG = 1024
"""Connections that wait to be accepted: a whole cluster comes back at once after a restart. Assumed."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = structlog.get_logger(__name__)


class ControlPlane(Parts):
    """One control plane that serves. Use it as `async with running(config) as plane`."""

    def __init__(self, config: Config, store: Store) -> None:
        super().__init__(config, store)
        self.port = config.port
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._jobs: list[asyncio.Task[None]] = []
        self._listener: asyncio.Server | None = None
        self._runner = web.AppRunner(
            self._app(),
            access_log=None,
            shutdown_timeout=SHUTDOWN_SECONDS,
            keepalive_timeout=HEADERS_SECONDS_MAX,
        )

    @property
    def url(self) -> str:
        """Where it is reached."""
        host = self.config.host
        scheme = "https" if self.config.tls_cert else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    async def start(self) -> None:
        """Begin to serve.

        Raises:
            SetupError: the port is taken, or not ours to take.
        """
        schedulers.load()
        await self._runner.setup()
        assert self._runner.server is not None
        config = self.config
        self._door = Door(self.dispatcher.answer, self._runner.server, idle_seconds_max=HEADERS_SECONDS_MAX)
        try:
            encryption = tls(config.tls_cert, config.tls_key) if config.tls_cert and config.tls_key else None
            self._listener = await asyncio.get_running_loop().create_server(
                self._door, config.host, config.port, ssl=encryption, backlog=BACKLOG
            )
        except OSError as error:
            raise SetupError(_why_no_port(config, error)) from None
        except ValueError as error:
            raise SetupError(str(error)) from None
        self.port = self._listener.sockets[0].getsockname()[1]
        await self.committer.commit(self._ensure_default_cluster, cause="start")
        pumps = [self.capacity.run(), *(pump.run() for pump in self.pumps)]
        for job in (
            self._follow(),
            self.worker.run(),
            self.sweeper.run(),
            self.ticker.run(),
            self.hooks.run(),
            self.balancer.run(),
            self.scaling.run(),
            self._forget_absent(),
            *pumps,
        ):
            self._spawn(job)

    async def close(self) -> None:
        """Stop serving, then make everything durable."""
        for bell in self._bells:
            bell.close()
        self.executing.close()
        self.sessions.close()
        await self.telemetry.close()
        if self._listener is not None:
            self._listener.close()
            await self._door.close(SHUTDOWN_SECONDS)
        await self._runner.cleanup()
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        for sink in self.sinks:
            await sink.close()
        await self.logs.close()
        await self.minutes.close()
        await self.store.close()

    def _app(self) -> web.Application:
        middlewares = [signed_only(self._authenticate)] if self.config.keys is not None else []
        app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=middlewares)
        app.router.add_post("/", self.dispatcher.handle)
        app.router.add_get("/acs/ws", partial(self._agents, self.sessions.handle))
        app.router.add_get("/tcs/ws", partial(self._agents, self.telemetry.handle))
        app.router.add_get("/events", self.events.handle)
        app.router.add_get(CHANNEL_PATH + "/{session}", self.executing.serve_client)
        app.router.add_get(EXECUTION_PATH + "/{session}", self.executing.serve_agent)
        app.router.add_get("/_berth/health", self._health)
        app.router.add_get("/_berth/story", self.feed.handle)
        app.router.add_post("/_berth/alarms", self.alarms.set)
        app.router.add_get("/_berth/alarms", self.alarms.list)
        app.add_routes(self.target_groups.routes())
        app.router.add_post("/_berth/metrics", self.monitoring.post)
        app.router.add_get("/_berth/explain", partial(self.dispatcher.handle, ours=EXPLAIN_PLACEMENT))
        app.router.add_get("/_berth/policy", partial(self.dispatcher.handle, ours=GET_POLICY))
        app.router.add_put("/_berth/policy", partial(self.dispatcher.handle, ours=PUT_POLICY))
        app.router.add_get("/_berth/telemetry", self.telemetry.newest)
        app.router.add_post("/_berth/reset", self._reset)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_route("*", "/{path:.*}", neighbours.elsewhere)
        return app

    async def _authenticate(self, request: web.Request) -> None:
        role = self.dispatcher.authenticate(request_of(request, await request.read()))
        auth.permit(role, f"{request.method} {request.path}")

    async def _agents(self, handle: Handler, request: web.Request) -> web.StreamResponse:
        try:
            auth.permit(self.dispatcher.authenticate(request_of(request, b"")), "ConnectAgent")
        except AwsError as error:
            return refused_by(error)
        return await handle(request)

    async def _health(self, _: web.Request) -> web.Response:
        state = {"status": "ok", "revision": self.store.view().revision, "policy": self.config.policy}
        return web.json_response(state)

    async def _reset(self, request: web.Request) -> web.Response:
        try:
            return web.json_response(await self.reset.run(is_web_page="Origin" in request.headers))
        except AwsError as error:
            return refused_by(error)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self.metrics.exposition(), content_type="text/plain")

    def _ensure_default_cluster(self, draft: Draft) -> None:
        if draft.cluster(DEFAULT_CLUSTER) is None:
            draft.put(self.new_cluster(DEFAULT_CLUSTER))

    async def _follow(self) -> None:
        """Wake whoever a commit concerns. After a gap everybody looks anew."""
        while True:
            watch = self.store.watch()
            self._ring()
            self.sessions.wake_all()
            async for burst in watch.bursts():
                self._stir_sessions(burst)
                self._ring()
                await self.sessions.tell()

    @property
    def _bells(self) -> list[Bell]:
        return [self.feed, self.events, *self.pumps]

    def _ring(self) -> None:
        for bell in self._bells:
            bell.wake()

    def _stir_sessions(self, burst: Iterable[Commit]) -> None:
        view = self.store.view()
        for table, key in chain.from_iterable(commit.changed for commit in burst):
            if table == Task.table:
                task = view.task(key)
                if task is not None and task.instance is not None:
                    self.sessions.stir(task.instance, key)
            elif table == Instance.table:
                self.sessions.wake(key)
            elif table == Cluster.table:
                self.sessions.wake_all()

    async def _forget_absent(self) -> None:
        await asyncio.sleep(RECONNECT_SECONDS)
        await self.sessions.forget_absent()

    def _spawn(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(job)
        task.add_done_callback(self._job_ended)
        self._jobs.append(task)

    def _job_ended(self, job: asyncio.Task[None]) -> None:
        """A loop that breaks is the end of the process: half a control plane is worse than a restarted one."""
        if not job.cancelled() and job.exception() is not None and not self.failed.done():
            self.failed.set_exception(job.exception() or RuntimeError())


@contextlib.asynccontextmanager
async def running(config: Config) -> AsyncIterator[ControlPlane]:
    """A control plane that serves for as long as the block runs.

    Raises:
        SetupError: something that a person has to set right first; nothing is left open.
    """
    check(config)
    plane = ControlPlane(config, _open_store(config))
    try:
        await plane.start()
        yield plane
    finally:
        await plane.close()


def set_up_logging(level: str) -> None:
    """Logs as lines on stderr, from `level` on."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _open_store(config: Config) -> Store:
    emit = Emitter(ArnMaker(config.region, config.account), time.time)
    if config.data_dir is None:
        return MemoryStore(emit=emit, render=render)
    try:
        return SqliteStore(Path(config.data_dir) / STORE_FILE, emit=emit, render=render)
    except (StoreBusy, StoreForeign) as refused:
        raise SetupError(str(refused)) from None


def _why_no_port(config: Config, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {config.port} on {config.host} is in use by another process; choose one with --port."
    return f"Port {config.port} on {config.host} cannot be opened: {error.strerror or error}."
