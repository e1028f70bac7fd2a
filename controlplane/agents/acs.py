"""The ACS sessions: one websocket for each connected instance, over which it is told what it is to do.

Level-driven: a session looks at what `core/assignment` says its instance must know (at once about a task that changed,
with each heartbeat about all) and sends what is not acknowledged. A missed wake-up costs time, a repeat nothing.
Source: amazon-ecs-agent `ecs-agent/acs/session`; recorded traffic.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import msgspec
import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from controlplane.agents import manifest
from controlplane.agents.payload import run_payload, stop_payload
from controlplane.agents.policies import PolicyNews
from controlplane.agents.refusal import refusal
from controlplane.agents.roles import Roles
from controlplane.api.call import Account
from controlplane.api.container_instances import set_status
from controlplane.api.role_keys import Mint
from controlplane.committing import Committer
from controlplane.core import lifecycle
from controlplane.core.assignment import Assignment, assignments
from controlplane.core.model import Instance
from controlplane.core.view import ACTOR, Draft
from controlplane.metrics import Metrics
from controlplane.store.port import Store, StoreClosed
from wire import acs_session_shapes, acs_shapes, envelope
from wire.errors import AwsError
from wire.status import DesiredStatus, InstanceStatus, TaskStatus
from wire.story import Kind, StoryLine

HEARTBEAT_SECONDS = 20
"""Amazon's agent leaves after 60 to 120 s without any message."""
SILENCE_SECONDS_MAX = 60
"""A peer that has sent nothing for so long, not even the acks of heartbeats, is gone."""
RETELL_SECONDS = 60
"""An assignment that is not acknowledged for so long is sent again."""
SEND_SECONDS_MAX = 10
CLOSE_SECONDS_MAX = 1
"""How long a close waits for the other side to agree."""
FRAME_BYTES_MAX = 1024 * 1024

_log = structlog.get_logger(__name__)

Matter = tuple[str, DesiredStatus, bool]
"""A task's ARN, what is wanted of it, and whether by force: what is told, and acknowledged, once."""


class Told(NamedTuple):
    """A matter that is on its way."""

    message_id: str
    at: float


class Known(NamedTuple):
    """What an instance is known to have; it outlives the sessions, and goes with the instance."""

    acknowledged: set[Matter]
    roles: Roles


