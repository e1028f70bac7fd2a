"""Plays a recording of Amazon's agent against a control plane: its calls and frames, in order, with our names in them.

What the recorded control plane sent is what ours is made to want, over the ECS API; the player then waits until ours
has sent it. Where ours would not ask for a thing (a task that fits nowhere, a stop sent to the wrong instance), the
agent's words about it are left out and counted in `left_out`.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
from apiside import Ecs, call, until

from controlplane.server import ControlPlane
from wire.status import DesiredStatus, TaskStatus
from wire.story import Kind

RECORDINGS = Path(__file__).parent / "wire"
CLUSTER = "wire"
WAIT_SECONDS = 60

Row = dict[str, Any]
Frame = dict[str, Any]


def recorded(name: str) -> list[Row]:
    """The rows of a recording, without its heading."""
    lines = (RECORDINGS / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines[1:]]


class Inbox:
    """A websocket as an agent has it, and everything that has come over it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, beat: str | None) -> None:
        """Heartbeats are answered with `beat` where that is not None."""
        self.socket = socket
        self.frames: list[Frame] = []
        self._beat = beat
        self._news = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            frame = json.loads(message.data)
            if self._beat and frame["type"] == "HeartbeatMessage":
                await self.send(self._beat, {"messageId": frame["message"]["messageId"]})
            async with self._news:
                self.frames.append(frame)
                self._news.notify_all()

    async def send(self, kind: str, message: Any) -> None:
        await self.socket.send_str(json.dumps({"type": kind, "message": message}))

    async def get(self, holds: Any) -> Frame:
        """The first frame for which `holds`; waits for it."""
        async with asyncio.timeout(WAIT_SECONDS), self._news:
            await self._news.wait_for(lambda: any(map(holds, self.frames)))
        return next(frame for frame in self.frames if holds(frame))

    async def close(self) -> None:
        await self.socket.close()
        await self._reader


