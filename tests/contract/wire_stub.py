"""A control plane that only listens: it answers as little as an agent needs and keeps all that the agent says.

It is the counterpart of the recordings under `wire/`: rows of (channel, operation, body), in the order of their coming.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web
from wire_player import RECORDINGS

from agent import daemon
from agent.backend.ecsclient import EcsClient
from agent.backend.sigv4 import Signer
from agent.config import read
from agent.departure import Departure, Leaving
from agent.journal import Journal
from agent.local import listen
from agent.local.serving import About, Local
from agent.runtime.scripted import ScriptedRuntime

WAIT_SECONDS = 60
INSTANCE = "arn:aws:ecs:us-east-1:123456789012:container-instance/wire/" + "a" * 32
CLUSTER_ARN = "arn:aws:ecs:us-east-1:123456789012:cluster/wire"


class Said(NamedTuple):
    """One thing that the agent said. `headers` of a call, a connection, or in front of a telemetry frame."""

    channel: str
    operation: str
    body: Any
    headers: dict[str, str]


class Stub:
    """Serves one agent."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.url = ""
        self._acs: web.WebSocketResponse | None = None
        self._news = asyncio.Condition()

    async def hears(self, operation: str, holds: Callable[[Any], bool] = lambda _: True, *, times: int = 1) -> Said:
        """Wait for an operation whose body `holds`, the so-manieth; it."""

        def found() -> list[Said]:
            return [said for said in self.said if said.operation == operation and holds(said.body)]

        async with asyncio.timeout(WAIT_SECONDS), self._news:
            await self._news.wait_for(lambda: len(found()) >= times)
        return found()[times - 1]

    async def tell(self, kind: str, **message: Any) -> None:
        """Send a frame over ACS."""
        assert self._acs is not None
        await self._acs.send_str(json.dumps({"type": kind, "message": message}))

    async def hang_up(self) -> None:
        """Close the ACS connection in an orderly way."""
        assert self._acs is not None
        await self._acs.close()

    async def want(self, message_id: str, *tasks: dict[str, Any], seq_num: int = 1) -> None:
        """A payload, and its ack."""
        arns = {"clusterArn": CLUSTER_ARN, "containerInstanceArn": INSTANCE}
        await self.tell("PayloadMessage", messageId=message_id, seqNum=seq_num, tasks=list(tasks), **arns)
        await self.hears("AckRequest", lambda body: body["messageId"] == message_id)

    async def _note(self, said: Said) -> None:
        async with self._news:
            self.said.append(said)
            self._news.notify_all()

    async def _call(self, request: web.Request) -> web.Response:
        operation = request.headers["X-Amz-Target"].partition(".")[2]
        body = await request.json()
        await self._note(Said("ecs", operation, body, dict(request.headers)))
        answers = {
            "RegisterContainerInstance": {
                "containerInstance": {"containerInstanceArn": INSTANCE, "attributes": body.get("attributes")}
            },
            "DiscoverPollEndpoint": {"endpoint": f"{self.url}/acs/", "telemetryEndpoint": f"{self.url}/tcs/"},
        }
        return web.json_response(answers.get(operation, {}))

    async def _acs_session(self, request: web.Request) -> web.WebSocketResponse:
        self._acs = socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str('{"type":"HeartbeatMessage","message":{"healthy":true,"messageId":"hb"}}')
        await self._note(Said("acs", "WS-CONNECT", dict(request.query), dict(request.headers)))
        async for message in socket:
            frame = json.loads(message.data)
            await self._note(Said("acs", frame["type"], frame["message"], {}))
        return socket

    async def _tcs_session(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await self._note(Said("tcs", "WS-CONNECT", dict(request.query), dict(request.headers)))
        async for message in socket:
            block, _, text = message.data.partition("\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in block.split("\r\n"))
            frame = json.loads(text)
            await self._note(Said("tcs", frame["type"], frame["message"], headers))
        return socket

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Stub"]:
        app = web.Application()
        app.router.add_post("/", self._call)
        app.router.add_get("/acs/ws", self._acs_session)
        app.router.add_get("/tcs/ws", self._tcs_session)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()


class NoLooks:
    """Nobody to ask about containers."""

    async def describe(self, docker_id: str, *, fresh: bool = False) -> None:
        """Nothing is known."""

    async def usage(self, docker_id: str) -> None:
        """Nothing is known."""

    async def close(self) -> None:
        """Nothing to close."""


@contextlib.asynccontextmanager
async def our_agent(stub: Stub, data_dir: Path, **environment: str) -> AsyncIterator[ScriptedRuntime]:
    """Our agent as it is, with containers by script."""
    config = read({"ECS_BACKEND_HOST": stub.url, "ECS_CLUSTER": "wire", "ECS_DATADIR": str(data_dir), **environment})
    journal, runtime = Journal(config.data_dir), ScriptedRuntime(time.time)
    async with aiohttp.ClientSession() as session:
        client = EcsClient(session, config.backend, Signer(config.credentials, config.region))
        local = Local(config.local, journal, NoLooks(), listen.take(journal, None))
        registered = daemon._registered(config, frozenset(), frozenset())
        instance = await daemon._register(config, journal, client, registered, local.ports.introspection_address)
        about = About(cluster="wire", instance=instance, region=config.region, zone=config.zone, version="1")
        life = asyncio.create_task(
            daemon._serve(
                config,
                journal,
                client,
                runtime=runtime,
                registered=registered,
                about=about,
                local=local,
                departure=Departure(Leaving()),
            )
        )
        try:
            yield runtime
            assert not life.done(), life.exception()
        finally:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
            await local.close()
            journal.close()


# ---- shapes ------------------------------------------------------------------------------------------------------


class Shape:
    """Members by path (`containers[].exitCode`), with their types, over any number of bodies."""

    def __init__(self) -> None:
        self.types: dict[str, set[str]] = {}
        self._seen: dict[str, int] = {"": 0}
        self._among: dict[str, str] = {}

    def add(self, value: Any, path: str = "") -> None:
        if isinstance(value, dict):
            self._seen[path] = self._seen.get(path, 0) + 1
            for name, member in value.items():
                below = f"{path}.{name}" if path else name
                self._among[below] = path
                self.types.setdefault(below, set()).add(_type(member))
                if not isinstance(member, dict):
                    self._seen[below] = self._seen.get(below, 0) + 1
                self.add(member, below)
        elif isinstance(value, list):
            for item in value:
                self.add(item, f"{path}[]")

    def always(self) -> Iterator[str]:
        """Members that every object of their place has."""
        return (path for path, parent in self._among.items() if self._seen[path] == self._seen[parent])

    def has_place_of(self, path: str, other: "Shape") -> bool:
        """Whether there is an object here that could have the other's member."""
        return self._seen.get(other._among[path], 0) > 0


def _type(value: Any) -> str:
    for kind, name in ((bool, "boolean"), ((int, float), "number"), (str, "string"), (list, "list"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "null"


def recorded_shapes() -> dict[tuple[str, str], Shape]:
    """Shapes of everything that Amazon's agent said in all recordings."""
    shapes: dict[tuple[str, str], Shape] = {}
    for path in sorted(RECORDINGS.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if row.get("dir") == "agent>cp" and row["op"] != "WS-CLOSE":
                shapes.setdefault((row["chan"], row["op"]), Shape()).add(row["body"])
    return shapes
