"""The telemetry sessions: what the agents publish of their containers is answered, and the newest of it is kept.

Metrics live in memory only, bounded; auto scaling reads them. The outcome of a health check belongs to the task, the
state of the container runtime to the instance: what is new of them is committed.
Source: amazon-ecs-agent `ecs-agent/tcs`; recorded traffic.
"""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import msgspec
import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from controlplane.agents.acs_session import CLOSE_SECONDS_MAX, FRAME_BYTES_MAX, HEARTBEAT_SECONDS, SEND_SECONDS_MAX
from controlplane.agents.refusal import refusal
from controlplane.committing import Committer
from controlplane.core import health, instance_health
from controlplane.core.model import RuntimeHealth
from controlplane.core.view import Draft
from controlplane.store.port import Store, StoreClosed
from wire import envelope, tcs_shapes
from wire.errors import AwsError
from wire.status import HealthStatus, InstanceStatus, TaskStatus

SILENCE_SECONDS_MAX = 180
"""Agents publish every 20 s; Amazon's gives a connection up after three minutes without a byte."""
FRESH_SECONDS = 60
"""Three reports; what is older says nothing of what a task uses now. Assumed."""
TASKS_MAX = 20_000
"""Tasks whose newest metrics are kept; who was heard of longest ago goes first."""

_log = structlog.get_logger(__name__)

V = TypeVar("V")


class Newest(Generic[V]):
    """The newest value of each key, of so many keys."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[str, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def put(self, key: str, value: V) -> None:
        """Keep a value; the key that was heard of longest ago goes where there is no room."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def get(self, key: str) -> V | None:
        """The newest value, or None."""
        return self._values.get(key)