class Player:
    """One recording, played."""

    def __init__(self, plane: ControlPlane, ecs: Ecs, session: aiohttp.ClientSession) -> None:
        self.plane = plane
        self.ecs = ecs
        self.steps: list[str] = []
        """After each report: the task's number and what DescribeTasks shows of it."""
        self.left_out: list[str] = []
        self.waiting: dict[str, Row] = {}
        """Tasks that the recorded control plane had sent and ours finds no room for yet, with the recorded message."""
        self._session = session
        self._rows: list[Row] = []
        self._at = 0
        self._names: dict[str, str] = {}
        """Recorded ARN to ours."""
        self._home: dict[str, str] = {}
        """Recorded task to recorded instance."""
        self._agents: dict[str, str] = {}
        """Name of an agent process to its recorded instance."""
        self._starting: list[str] = []
        self._acs: dict[str, Inbox] = {}
        self._tcs: dict[str, Inbox] = {}
        self._told: dict[str, list[tuple[str, str]]] = {}
        """Recorded message id to (recorded task, desired status)."""
        self._unasked: set[str] = set()
        """Recorded tasks about which the agent's next report was asked for by nobody."""
        self._reported: dict[str, dict[str, Row]] = {}

    async def play(self, name: str) -> None:
        """From the first row to the last."""
        await self.ecs.create_cluster(clusterName=CLUSTER)
        self._rows = recorded(name)
        for at, row in enumerate(self._rows):
            self._at = at
            await self._play(row)

    async def close(self) -> None:
        for inbox in (*self._acs.values(), *self._tcs.values()):
            await inbox.close()

    def ours(self, theirs: str) -> str:
        """Our ARN of the recorded task whose number this is, such as `0001` or `000b`."""
        return next(ours for name, ours in self._names.items() if ":task/" in name and name.endswith(theirs))

    async def task(self, number: str) -> dict[str, Any]:
        """What DescribeTasks says of a recorded task."""
        described = await self.ecs.describe_tasks(cluster=CLUSTER, tasks=[self.ours(number)])
        found: dict[str, Any] = described["tasks"][0]
        return found

    async def _play(self, row: Row) -> None:
        op, body = row["op"], row["body"]
        match row["chan"], row["dir"]:
            case "note", _:
                await self._note(op, body)
            case "ecs", "agent>cp":
                await _CALLS[op](self, body)
            case "acs", "agent>cp":
                await self._acs_frame(op, body)
            case "acs", "cp>agent":
                await self._wanted(op, body)
            case "tcs", _:
                await self._tcs_frame(op, row)

    def _translated(self, value: Any) -> Any:
        text = json.dumps(value)
        for theirs, ours in self._names.items():
            text = text.replace(theirs, ours)
        return json.loads(text)

    # ---- the agent's processes ---------------------------------------------------------------------------------

    async def _note(self, op: str, body: Any) -> None:
        if op == "agent-start":
            self._starting.append(body["agent"])
        elif op in ("agent-SIGTERM", "agent-SIGKILL"):
            instance = self._agents[body["agent"]]
            for inbox in (self._acs.pop(instance), self._tcs.pop(instance)):
                await inbox.close()

    # ---- its calls ---------------------------------------------------------------------------------------------

    async def _register(self, body: Row) -> None:
        status, answer = await call(self.plane.url, "RegisterContainerInstance", **self._translated(body))
        assert status == 200
        instance = answer["containerInstance"]
        returned = {attribute["name"]: attribute.get("value", "") for attribute in instance["attributes"]}
        sent = {attribute["name"]: attribute.get("value", "") for attribute in body["attributes"]}
        assert sent.items() <= returned.items(), "or it exits with code 5"
        follows = (row for row in self._rows[self._at :] if row["op"] == "DiscoverPollEndpoint")
        theirs = next(follows)["body"]["containerInstance"]
        if "containerInstanceArn" in body:
            assert instance["containerInstanceArn"] == self._names[theirs], "the same instance again"
        self._names[theirs] = instance["containerInstanceArn"]
        self._agents[self._starting.pop(0)] = theirs

    async def _discover(self, body: Row) -> None:
        status, found = await call(self.plane.url, "DiscoverPollEndpoint", **self._translated(body))
        url = self.plane.url
        assert (status, found) == (200, {"endpoint": f"{url}/acs/", "telemetryEndpoint": f"{url}/tcs/"})

    async def _report(self, body: Row) -> None:
        theirs = body["task"]
        knows_it = any("runtimeId" in container for container in body["containers"])
        if theirs not in self._names or (theirs in self._unasked and not knows_it):
            self._unasked.discard(theirs)
            self.left_out.append(f"{_number(theirs)} reported {body['status']}")
            return
        answer = await call(self.plane.url, "SubmitTaskStateChange", **self._translated(body))
        assert answer == (200, {"acknowledgment": "ok"})
        seen = await self.task(_number(theirs))
        self._check_shown(seen, body)
        self._note_step(theirs, seen)

    def _note_step(self, theirs: str, seen: dict[str, Any]) -> None:
        step = f"{_number(theirs).lstrip('0')} {seen['lastStatus']} {' '.join(map(_shown, seen['containers']))}"
        if step not in self.steps[-1:]:
            self.steps.append(step)

    def _check_shown(self, seen: dict[str, Any], body: Row) -> None:
        """Everything that a report says is shown: that of its last row on a container, or of an earlier one."""
        known = self._reported.setdefault(body["task"], {})
        for container in body["containers"]:
            known[container["containerName"]] = known.get(container["containerName"], {}) | container
        for container in seen["containers"]:
            said = known.get(container["name"], {})
            for member in ("runtimeId", "exitCode", "reason", "imageDigest", "networkBindings"):
                assert container.get(member, []) == said.get(member, []) or member not in said, member
            assert container["lastStatus"] == said.get("status", container["lastStatus"])
        for member in ("pullStartedAt", "pullStoppedAt"):
            if member in body:
                assert seen[member].timestamp() == body[member]

    # ---- what the control plane must want, and send ------------------------------------------------------------

    async def _wanted(self, op: str, body: Row) -> None:
        if op != "PayloadMessage":
            return  # manifests and credentials: ours are its own
        for task in body["tasks"]:
            matter = (task["arn"], task["desiredStatus"])
            if task["desiredStatus"] == DesiredStatus.RUNNING:
                self._home[task["arn"]] = body["containerInstanceArn"]
                self._told.setdefault(body["messageId"], []).append(matter)
                await self._start(task, body["containerInstanceArn"])
            elif self._home[task["arn"]] != body["containerInstanceArn"]:
                self._unasked.add(task["arn"])
                self.left_out.append(f"{_number(task['arn'])} told {task['desiredStatus']} on another instance")
            elif self.waiting.pop(task["arn"], None) is not None:
                self.left_out.append(f"{_number(task['arn'])} never placed")
            else:
                self._told.setdefault(body["messageId"], []).append(matter)
                await self._stop(task["arn"])

    async def _start(self, task: Row, instance: str) -> bool:
        family = f"task-{_number(task['arn'])}"
        definition = {"family": family, "containerDefinitions": [_definition(one) for one in task["containers"]]}
        if "memory" in task:
            definition |= {"memory": str(task["memory"]), "cpu": str(int(task["cpu"] * 1024))}
        await self.ecs.register_task_definition(**definition)
        started = await self.ecs.start_task(
            cluster=CLUSTER, taskDefinition=family, containerInstances=[self._names[instance]]
        )
        if started["failures"]:
            assert started["failures"][0]["reason"].startswith("RESOURCE:")
            self.waiting[task["arn"]] = task
            return False
        self._names[task["arn"]] = started["tasks"][0]["taskArn"]
        return True

    async def _stop(self, theirs: str) -> None:
        task = self.plane.store.view().task(self._names[theirs])
        if task is not None and task.last_status is TaskStatus.STOPPED:
            self.left_out.append(f"{_number(theirs)} told STOPPED, which it is")
            self._told = {
                message: [matter for matter in matters if matter != (theirs, DesiredStatus.STOPPED)]
                for message, matters in self._told.items()
            }
            return
        await self.ecs.stop_task(cluster=CLUSTER, task=self._names[theirs])
        task = self.plane.store.view().task(self._names[theirs])
        assert task is not None
        assert task.hold is None, "an agent that reports no releases: the room is free at the stop request"
        for arn, waiting in list(self.waiting.items()):
            if await self._start(waiting, self._home[arn]):
                del self.waiting[arn]
                await self._acknowledge(arn, DesiredStatus.RUNNING)

    # ---- frames ------------------------------------------------------------------------------------------------

    async def _acs_frame(self, op: str, body: Row) -> None:
        if op == "WS-CONNECT":
            theirs = body["containerInstanceArn"]
            if theirs in self._acs:
                await self._acs.pop(theirs).close()
            socket = await self._session.ws_connect(f"{self.plane.url}/acs/ws", params=self._translated(body))
            self._acs[theirs] = Inbox(socket, "HeartbeatAckRequest")
            await self._acs[theirs].get(lambda frame: frame["type"] == "TaskManifestMessage")
            assert self._acs[theirs].frames[0]["type"] == "HeartbeatMessage"
        elif op == "AckRequest" and body["messageId"] in self._told:
            for arn, desired in self._told[body["messageId"]]:
                if arn not in self.waiting:
                    await self._acknowledge(arn, desired)
        elif op == "TaskStopVerificationMessage":
            await self._verify(body)
        elif op == "IAMRoleCredentialsAckRequest":
            [inbox] = self._acs.values()
            await inbox.send(op, body)

    async def _acknowledge(self, theirs: str, desired: str) -> None:
        inbox, arn = self._acs[self._home[theirs]], self._names[theirs]

        def is_it(frame: Frame) -> bool:
            tasks = frame["message"].get("tasks", []) if frame["type"] == "PayloadMessage" else []
            return any(task["arn"] == arn and task["desiredStatus"] == desired for task in tasks)

        message = (await inbox.get(is_it))["message"]
        echo = {"cluster": message["clusterArn"], "containerInstance": message["containerInstanceArn"]}
        before = self.plane.store.view().task(arn)
        await inbox.send("AckRequest", {**echo, "messageId": message["messageId"]})
        if desired == DesiredStatus.STOPPED and before is not None and before.last_status is TaskStatus.RUNNING:
            await until(self.plane, lambda view: view.task(arn).last_status is TaskStatus.STOPPING)  # type: ignore[union-attr]
            self._note_step(theirs, await self.task(_number(theirs)))

    async def _verify(self, body: Row) -> None:
        """The candidate is told to stop, and that payload is lost; a stranger and a wanted task are asked about too."""
        [inbox] = self._acs.values()
        [candidate] = body["stopCandidates"]
        await self._stop(candidate["taskArn"])
        manifest = next(frame for frame in inbox.frames if frame["type"] == "TaskManifestMessage")["message"]
        stranger = self.ours("0001")[:-4] + "beef"
        asked = [candidate["taskArn"], stranger, self.ours("0001")]
        question = [{**candidate, "taskArn": self._names.get(arn, arn)} for arn in asked]
        kind, message_id = "TaskStopVerificationMessage", manifest["messageId"]
        await inbox.send(kind, {"messageId": message_id, "stopCandidates": question})
        answer = (await inbox.get(lambda frame: frame["type"] == "TaskStopVerificationAck"))["message"]
        assert answer["messageId"] == message_id
        assert [task["taskArn"] for task in answer["stopTasks"]] == [self._names[candidate["taskArn"]], stranger]
        assert {task["desiredStatus"] for task in answer["stopTasks"]} == {"STOPPED"}

    async def _tcs_frame(self, op: str, row: Row) -> None:
        body = row["body"]
        if op == "WS-CONNECT":
            socket = await self._session.ws_connect(f"{self.plane.url}/tcs/ws", params=self._translated(body))
            inbox = self._tcs[body["containerInstance"]] = Inbox(socket, None)
            await inbox.get(lambda frame: frame == {"type": "HeartbeatMessage", "message": {"healthy": True}})
        elif op.startswith("Publish"):
            inbox = self._tcs[body["metadata"]["containerInstance"]]
            headers = "".join(f"{name}: {value}\r\n" for name, value in row["headers"].items())
            frame = json.dumps({"type": op, "message": self._translated(body)})
            before = len(inbox.frames)
            await inbox.socket.send_str(f"{headers}\r\n{frame}")
            await inbox.get(lambda frame: frame["type"] == _ACKS[op] and len(inbox.frames) > before)
            inbox.frames.clear()

    def story(self, kind: Kind) -> list[Any]:
        """The story's lines of a kind."""
        return [line for line in self._story if line.kind == kind]

    async def read_story(self) -> None:
        """Take the story so far in, for `story`."""
        lines, _ = await self.plane.store.story(0, 100_000)
        self._story = [line for _, line in lines]


