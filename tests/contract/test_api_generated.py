"""Any request, good or bad: an answer within seconds, never ours to blame, and a refused one has changed nothing."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from apiside import Ecs, definition
from botocore.awsrequest import AWSHTTPConnection
from generated import Sent, requests
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scripted_agent import ScriptedAgent
from urllib3.exceptions import HTTPError

from controlplane.config import Config
from controlplane.core.tables import RECORDS
from controlplane.server import ControlPlane, running
from controlplane.store import records
from wire import ecs_shapes

ANSWER_SECONDS = 60
PORTION = 500
WHOLE = 20_000
CHECKED_RECORDS_MAX = 300
"""While the state is no larger, the bytes of every record are compared around a request."""


class Side:
    """A control plane in a thread of its own with something of everything in it, and one connection to it."""

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = {}
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(30)
        self.http = AWSHTTPConnection(  # sends headers and body at once, as SDKs do
            "127.0.0.1", self.plane.port, timeout=ANSWER_SECONDS
        )

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with (
            running(Config(port=0, healthy_after_seconds=0)) as self.plane,
            ScriptedAgent(self.plane.url) as agent,
        ):
            await self._furnish(self.plane, agent)
            self._watch = self.plane.store.watch()
            self._ready.set()
            await self._end.wait()

    async def _furnish(self, plane: ControlPlane, agent: ScriptedAgent) -> None:
        ecs = Ecs(plane.url)
        small = {"cpu": 1, "memory": 8}
        defined = (await ecs.register_task_definition(**definition(**small)))["taskDefinition"]["taskDefinitionArn"]
        task = (await ecs.run_task(taskDefinition="web"))["tasks"][0]["taskArn"]
        made = await ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=1)
        service = made["service"]["serviceArn"]
        clusters, tasks = ["default", "arn:aws:ecs:us-east-1:123456789012:cluster/default"], [task, task[-32:]]
        self.known = {
            **{name: ["web"] for name in ("Name", "Rule", "logGroupName", "logStreamName")},
            "EventPattern": ['{"source": ["aws.ecs"]}'],
            "ScheduleExpression": ["rate(1 hour)"],
            "Arn": ["arn:aws:ecs:us-east-1:123456789012:cluster/default"],
            "TaskDefinitionArn": ["web"],
            "cluster": clusters,
            "clusters": clusters,
            "taskDefinition": ["web", "web:1", defined],
            "task": tasks,
            "tasks": tasks,
            "service": ["web", service],
            "services": ["web", service],
            "containerInstance": [agent.arn],
            "containerInstances": [agent.arn],
            "resourceArn": [task, service, agent.arn, defined],
            "count": [1, 2],  # type: ignore[list-item]
        }

    def send(self, sent: Sent) -> tuple[int, str, bytes]:
        """Status, request id and body of the answer."""
        try:
            self.http.request("POST", "/", sent.body, sent.headers)
            answer = self.http.getresponse()
            body = answer.data
        except (HTTPError, OSError):
            self.http.close()
            raise
        if "Content-Encoding" in sent.headers:  # a body that cannot be read ends the connection, a moment later
            self.http.close()
        return answer.status, answer.headers.get("x-amzn-RequestId", ""), body

    def held(self) -> list[bytes] | None:
        """Every record's bytes; None where there are too many to compare every time."""
        view = self.plane.store.view()
        every = [record for kind in RECORDS for record in list(view.records(kind))]
        return [records.encode(record) for record in every] if len(every) <= CHECKED_RECORDS_MAX else None

    def causes(self) -> set[str]:
        """What the commits since the last look were made for."""

        async def drain() -> set[str]:
            found = set()
            while self._watch._commits:  # type: ignore[attr-defined]
                found.add((await anext(self._watch)).cause)
            return found

        return asyncio.run_coroutine_threadsafe(drain(), self._loop).result(ANSWER_SECONDS)

    def close(self) -> None:
        self.http.close()
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)


@pytest.fixture(scope="module")
def side() -> Iterator[Side]:
    side = Side()
    yield side
    side.close()


def hold(side: Side, sent: Sent) -> None:
    """Send it, and hold the answer against what must be true of every answer."""
    before, revision = side.held(), side.plane.store.view().revision
    status, request_id, body = side.send(sent)
    shown = (sent.operation, sent.headers, sent.body[:500], status, body[:500])
    assert status < 500, shown
    answer: dict[str, Any] = msgspec.json.decode(body)
    if status == 200:
        if sent.operation and sent.headers.get("X-Amz-Target", "").endswith(f".{sent.operation}"):
            assert ecs_shapes.response_faults(sent.operation, answer) == [], shown
        return
    assert answer["__type"], shown
    assert answer["message"], shown
    assert request_id not in side.causes(), shown
    after = side.held()
    if side.plane.store.view().revision == revision:
        assert before == after, shown


def test_any_request_is_answered_and_a_refused_one_changes_nothing(side: Side) -> None:
    _try(side, PORTION)


@pytest.mark.soak
def test_twenty_thousand_requests(side: Side) -> None:
    _try(side, WHOLE)


def _try(side: Side, examples: int) -> None:
    @settings(
        max_examples=examples,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.data())
    def each(data: st.DataObject) -> None:
        hold(side, data.draw(requests(side.known)))

    each()
