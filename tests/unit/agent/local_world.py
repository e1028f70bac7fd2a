"""A host's endpoints to test against: made-up tasks, made-up words of Docker, real HTTP on the loopback."""

from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from agent.core.ladder import Known
from agent.core.spec import ContainerSpec, Port, TaskSpec
from agent.core.state import ContainerState, TaskState
from agent.local.books import Books
from agent.local.identifiers import Identifiers
from wire.status import DesiredStatus

ARN = "arn:aws:ecs:us-east-1:123456789012:task/default/0001"
OTHER_ARN = "arn:aws:ecs:us-east-1:123456789012:task/default/0002"
IDS = Identifiers(b"secret")
ROLE_ID = "role-credentials-id"


def task(arn=ARN, *, known=Known.RUNNING, credentials_id="", network_mode="bridge"):
    """A task of two containers, `main` created and `late` not yet."""
    main = ContainerSpec(
        name="main",
        image="berth/stubborn:latest",
        arn=f"{arn}/main",
        essential=True,
        cpu=10,
        memory_mib=64,
        ports=(Port(80, 0, "tcp"),),
    )
    late = ContainerSpec(name="late", image="berth/stubborn:latest")
    spec = TaskSpec(
        arn=arn,
        cluster="default",
        family="web",
        version="3",
        containers=(main, late),
        cpu_vcpus=0.5,
        memory_mib=512,
        network_mode=network_mode,
        service_name="web",
        group="service:web",
        credentials_id=credentials_id,
    )
    created = ContainerState(spec=main, known=known, docker_id=docker_id(arn), ports=(Port(80, 32768, "tcp"),))
    return TaskState(
        spec=spec, containers=[created, ContainerState(spec=late)], known=known, desired=DesiredStatus.RUNNING
    )


class Facts(dict):
    """What an agent keeps on its disk."""

    fact, note = dict.get, dict.__setitem__


def docker_id(arn):
    return arn[-4:] * 16


def inspected(arn=ARN, address="172.17.0.2", mode="default"):
    """Docker's words about `main`."""
    return {
        "Id": docker_id(arn),
        "Name": f"/ecs-web-3-main-{arn[-4:]}",
        "Image": "sha256:aa",
        "Created": "2026-11-21T10:00:00.5Z",
        "State": {"StartedAt": "2026-11-21T10:00:01.25Z", "FinishedAt": "0001-01-01T00:00:00Z"},
        "Config": {"Labels": {"a": "b"}},
        "HostConfig": {"NetworkMode": mode, "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}},
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": address}}},
        "Mounts": [],
    }


class FakeLooks:
    """Docker's words, as they are put in."""

    def __init__(self, *described):
        self.described = {each["Id"]: each for each in described}
        self.used = {}

    async def describe(self, docker_id, *, fresh=False):
        del fresh
        return self.described.get(docker_id)

    async def usage(self, docker_id):
        return self.used.get(docker_id)

    async def close(self):
        pass


def books(tasks, looks, own=("127.0.0.1",)):
    return Books(lambda: tasks, IDS, looks, own)


@asynccontextmanager
async def served(routes, middlewares=()):
    """The routes on a port of the loopback; yields `ask(method, path, **more)` -> (status, JSON or text)."""
    application = web.Application(middlewares=list(middlewares))
    application.add_routes(routes)
    async with TestServer(application) as server, aiohttp.ClientSession() as session:

        async def ask(path, method="GET", **more):
            async with session.request(method, server.make_url(path), **more) as answer:
                is_json = answer.content_type == "application/json"
                return answer.status, await (answer.json() if is_json else answer.text())

        yield ask