_CALLS = {
    "RegisterContainerInstance": Player._register,
    "DiscoverPollEndpoint": Player._discover,
    "SubmitTaskStateChange": Player._report,
}
_ACKS = {
    "PublishMetricsRequest": "AckPublishMetric",
    "PublishHealthRequest": "AckPublishHealth",
    "PublishInstanceStatusRequest": "AckPublishInstanceStatus",
}


def _number(arn: str) -> str:
    return arn[-4:]


def _shown(container: dict[str, Any]) -> str:
    exit_code = container.get("exitCode")
    return f"{container['name']}={container['lastStatus']}" + ("" if exit_code is None else f"/{exit_code}")


def _definition(container: Row) -> dict[str, Any]:
    """A container definition that leads to the recorded payload."""
    same = ("name", "image", "cpu", "memory", "essential", "command", "stopTimeout", "startTimeout", "portMappings")
    definition = {member: container[member] for member in (*same, "dependsOn", "restartPolicy") if member in container}
    definition |= {} if "memory" in container else {"memory": 16}
    check = json.loads(container.get("dockerConfig", {}).get("config") or "{}").get("Healthcheck")
    if container.get("healthCheckType") == "docker" and check:
        definition["healthCheck"] = {"command": check["Test"], "retries": min(check["Retries"], 10)}
    return definition
