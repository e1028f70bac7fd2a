"""ExecuteCommand: a command in a running container, between the client of a data channel and the agent of the task.

A session is opened by the API, joined by the client with its token, then by the agent, which is told over ACS. Nothing
of it is stored: it ends with either connection. Source: API reference, `ExecuteCommand`; session-manager-plugin.
"""

import asyncio
import contextlib
import hmac
import secrets
import shlex
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
import structlog
from aiohttp import ClientError, WSMsgType, web

from controlplane.agents.datachannel import DataChannel, OpenDataChannel
from controlplane.api.call import Answer, Call
from controlplane.api.clusters import cluster_of
from controlplane.api.references import task_arn
from controlplane.core.model import Cluster, Container, Task
from controlplane.core.view import View
from wire.datachannel import Flag, Payload
from wire.errors import AwsError, InvalidParameterException
from wire.execution import EXECUTION_ATTRIBUTE, PLAIN_MEMBER, Control, ExecuteCommandMessage, Stream
from wire.status import ContainerStatus, DesiredStatus, TaskStatus

SESSIONS_MAX = 1000
"""Source: ECS service quotas, concurrent sessions."""
JOIN_SECONDS = 60
"""From the answer of the API to the client's connection. Assumed."""
AGENT_SECONDS = 15
HANDSHAKE_SECONDS = 30
DELIVER_SECONDS = 10
"""How long the last of the output may take to be acknowledged."""
FRAME_BYTES_MAX = 1024 * 1024
CHANNEL_PATH = "/v1/data-channel"
OWN_CLIENT = "berth"
"""Begins `ClientVersion` of a client that wants the exit code of a command with a terminal too."""
_HANDSHAKE = {
    "AgentVersion": "3.3.0.0",
    "RequestedClientActions": [
        {
            "ActionType": "SessionType",
            "ActionParameters": {"SessionType": "InteractiveCommands", "Properties": {}},
        }
    ],
}

_log = structlog.get_logger(__name__)
Tell = Callable[[str, ExecuteCommandMessage], Awaitable[bool]]
"""Sends a message to the agent of an instance (ARN); False where it is not connected."""


class Target(NamedTuple):
    """What a session is for: the instance (ARN) that has the container, and what its agent is told."""

    instance: str
    message: ExecuteCommandMessage


class Session:
    """One session: its target, and the connections once they are there."""

    def __init__(self, target: Target, token: str, opened_at: float) -> None:
        self.target = target
        self.token = token
        self.opened_at = opened_at
        self.is_joined = False
        self.agent: asyncio.Future[web.WebSocketResponse] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()


class Executing:
    """All sessions, by their id. Serves the data channel of clients and the connections of agents."""

    def __init__(self, tell: Tell, clock: Callable[[], float]) -> None:
        self._tell = tell
        self._clock = clock
        self._sessions: dict[str, Session] = {}

    def open(self, view: View, call: Call) -> Answer:
        """ExecuteCommand: a session that its client may join within JOIN_SECONDS.

        Raises:
            AwsError: InvalidParameterException, TargetNotConnectedException.
        """
        self._forget_unjoined()
        if len(self._sessions) >= SESSIONS_MAX:
            raise AwsError("Rate exceeded", code="ThrottlingException")
        cluster = cluster_of(view, call)
        task, container = _wanted(view, call, cluster)
        session_id, token = f"ecs-execute-command-{secrets.token_hex(9)[1:]}", secrets.token_urlsafe(48)
        message = ExecuteCommandMessage(
            message_id=call.id,
            session_id=session_id,
            task_arn=task.arn,
            container=container.name,
            command=_words(call.text("command")),
            has_terminal=not call.body.get(PLAIN_MEMBER, False),
            token=secrets.token_urlsafe(24),
        )
        assert task.instance is not None
        self._sessions[session_id] = Session(Target(task.instance, message), token, self._clock())
        return {
            "clusterArn": cluster.arn,
            "containerArn": container.arn,
            "containerName": container.name,
            "interactive": True,
            "session": {
                "sessionId": session_id,
                "streamUrl": f"{call.url.replace('http', 'ws', 1)}{CHANNEL_PATH}/{session_id}?role=publish_subscribe",
                "tokenValue": token,
            },
            "taskArn": task.arn,
        }

    async def serve_client(self, request: web.Request) -> web.StreamResponse:
        """The data channel of a session: `GET /v1/data-channel/SESSION`. The token in its first frame lets it in."""
        self._forget_unjoined()
        session_id = request.match_info["session"]
        session = self._sessions.get(session_id)
        if session is None or session.is_joined:
            return web.Response(status=404)
        session.is_joined = True
        socket = web.WebSocketResponse(max_msg_size=FRAME_BYTES_MAX, compress=False, timeout=1)
        await socket.prepare(request)
        channel = DataChannel(socket, session_id, self._clock)
        try:
            async with asyncio.timeout(JOIN_SECONDS):
                opening = await channel.opened(session.token)
            if opening is not None:
                await channel.close(await self._run(session, channel, opening))
        except (ConnectionError, ClientError, TimeoutError, ValueError, msgspec.MsgspecError) as error:
            _log.debug("session broke", session=session_id, error=str(error))
        finally:
            del self._sessions[session_id]
            session.over.set()
            with contextlib.suppress(ConnectionError):
                await socket.close()
        return socket

    async def serve_agent(self, request: web.Request) -> web.StreamResponse:
        """The connection of the agent that has the container: `GET /_berth/exec/SESSION?token=...`."""
        session = self._sessions.get(request.match_info["session"])
        token = request.query.get("token", "")
        if session is None or not hmac.compare_digest(session.target.message.token.encode(), token.encode()):
            return web.Response(status=404)
        socket = web.WebSocketResponse(max_msg_size=FRAME_BYTES_MAX, compress=False, timeout=1)
        await socket.prepare(request)
        if not session.agent.done():
            session.agent.set_result(socket)
            await session.over.wait()
        await socket.close()
        return socket

    def close(self) -> None:
        """End every session."""
        for session in self._sessions.values():
            session.over.set()

    async def _run(self, session: Session, channel: DataChannel, opening: OpenDataChannel) -> str:
        """Serve the session to its end. Returns what its client is told, "" where the command has ended by itself."""
        if not await self._tell(*session.target):
            return "The instance of the task is not connected."
        try:
            async with asyncio.timeout(AGENT_SECONDS):
                agent = await asyncio.shield(session.agent)
        except TimeoutError:
            return "The agent of the task does not answer."
        bridge = Bridge(channel, agent)
        wants_code = not session.target.message.has_terminal or opening.client_version.startswith(OWN_CLIENT)
        speaking = asyncio.create_task(bridge.speak(wants_code=wants_code))
        others = (channel.resend(), bridge.hear(), session.over.wait())
        jobs: set[asyncio.Future[Any]] = {speaking, *map(asyncio.ensure_future, others)}
        try:
            await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            if not speaking.done():
                return "The session was ended."
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DELIVER_SECONDS):
                    await channel.delivered()
            return speaking.result()
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)

    def _forget_unjoined(self) -> None:
        early = self._clock() - JOIN_SECONDS
        self._sessions = {
            key: session for key, session in self._sessions.items() if session.is_joined or session.opened_at >= early
        }


