"""One ACS session: what one connected instance is told, and what it answers, over its websocket.

Level-driven: it looks at what `core/assignment` says its instance must know (at once about a task that changed, with
each heartbeat about all) and sends what is not acknowledged. A missed wake-up costs time, a repeat nothing.
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
from controlplane.agents.payload import payload_of
from controlplane.agents.policies import PolicyNews
from controlplane.agents.roles import Roles
from controlplane.agents.telling import Teller
from controlplane.api.call import Account
from controlplane.committing import Committer
from controlplane.core import lifecycle
from controlplane.core.assignment import Assignment, assignments
from controlplane.core.view import ACTOR, Draft
from controlplane.metrics import Metrics
from controlplane.store.port import Store
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
STARTS_TOGETHER_MAX = 10
"""Tasks in one message. A RunTask starts as many at most; more makes the frame longer and saves little."""
SEND_SECONDS_MAX = 10
CLOSE_SECONDS_MAX = 1
"""How long a close waits for the other side to agree."""
FRAME_BYTES_MAX = 1024 * 1024

_log = structlog.get_logger(__name__)
_ack_decoder = msgspec.json.Decoder(acs_shapes.AckRequest)

Matter = tuple[str, DesiredStatus, bool]
"""A task's ARN, what is wanted of it, and whether by force: what is told, and acknowledged, once."""


class Told(NamedTuple):
    """A message on its way, and what it is about."""

    matters: tuple[Matter, ...]
    at: float
    """Epoch seconds."""


class Known(NamedTuple):
    """What an instance is known to have; it outlives the sessions, and goes with the instance."""

    acknowledged: set[Matter]
    roles: Roles


class Shared(NamedTuple):
    """What all sessions work with."""

    store: Store
    committer: Committer
    account: Account
    clock: Callable[[], float]
    """Epoch seconds."""
    metrics: Metrics
    next_timeline: Callable[[], int]
    """Of a manifest: above every one before."""
    teller: Teller