class Telemetry:
    """All telemetry sessions. Serves `GET /tcs/ws`."""

    def __init__(self, *, store: Store, committer: Committer, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._committer = committer
        self._open: dict[str, web.WebSocketResponse] = {}
        self.metrics: Newest[tcs_shapes.TaskMetric] = Newest(TASKS_MAX)
        """By task ARN; a task that has stopped keeps its last word until the room is needed."""
        self._told_at: Newest[float] = Newest(TASKS_MAX)

    def fresh(self, task: str) -> tcs_shapes.TaskMetric | None:
        """The newest metrics of a task (ARN); None: there are none, or its agent has missed several reports since."""
        at = self._told_at.get(task)
        return self.metrics.get(task) if at is not None and self._clock() - at <= FRESH_SECONDS else None

    async def close(self) -> None:
        """End every session; the agents come back at once, to us or to who follows us."""
        sockets = list(self._open.values())
        await asyncio.gather(*(_close(socket, WSCloseCode.GOING_AWAY) for socket in sockets))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One session, from the upgrade to its end."""
        arn = request.query.get("containerInstance", "")
        refused = refusal(self._store.view().instance(arn), arn)
        if refused is not None:
            return refused
        socket = web.WebSocketResponse(max_msg_size=FRAME_BYTES_MAX, compress=False, timeout=CLOSE_SECONDS_MAX)
        await socket.prepare(request)
        former, self._open[arn] = self._open.get(arn), socket
        heart = asyncio.create_task(self._beat(arn, socket))
        try:
            if former is not None:
                await _close(former, WSCloseCode.OK)
            await self._read(arn, socket)
        except (ConnectionError, TimeoutError, StoreClosed) as error:
            _log.debug("telemetry session ends", instance=arn, error=str(error))
        finally:
            heart.cancel()
            await asyncio.gather(heart, return_exceptions=True)
            if self._open.get(arn) is socket:
                del self._open[arn]
            await _close(socket, WSCloseCode.OK)
        return socket

    async def newest(self, request: web.Request) -> web.Response:
        """Serves `GET /_berth/telemetry?task=ARN`: the newest metrics of a task, in Amazon's shape."""
        arn = request.query.get("task", "")
        metric = self.metrics.get(arn)
        if metric is None:
            sentence = msgspec.json.encode({"message": f"No telemetry is known of task {arn[:200]!r}."})
            return web.Response(status=404, body=sentence, content_type="application/json")
        return web.Response(body=msgspec.json.encode(metric), content_type="application/json")

    async def _beat(self, arn: str, socket: web.WebSocketResponse) -> None:
        while not socket.closed:
            instance = self._store.view().instance(arn)
            if instance is None or instance.status is InstanceStatus.INACTIVE:
                await _close(socket, WSCloseCode.POLICY_VIOLATION)
                return
            await _send(socket, "HeartbeatMessage", tcs_shapes.Heartbeat())
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _read(self, arn: str, socket: web.WebSocketResponse) -> None:
        while True:
            message = await socket.receive(timeout=SILENCE_SECONDS_MAX)
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            try:
                frame = tcs_shapes.decode_publication(message.data)
                take = _TAKERS.get(frame.type)
                if take is not None:
                    await take(self, arn, frame.message)
                    await _send(socket, tcs_shapes.ACKS[frame.type], tcs_shapes.Ack())
            except msgspec.MsgspecError as error:
                _log.warning("unreadable telemetry", instance=arn, error=str(error))
            except AwsError as error:
                _log.warning("telemetry was not taken", instance=arn, error=str(error))

    async def _take_metrics(self, arn: str, raw: bytes) -> None:
        for task in msgspec.json.decode(raw, type=tcs_shapes.PublishMetricsRequest).task_metrics:
            if self._is_on(arn, task.task_arn):
                self.metrics.put(task.task_arn, task)
                self._told_at.put(task.task_arn, self._clock())

    async def _take_health(self, arn: str, raw: bytes) -> None:
        request = msgspec.json.decode(raw, type=tcs_shapes.PublishHealthRequest)
        outcomes = {
            task.task_arn: _outcomes(task.containers) for task in request.tasks if self._is_on(arn, task.task_arn)
        }

        def decide(draft: Draft) -> None:
            for task_arn, of_containers in outcomes.items():
                task = draft.task(task_arn)
                if task is not None:
                    health.observe(draft, task, of_containers)

        await self._committer.commit(decide, cause=request.metadata.message_id)

    async def _take_runtime(self, arn: str, raw: bytes) -> None:
        request = msgspec.json.decode(raw, type=tcs_shapes.PublishInstanceStatusRequest)
        seen = [status for status in request.statuses if status.type == "ContainerRuntime"]

        def decide(draft: Draft) -> None:
            for status in seen:
                instance_health.observe_runtime(
                    draft,
                    arn,
                    RuntimeHealth(
                        status=status.status,
                        reason=status.status_reason,
                        updated_at=status.last_updated,
                        changed_at=status.last_status_change,
                    ),
                )

        await self._committer.commit(decide, cause=request.metadata.request_id)

    def _is_on(self, instance: str, task_arn: str) -> bool:
        """An agent speaks of its own tasks only, and of none that has stopped."""
        task = self._store.view().task(task_arn)
        return task is not None and task.instance == instance and task.last_status is not TaskStatus.STOPPED


_TAKERS = {
    tcs_shapes.PublishMetricsRequest.__name__: Telemetry._take_metrics,  # noqa: SLF001 - the table belongs to the class
    tcs_shapes.PublishHealthRequest.__name__: Telemetry._take_health,  # noqa: SLF001
    tcs_shapes.PublishInstanceStatusRequest.__name__: Telemetry._take_runtime,  # noqa: SLF001
}


def _outcomes(containers: Iterable[tcs_shapes.ContainerHealth]) -> dict[str, HealthStatus]:
    known = list(HealthStatus)
    return {
        container.container_name: HealthStatus(container.health_status)
        for container in containers
        if container.health_status in known
    }


async def _send(socket: web.WebSocketResponse, kind: str, message: msgspec.Struct) -> None:
    async with asyncio.timeout(SEND_SECONDS_MAX):
        await socket.send_str(envelope.encode_frame(kind, message))


async def _close(socket: web.WebSocketResponse, code: WSCloseCode) -> None:
    with contextlib.suppress(ConnectionError, TimeoutError):
        await socket.close(code=code)