class Sessions:
    """All sessions, by the ARN of their instance. Serves `GET /acs/ws`."""

    def __init__(
        self,
        *,
        store: Store,
        committer: Committer,
        account: Account,
        clock: Callable[[], float],
        metrics: Metrics,
        mint: Mint,
    ) -> None:
        self.store = store
        self.committer = committer
        self.account = account
        self.clock = clock
        self.metrics = metrics
        self._open: dict[str, Session] = {}
        self._mint = mint
        self._known: dict[str, Known] = {}
        self._timeline = 0
        self._closing = False

    def next_timeline(self) -> int:
        """Of a manifest: above every one before, above any sequence number, and above those before a restart of ours.

        Epoch milliseconds are all that; payloads count in revisions of the store, which are far below.
        """
        self._timeline = max(self._timeline + 1, int(self.clock() * 1000))
        return self._timeline

    def wake(self, instance: str, task: str | None = None) -> None:
        """Something about `instance` (ARN) may have changed; where `task` (ARN) is given, nothing but that one."""
        session = self._open.get(instance)
        if session is not None:
            session.wake(task)
        elif task is None:
            self._forget_gone([instance])

    def wake_all(self) -> None:
        """Anything may have changed."""
        for session in self._open.values():
            session.wake()
        self._forget_gone(self._known.keys() - self._open.keys())

    def _forget_gone(self, instances: Iterable[str]) -> None:
        """What is known of an instance goes with it."""
        view = self.store.view()
        for arn in instances:
            if refusal(view.instance(arn), arn) is not None:
                self._known.pop(arn, None)

    def close(self) -> None:
        """End every session; the agents come back at once, to us or to who follows us."""
        self._closing = True
        for session in self._open.values():
            session.leave(code=WSCloseCode.GOING_AWAY)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One session, from the upgrade to its end."""
        arn = request.query.get("containerInstanceArn", "")
        refused = refusal(self.store.view().instance(arn), arn)
        if refused is not None:
            return refused
        socket = web.WebSocketResponse(max_msg_size=FRAME_BYTES_MAX, compress=False, timeout=CLOSE_SECONDS_MAX)
        await socket.prepare(request)
        known = self._known.setdefault(arn, Known(set(), Roles(self._mint)))
        if request.query.get("sendCredentials") == "true":
            known.roles.forget()
        session = Session(self, arn, socket, known)
        former = self._open.get(arn)
        self._open[arn] = session
        self.metrics.agents_connected.set(len(self._open))
        try:
            if former is not None:
                former.leave(code=WSCloseCode.OK)
            await self._note_connected(arn, request)
            await session.run()
        except StoreClosed:
            _log.debug("session ends with the store", instance=arn)
        finally:
            await self._left(arn, session)
        return socket

    async def forget_absent(self) -> None:
        """Mark instances as disconnected that say they are connected and have no session (after a restart of ours)."""
        for instance in list(self.store.view().records(Instance)):
            if instance.agent_connected and instance.arn not in self._open:
                await self._set_connected(instance.arn, connected=False)

    async def _note_connected(self, arn: str, request: web.Request) -> None:
        versions = {
            "agent_version": request.query.get("agentVersion", ""),
            "docker_version": request.query.get("dockerVersion", ""),
        }
        await self._set_connected(arn, connected=True, **versions)

    async def _left(self, arn: str, session: "Session") -> None:
        if self._open.get(arn) is not session:
            return
        del self._open[arn]
        self._forget_gone([arn])
        self.metrics.agents_connected.set(len(self._open))
        if not self._closing:
            with contextlib.suppress(StoreClosed):
                await self._set_connected(arn, connected=False)

    async def _set_connected(self, arn: str, *, connected: bool, **versions: str) -> None:
        def decide(draft: Draft) -> None:
            instance = draft.instance(arn)
            if instance is None or instance.status is InstanceStatus.INACTIVE:
                return
            named = msgspec.structs.replace(instance, **{name: text for name, text in versions.items() if text})
            if named != instance:
                draft.put(named)
            set_status(draft, named, named.status, connected=connected)

        await self.committer.commit(decide, cause="")


class Session:
    """One connection. Its reader, its teller and its heart run side by side; when one ends, all end."""

    def __init__(
        self,
        sessions: Sessions,
        instance: str,
        socket: web.WebSocketResponse,
        known: Known,
    ) -> None:
        self._sessions = sessions
        self._instance = instance
        self._socket = socket
        self._acknowledged, self._roles = known
        self._on_its_way: dict[Matter, Told] = {}
        self._policy = PolicyNews()
        self._changed = asyncio.Event()
        self._stirred: dict[str, None] | None = None
        """Tasks to look at, in the order of their changes; None: all."""
        self._leaving = asyncio.Event()
        self._close_code = WSCloseCode.OK
        self._heard_at = sessions.clock()

    def wake(self, task: str | None = None) -> None:
        """Look again at what the instance must be told, about one task or about all."""
        if task is None:
            self._stirred = None
        elif self._stirred is not None:
            self._stirred[task] = None
        self._changed.set()

    def leave(self, *, code: WSCloseCode) -> None:
        """End the connection from our side, soon."""
        self._close_code = code
        self._leaving.set()

    async def run(self) -> None:
        """Serve the connection until it ends."""
        loops = (self._read(), self._beat(), self._tell(), self._leaving.wait())
        jobs: set[asyncio.Future[Any]] = {asyncio.ensure_future(loop) for loop in loops}
        try:
            done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            for job in done:
                job.result()
        except (ConnectionError, TimeoutError) as error:
            _log.debug("session broke", instance=self._instance, error=str(error))
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            with contextlib.suppress(ConnectionError, TimeoutError):
                await self._socket.close(code=self._close_code)

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                continue
            self._heard_at = self._sessions.clock()
            try:
                await self._take(envelope.decode_frame(message.data))
            except (msgspec.MsgspecError, AwsError) as error:  # what is not acknowledged is told again
                _log.warning("a frame was not taken", instance=self._instance, error=str(error))

    async def _take(self, frame: envelope.Frame) -> None:
        """Other types (acks of heartbeats, refusals of updates) are word that somebody is there."""
        if frame.type == "AckRequest":
            await self._take_ack(msgspec.json.decode(frame.message, type=acs_shapes.AckRequest))
        elif frame.type == "IAMRoleCredentialsAckRequest":
            self._roles.come(msgspec.json.decode(frame.message, type=acs_session_shapes.IAMRoleCredentialsAckRequest))
        elif frame.type == "TaskStopVerificationMessage":
            question = msgspec.json.decode(frame.message, type=acs_session_shapes.TaskStopVerificationMessage)
            sessions = self._sessions
            answer = manifest.verdict(sessions.store.view(), self._instance, question, now=sessions.clock())
            if answer is not None:
                await self._send_frame(answer)

    async def _take_ack(self, ack: acs_shapes.AckRequest) -> None:
        """The instance has a message on disk. Match on the id only, as agents echo the rest in several forms."""
        if self._policy.is_answered_by(ack.message_id):
            note = partial(self._policy.note, arn=self._instance)
            await self._sessions.committer.commit(note, cause=ack.message_id)
        for matter, told in list(self._on_its_way.items()):
            if told.message_id == ack.message_id:
                if matter[1] is DesiredStatus.STOPPED:
                    await self._note_stop_told(matter[0], told.message_id)
                del self._on_its_way[matter]
                self._acknowledged.add(matter)

    async def _note_stop_told(self, arn: str, message_id: str) -> None:
        def decide(draft: Draft) -> None:
            task = draft.task(arn)
            if task is not None:
                lifecycle.observe_told(draft, task)

        await self._sessions.committer.commit(decide, cause=message_id)

    async def _tell(self) -> None:
        await self._send_manifest()
        await self._send_credentials()
        while True:
            self._changed.clear()
            view = self._sessions.store.view()
            instance = view.instance(self._instance)
            if instance is None or instance.status is InstanceStatus.INACTIVE:
                return
            policy = self._policy.message(view, instance, self._sessions.account.names.uuid())
            if policy is not None:
                await self._send_frame(policy)
            stirred, self._stirred = self._stirred, {}
            looked_at = assignments(view, self._instance, stirred)
            if stirred is None:
                self._forget_all_but({_matter(assignment) for assignment in looked_at})
            news = [assignment for assignment in looked_at if self._is_news(assignment)]
            if news:
                await self._send(news)
            else:
                await self._changed.wait()

    def _forget_all_but(self, matters: set[Matter]) -> None:
        self._acknowledged &= matters
        self._on_its_way = {matter: told for matter, told in self._on_its_way.items() if matter in matters}

    async def _send_manifest(self) -> None:
        sessions, message_id = self._sessions, self._sessions.account.names.uuid()
        timeline, now = sessions.next_timeline(), sessions.clock()
        view = sessions.store.view()
        await self._send_frame(
            manifest.manifest(view, self._instance, message_id=message_id, timeline=timeline, now=now)
        )

    async def _send_credentials(self) -> None:
        """Of the roles of tasks that the instance has; those that it is yet to be told of come with their task."""
        sessions, now = self._sessions, self._sessions.clock()
        view = sessions.store.view()
        due = self._roles.due((a.task for a in assignments(view, self._instance) if self._has(a)), now)
        for task in due:
            definition = view.task_definition(task.task_definition)
            assert definition is not None
            message = self._roles.message(task, definition, sessions.account.names.uuid(), now)
            if message is not None:
                await self._send_frame(message)

    def _has(self, assignment: Assignment) -> bool:
        task = assignment.task
        return not task.last_status.is_starting or (task.arn, DesiredStatus.RUNNING, task.force) in self._acknowledged

    def _is_news(self, assignment: Assignment) -> bool:
        matter = _matter(assignment)
        if matter in self._acknowledged or matter in self._on_its_way:
            return False
        last = assignment.task.last_status
        if assignment.desired is DesiredStatus.STOPPED:
            return assignment.task.force or last is not TaskStatus.STOPPING
        return last.is_starting

    async def _send(self, news: list[Assignment]) -> None:
        """One message for each task: an agent that cannot take one of them still acknowledges the others."""
        sessions, now = self._sessions, self._sessions.clock()
        messages = {_matter(a): self._message(a, sessions.account.names.uuid(), now) for a in news}
        lines = [
            StoryLine(
                now,
                ACTOR,
                a.task.arn,
                Kind.TASK_TOLD,
                a.task.cause,
                {"desired": a.desired, "instance": self._instance},
                messages[_matter(a)].message_id,
            )
            for a in news
        ]
        await sessions.store.tell(lines)
        for matter, message in messages.items():
            self._on_its_way[matter] = Told(message.message_id, now)
            await self._send_frame(message)
            sessions.metrics.payloads.inc()

    def _message(self, assignment: Assignment, message_id: str, now: float) -> acs_shapes.PayloadMessage:
        view, task = self._sessions.store.view(), assignment.task
        cluster, definition = view.cluster(task.cluster), view.task_definition(task.task_definition)
        assert cluster is not None
        assert definition is not None
        account = self._sessions.account.names.arns.account
        return acs_shapes.PayloadMessage(
            message_id=message_id,
            cluster_arn=cluster.arn,
            container_instance_arn=self._instance,
            generated_at=int(now * 1000),
            seq_num=view.revision,
            tasks=[
                stop_payload(task, definition, cluster, account=account)
                if assignment.desired is DesiredStatus.STOPPED
                else run_payload(task, definition, cluster, account=account, role=self._roles.of(task, definition, now))
            ],
        )

    async def _beat(self) -> None:
        """Heartbeats; and with each, a look at who has fallen silent and what was never acknowledged."""
        sessions = self._sessions
        while True:
            await self._send_frame(acs_shapes.HeartbeatMessage(message_id=sessions.account.names.uuid()))
            await asyncio.sleep(HEARTBEAT_SECONDS)
            now = sessions.clock()
            if now - self._heard_at > SILENCE_SECONDS_MAX:
                _log.info("agent has fallen silent", instance=self._instance)
                return
            late = [matter for matter, told in self._on_its_way.items() if now - told.at > RETELL_SECONDS]
            for matter in late:
                del self._on_its_way[matter]
            self.wake()
            await self._send_credentials()

    async def _send_frame(self, message: msgspec.Struct) -> None:
        async with asyncio.timeout(SEND_SECONDS_MAX):
            await self._socket.send_str(envelope.encode_frame(acs_shapes.kind_of(message), message))


def _matter(assignment: Assignment) -> Matter:
    return assignment.task.arn, assignment.desired, assignment.task.force