class Session:
    """One connection. Its reader, its teller and its heart run side by side; when one ends, all end."""

    def __init__(
        self,
        shared: Shared,
        instance: str,
        socket: web.WebSocketResponse,
        known: Known,
        waits_to_go: Callable[[], int],
    ) -> None:
        """`waits_to_go` says how many bytes the peer has not taken yet."""
        self._shared = shared
        self._instance = instance
        self._socket = socket
        self._waits_to_go = waits_to_go
        self._acknowledged, self._roles = known
        self._on_its_way: dict[Matter, str] = {}
        self._messages: dict[str, Told] = {}
        """Those on their way, by id, the oldest first."""
        self._policy = PolicyNews()
        self._changed = asyncio.Event()
        self._rests = False
        """All that was asked for has been looked at."""
        self._stirred: dict[str, None] | None = None
        """Tasks to look at, in the order of their changes; None: all."""
        self._leaving = asyncio.Event()
        self._close_code = WSCloseCode.OK
        self._heard_at = shared.clock()

    def wake(self) -> None:
        """Look again at all that the instance must be told."""
        self._stirred = None
        self._changed.set()

    async def tell(self, tasks: Iterable[str]) -> None:
        """Tell about tasks (ARNs) that have changed. It does not wait for the peer.

        A session at rest tells at once, in the caller's turn; any other in its own. What goes wrong is the end of this
        session, not of the caller, who has the other ones to tell.
        """
        stirred = dict.fromkeys(tasks)
        if not self._rests or self._changed.is_set() or self._waits_to_go():
            if self._stirred is not None:
                self._stirred.update(stirred)
            self._changed.set()
            return
        try:
            await self._tell_news(assignments(self._shared.store.view(), self._instance, stirred), STARTS_TOGETHER_MAX)
        except ConnectionError:
            pass  # it ends, by its reader
        except Exception:  # noqa: BLE001 - a peer that takes nothing, or a mistake of ours
            _log.exception("an instance cannot be told", instance=self._instance)
            self.leave(code=WSCloseCode.INTERNAL_ERROR)

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
            self._heard_at = self._shared.clock()
            try:
                await self._take(envelope.decode_frame(message.data))
            except (msgspec.MsgspecError, AwsError) as error:  # what is not acknowledged is told again
                _log.warning("a frame was not taken", instance=self._instance, error=str(error))

    async def _take(self, frame: envelope.Frame) -> None:
        """Other types (acks of heartbeats, refusals of updates) are word that somebody is there."""
        if frame.type == "AckRequest":
            await self._take_ack(_ack_decoder.decode(frame.message))
        elif frame.type == "IAMRoleCredentialsAckRequest":
            self._roles.come(msgspec.json.decode(frame.message, type=acs_session_shapes.IAMRoleCredentialsAckRequest))
        elif frame.type == "TaskStopVerificationMessage":
            question = msgspec.json.decode(frame.message, type=acs_session_shapes.TaskStopVerificationMessage)
            shared = self._shared
            answer = manifest.verdict(shared.store.view(), self._instance, question, now=shared.clock())
            if answer is not None:
                await self.send(answer)

    async def _take_ack(self, ack: acs_shapes.AckRequest) -> None:
        """The instance has a message on disk. Match on the id only, as agents echo the rest in several forms."""
        if self._policy.is_answered_by(ack.message_id):
            note = partial(self._policy.note, arn=self._instance)
            await self._shared.committer.commit(note, cause=ack.message_id)
        told = self._messages.get(ack.message_id)
        for arn, desired, _ in told.matters if told is not None else ():
            if desired is DesiredStatus.STOPPED:
                await self._note_stop_told(arn, ack.message_id)
        self._acknowledged.update(self._take_back(ack.message_id))

    async def _note_stop_told(self, arn: str, message_id: str) -> None:
        def decide(draft: Draft) -> None:
            task = draft.task(arn)
            if task is not None:
                lifecycle.observe_told(draft, task)

        await self._shared.committer.commit(decide, cause=message_id)

    async def _tell(self) -> None:
        await self._send_manifest()
        await self._send_credentials()
        while True:
            self._changed.clear()
            view = self._shared.store.view()
            instance = view.instance(self._instance)
            if instance is None or instance.status is InstanceStatus.INACTIVE:
                return
            policy = self._policy.message(view, instance, self._shared.account.names.uuid)
            if policy is not None:
                await self.send(policy)
            stirred, self._stirred = self._stirred, {}
            looked_at = assignments(view, self._instance, stirred)
            if stirred is None:
                self._forget_all_but({_matter(assignment) for assignment in looked_at})
            await self._tell_news(looked_at, 1)
            self._rests = True
            await self._changed.wait()
            self._rests = False

    def _forget_all_but(self, matters: set[Matter]) -> None:
        self._acknowledged &= matters
        for matter in self._on_its_way.keys() - matters:
            del self._on_its_way[matter]

    def _take_back(self, message_id: str) -> list[Matter]:
        """It is on its way no more. Returns what of it no other message is about by now."""
        told = self._messages.pop(message_id, None)
        own = [m for m in told.matters if self._on_its_way.get(m) == message_id] if told is not None else []
        for matter in own:
            del self._on_its_way[matter]
        return own

    async def _send_manifest(self) -> None:
        shared, message_id = self._shared, self._shared.account.names.uuid()
        timeline, now = shared.next_timeline(), shared.clock()
        view = shared.store.view()
        await self.send(manifest.manifest(view, self._instance, message_id=message_id, timeline=timeline, now=now))

    async def _send_credentials(self) -> None:
        """Of the roles of tasks that the instance has; those that it is yet to be told of come with their task."""
        shared, now = self._shared, self._shared.clock()
        view = shared.store.view()
        due = self._roles.due((a.task for a in assignments(view, self._instance) if self._has(a)), now)
        for task in due:
            definition = view.task_definition(task.task_definition)
            assert definition is not None
            message = self._roles.message(task, definition, shared.account.names.uuid(), now)
            if message is not None:
                await self.send(message)

    def _has(self, assignment: Assignment) -> bool:
        task = assignment.task
        return not task.last_status.is_starting or (task.arn, DesiredStatus.RUNNING, task.force) in self._acknowledged

    def _is_news(self, assignment: Assignment) -> bool:
        matter = _matter(assignment)
        if matter in self._acknowledged or matter in self._on_its_way:
            return False
        last = assignment.task.last_status
        if assignment.desired is DesiredStatus.STOPPED:
            is_told = last is TaskStatus.STOPPING and assignment.task.stop_told_at is not None
            return assignment.task.force or not is_told
        return last.is_starting

    async def _tell_news(self, looked_at: Iterable[Assignment], together_max: int) -> None:
        """Tell what is new of it; up to `together_max` starts are one message.

        Whatever is told again is so by itself: an agent that cannot take one task of a message takes the others, and
        acknowledges none.
        """
        news = [assignment for assignment in looked_at if self._is_news(assignment)]
        if not news:
            return
        now, new_id = self._shared.clock(), self._shared.account.names.uuid
        messages = [self._message(group, new_id(), now) for group in _grouped(news, together_max)]
        for message, group in messages:
            matters = tuple(map(_matter, group))
            self._on_its_way.update(dict.fromkeys(matters, message.message_id))
            self._messages[message.message_id] = Told(matters, now)
            self._shared.teller.tell([self._line(assignment, message, now) for assignment in group])
        for message, _ in messages:
            await self.send(message)
        self._shared.metrics.payloads.inc(len(messages))

    def _line(self, told: Assignment, message: acs_shapes.PayloadMessage, now: float) -> StoryLine:
        data = {"desired": told.desired, "instance": self._instance}
        return StoryLine(now, ACTOR, told.task.arn, Kind.TASK_TOLD, told.task.cause, data, message.message_id)

    def _message(
        self, group: list[Assignment], message_id: str, now: float
    ) -> tuple[acs_shapes.PayloadMessage, list[Assignment]]:
        """Of assignments that go together, and these."""
        view, account = self._shared.store.view(), self._shared.account.names.arns.account
        cluster = view.cluster(group[0].task.cluster)
        assert cluster is not None
        message = acs_shapes.PayloadMessage(
            message_id=message_id,
            cluster_arn=cluster.arn,
            container_instance_arn=self._instance,
            generated_at=int(now * 1000),
            seq_num=view.revision,
            tasks=[
                payload_of(view, each, cluster=cluster, account=account, roles=self._roles, now=now) for each in group
            ],
        )
        return message, group

    async def _beat(self) -> None:
        """Heartbeats; and with each, a look at who has fallen silent and what was never acknowledged."""
        shared = self._shared
        while True:
            await self.send(acs_shapes.HeartbeatMessage(message_id=shared.account.names.uuid()))
            await asyncio.sleep(HEARTBEAT_SECONDS)
            now = shared.clock()
            if now - self._heard_at > SILENCE_SECONDS_MAX:
                _log.info("agent has fallen silent", instance=self._instance)
                return
            for message_id, told in list(self._messages.items()):
                if now - told.at > RETELL_SECONDS:
                    self._take_back(message_id)
            self.wake()
            await self._send_credentials()

    async def send(self, message: msgspec.Struct) -> None:
        """One frame."""
        frame = envelope.frame_bytes(acs_shapes.kind_of(message), message)
        if not self._waits_to_go():  # it does not wait then, and a clock for each costs as much as sending
            await self._socket.send_frame(frame, WSMsgType.TEXT)
        else:
            async with asyncio.timeout(SEND_SECONDS_MAX):
                await self._socket.send_frame(frame, WSMsgType.TEXT)


def _matter(assignment: Assignment) -> Matter:
    return assignment.task.arn, assignment.desired, assignment.task.force


def _grouped(news: Iterable[Assignment], together_max: int) -> list[list[Assignment]]:
    """What goes out in one message, in order: starts may go together, a stop goes by itself."""
    groups: list[list[Assignment]] = []
    for assignment in news:
        last = groups[-1] if groups else []
        if 0 < len(last) < together_max and last[0].desired is assignment.desired is DesiredStatus.RUNNING:
            last.append(assignment)
        else:
            groups.append([assignment])
    return groups
