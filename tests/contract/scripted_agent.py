"""An agent that does as it is told by a test: it registers, listens, acknowledges and reports, and runs nothing."""

import asyncio
import contextlib
import json
import uuid
from typing import Any, Self

import aiohttp

from agent.machine.attributes import CLAIMED
from wire import envelope
from wire.execution import EXECUTION_ATTRIBUTE
from wire.extensions import RELEASE_ATTRIBUTE

_ROLES = ("task-iam-role", "task-iam-role-network-host")
CAPABILITIES = (*CLAIMED, *(f"com.amazonaws.ecs.capability.{name}" for name in _ROLES))
"""What a host of ours says that it can."""

WAIT_SECONDS = 60


class ScriptedAgent:
    """One instance. With `obedient` it reports RUNNING and STOPPED by itself, as soon as it is told."""

    def __init__(
        self,
        url: str,
        *,
        cluster: str = "default",
        release: str | None = "eager",
        obedient: bool = True,
        executes: bool = False,
        cpu: int = 2048,
        memory_mib: int = 15731,
        gpus: tuple[str, ...] = (),
        zone: str = "us-east-1a",
        instance_id: str = "i-0123456789abcdef0",
    ) -> None:
        self.url = url
        self.cluster = cluster
        self.obedient = obedient
        self.arn = ""
        self.told: list[tuple[str, str]] = []
        """(task, desired status) in the order of their coming."""
        self.forced: list[str] = []
        """Tasks that it was told to stop by force."""
        self.tasks: dict[str, dict[str, Any]] = {}
        """The run payload of each task that it was told to run."""
        self.manifests: list[dict[str, Any]] = []
        self.credentials: list[dict[str, Any]] = []
        """Credentials of roles that came beside payloads."""
        self.policies: list[dict[str, Any]] = []
        self.verdicts: list[dict[str, Any]] = []
        self.executions: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        """What it was asked to run in its containers."""
        self.sequence_numbers: list[int] = []
        self.acknowledges = True
        self.heartbeats = 0
        self._registration = {
            "cluster": cluster,
            "clientToken": str(uuid.uuid4()),
            "attributes": [
                {"name": "ecs.os-type", "value": "linux"},
                *({"name": name} for name in CAPABILITIES),
                *([{"name": RELEASE_ATTRIBUTE, "value": release}] if release else []),
                *([{"name": EXECUTION_ATTRIBUTE, "value": "true"}] if executes else []),
            ],
            "totalResources": [
                {"name": "CPU", "type": "INTEGER", "integerValue": cpu},
                {"name": "MEMORY", "type": "INTEGER", "integerValue": memory_mib},
                {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22", "2375", "2376"]},
                {"name": "PORTS_UDP", "type": "STRINGSET", "stringSetValue": []},
            ],
            "platformDevices": [{"id": gpu, "type": "GPU"} for gpu in gpus],
            "instanceIdentityDocument": json.dumps(
                {"instanceId": instance_id, "instanceType": "r5.large", "availabilityZone": zone}
            ),
        }
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None
        self._news = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        await self.register()
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()
        assert self._session is not None
        await self._session.close()

    async def call(self, operation: str, **members: Any) -> dict[str, Any]:
        """One call, as the agent makes it."""
        assert self._session is not None
        headers = envelope.request_headers(operation) | {envelope.CAUSE_HEADER: f"agent-{uuid.uuid4()}"}
        async with self._session.post(self.url, data=json.dumps(members).encode(), headers=headers) as answer:
            body = await answer.read()
            if answer.status != 200:
                raise envelope.decode_error(answer.status, body)
            decoded: dict[str, Any] = json.loads(body)
            return decoded

    async def register(self) -> dict[str, Any]:
        """Become an instance, or the same one again."""
        again = {"containerInstanceArn": self.arn} if self.arn else {}
        answer = await self.call("RegisterContainerInstance", **self._registration, **again)
        self.arn = answer["containerInstance"]["containerInstanceArn"]
        return answer

    async def connect(self, *, send_credentials: bool = True) -> None:
        """Open the ACS session where DiscoverPollEndpoint says, until its first heartbeat."""
        assert self._session is not None
        found = await self.call("DiscoverPollEndpoint", cluster=self.cluster, containerInstance=self.arn, zoneId="")
        query = {
            "agentVersion": "1.105.1",
            "clusterArn": self.cluster,
            "containerInstanceArn": self.arn,
            "dockerVersion": "DockerVersion: 20.10.24",
            "protocolVersion": "2",
            "sendCredentials": str(send_credentials).lower(),
            "seqNum": "1",
        }
        self._socket = await self._session.ws_connect(f"{found['endpoint']}ws", params=query)
        self.heartbeats, manifests = 0, len(self.manifests)
        self._reader = asyncio.create_task(self._listen(self._socket))
        async with asyncio.timeout(WAIT_SECONDS), self._news:
            await self._news.wait_for(lambda: self.heartbeats and len(self.manifests) > manifests)

    async def disconnect(self) -> None:
        """Close the ACS session."""
        if self._socket is not None and self._reader is not None:
            await self._socket.close()
            await self._reader

    async def closed(self) -> int | None:
        """Wait for the other side to close the session; the close code."""
        assert self._socket is not None
        assert self._reader is not None
        async with asyncio.timeout(WAIT_SECONDS):
            await self._reader
        return self._socket.close_code

    async def is_told(self, task: str, desired: str) -> None:
        """Wait until told."""
        async with asyncio.timeout(WAIT_SECONDS), self._news:
            await self._news.wait_for(lambda: (task, desired) in self.told)

    async def is_told_policies(self, number: int) -> None:
        """Wait until told so many policies."""
        async with asyncio.timeout(WAIT_SECONDS), self._news:
            await self._news.wait_for(lambda: len(self.policies) >= number)

    async def is_told_of(self, number: int) -> None:
        """Wait until told so many things in all."""
        async with asyncio.timeout(WAIT_SECONDS), self._news:
            await self._news.wait_for(lambda: len(self.told) >= number)

    async def beats(self, number: int) -> None:
        """Wait for so many heartbeats since it connected."""
        async with asyncio.timeout(WAIT_SECONDS), self._news:
            await self._news.wait_for(lambda: self.heartbeats >= number)

    async def ask(self, manifest: str, *candidates: str) -> None:
        """Ask whether tasks that the manifest does not list are to stop."""
        assert self._socket is not None
        asked = [{"taskArn": arn, "taskClusterArn": "c", "desiredStatus": "STOPPED"} for arn in candidates]
        message = {"messageId": manifest, "stopCandidates": asked}
        await self._socket.send_str(json.dumps({"type": "TaskStopVerificationMessage", "message": message}))

    async def verdicts_of(self, number: int) -> list[dict[str, Any]]:
        """Wait for so many answers to such questions."""
        async with asyncio.timeout(WAIT_SECONDS), self._news:
            await self._news.wait_for(lambda: len(self.verdicts) >= number)
        return self.verdicts

    async def report(self, task: str, status: str, **members: Any) -> dict[str, Any]:
        """SubmitTaskStateChange, with its one container in the same status."""
        container = {"containerName": "main", "runtimeId": "c0ffee", "status": status}
        if status == "STOPPED":
            container["exitCode"] = members.pop("exit_code", 0)
        change = {"cluster": self.cluster, "task": task, "status": status, "reason": "", "containers": [container]}
        return await self.call("SubmitTaskStateChange", **change, **members)

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        with contextlib.suppress(aiohttp.ClientConnectionError):  # a control plane that is killed says no goodbye
            await self._read(socket)

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            frame = json.loads(message.data)
            if frame["type"] == "HeartbeatMessage":
                async with self._news:
                    self.heartbeats += 1
                    self._news.notify_all()
                await self._answer(socket, "HeartbeatAckRequest", messageId=frame["message"]["messageId"])
            elif frame["type"] in ("TaskManifestMessage", "TaskStopVerificationAck"):
                async with self._news:
                    kept = self.manifests if frame["type"] == "TaskManifestMessage" else self.verdicts
                    kept.append(frame["message"])
                    self._news.notify_all()
            elif frame["type"] == "IAMRoleCredentialsMessage":
                async with self._news:
                    self.credentials.append(frame["message"])
                    self._news.notify_all()
                role = frame["message"]["roleCredentials"]
                if self.acknowledges:
                    await self._take_role(socket, frame["message"]["messageId"], role)
            elif frame["type"] == "ExecuteCommandMessage":
                self.executions.put_nowait(frame["message"])
            elif frame["type"] == "BerthPolicyMessage":
                async with self._news:
                    self.policies.append(frame["message"])
                    self._news.notify_all()
                await self._acknowledge(socket, frame["message"])
            elif frame["type"] == "PayloadMessage":
                await self._take(socket, frame["message"])

    async def _take(self, socket: aiohttp.ClientWebSocketResponse, payload: dict[str, Any]) -> None:
        if self.acknowledges:
            await self._acknowledge(socket, payload)
            for task in payload["tasks"]:
                if "roleCredentials" in task:
                    await self._take_role(socket, payload["messageId"], task["roleCredentials"])
        self.sequence_numbers.append(payload["seqNum"])
        for task in payload["tasks"]:
            if task["desiredStatus"] == "RUNNING":
                self.tasks[task["arn"]] = task
            async with self._news:
                self.told.append((task["arn"], task["desiredStatus"]))
                if task.get("berthForce"):
                    self.forced.append(task["arn"])
                self._news.notify_all()
            if self.obedient:
                await self.report(task["arn"], task["desiredStatus"])

    async def _acknowledge(self, socket: aiohttp.ClientWebSocketResponse, message: dict[str, Any]) -> None:
        names = {"cluster": message["clusterArn"], "containerInstance": message["containerInstanceArn"]}
        await self._answer(socket, "AckRequest", **names, messageId=message["messageId"])

    async def _take_role(self, socket: aiohttp.ClientWebSocketResponse, message_id: str, role: dict[str, str]) -> None:
        members = {"credentialsId": role["credentialsId"], "expiration": role["expiration"]}
        await self._answer(socket, "IAMRoleCredentialsAckRequest", messageId=message_id, **members)

    async def credentials_of(self, number: int) -> list[dict[str, Any]]:
        """Wait for so many messages of credentials beside the payloads."""
        async with asyncio.timeout(WAIT_SECONDS), self._news:
            await self._news.wait_for(lambda: len(self.credentials) >= number)
        return self.credentials

    async def _answer(self, socket: aiohttp.ClientWebSocketResponse, kind: str, **message: str) -> None:
        await socket.send_str(json.dumps({"type": kind, "message": message}))