class Bridge:
    """Carries payloads between a client's channel and an agent's connection."""

    def __init__(self, channel: DataChannel, agent: web.WebSocketResponse) -> None:
        self._channel = channel
        self._agent = agent
        self._ready = asyncio.Event()
        """The client has answered the handshake."""

    async def hear(self) -> None:
        """What the client says goes to the agent; ends when it has gone, or wants to."""
        async for payload_type, payload in self._channel.received():
            if payload_type == Payload.OUTPUT:
                await self._agent.send_bytes(bytes((Stream.INPUT,)) + payload)
            elif payload_type == Payload.SIZE:
                size = msgspec.json.decode(payload, type=dict[str, int])
                await self._control(Control(size=(size["cols"], size["rows"])))
            elif payload_type == Payload.HANDSHAKE_RESPONSE:
                complete = {"HandshakeTimeToComplete": 0, "CustomerMessage": ""}
                await self._channel.send(Payload.HANDSHAKE_COMPLETE, msgspec.json.encode(complete))
                self._ready.set()
            elif payload == Flag.END_OF_INPUT.to_bytes(4, "big"):
                await self._control(Control(ended=True))
            elif payload == Flag.TERMINATE.to_bytes(4, "big"):
                return

    async def speak(self, *, wants_code: bool) -> str:
        """What the agent says goes to the client, to the end. Returns what went wrong, "" where nothing did."""
        await self._channel.send(Payload.HANDSHAKE_REQUEST, msgspec.json.encode(_HANDSHAKE))
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            return "The handshake was not answered."
        async for frame in self._agent:
            if frame.type is WSMsgType.BINARY:
                kind = Payload.STDERR if frame.data[:1] == bytes((Stream.ERROR,)) else Payload.OUTPUT
                await self._channel.send(kind, frame.data[1:])
                continue
            control = msgspec.json.decode(frame.data, type=Control)
            if control.exit_code is not None and wants_code:
                await self._channel.send(Payload.EXIT_CODE, str(control.exit_code).encode())
            return control.error
        return "The agent of the task has gone."

    async def _control(self, control: Control) -> None:
        await self._agent.send_str(msgspec.json.encode(control).decode())


def _wanted(view: View, call: Call, cluster: Cluster) -> tuple[Task, Container]:
    """The container that a request means, once a command can be run in it."""
    if not call.body["interactive"]:
        raise InvalidParameterException("Interactive is the only mode supported currently.")
    task = view.task(task_arn(call, cluster, call.text("task")))
    if task is None:
        raise InvalidParameterException("The referenced task was not found.")
    if not task.body.get("enableExecuteCommand"):
        raise InvalidParameterException(
            "The execute command failed because execute command was not enabled when the task was run or the execute "
            "command agent isn't running. Wait and try again or run a new task with execute command enabled and try "
            "again."
        )
    named = [each for each in task.containers if each.name == call.text("container", each.name)]
    if not named:
        raise InvalidParameterException(f"There is no container {call.text('container')} in the task.")
    if len(named) > 1:
        raise InvalidParameterException("A container name is required: the task has more than one container.")
    why = _why_not_connected(view, task, named[0])
    if why:
        raise AwsError(
            f"The execute command failed due to an internal error. Try again later. {why}",
            code="TargetNotConnectedException",
        )
    return task, named[0]


def _why_not_connected(view: View, task: Task, container: Container) -> str:
    """What AWS does not say; "" where a command can be run."""
    instance = view.instance(task.instance or "")
    runs = task.last_status is TaskStatus.RUNNING and task.desired_status is DesiredStatus.RUNNING
    if not runs or container.last_status is not ContainerStatus.RUNNING:
        return f"(The container is {container.last_status}, its task {task.last_status}.)"
    if instance is None or not instance.agent_connected:
        return "(The agent of its instance is not connected.)"
    if instance.attribute(EXECUTION_ATTRIBUTE) is None:
        return "(The agent of its instance runs no commands: it is Amazon's, or its containers are played.)"
    return ""


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InvalidParameterException(f"The command can not be read: {error}.") from None
    if not words:
        raise InvalidParameterException("command should not be null or empty.")
    return words
