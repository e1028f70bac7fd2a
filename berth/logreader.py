"""The lines of a task or a service: which streams they are in, and reading these as they grow."""

from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple

from berth.client import EcsClient
from berth.errors import UserError
from wire.arn import parse, short_id
from wire.errors import AwsError
from wire.logs import AWSLOGS, stream_name

TASKS_MAX = 100
"""Tasks of a service that are read: those that run, then those that stopped last. Source: `DescribeTasks`."""
PAGES_MAX = 1_000
"""Pages of one stream in one look."""


class Stream(NamedTuple):
    """One container's lines; `label` names it among others."""

    group: str
    name: str
    label: str


class Line(NamedTuple):
    """A line; `at_ms` is epoch milliseconds."""

    at_ms: int
    label: str
    message: str


class LogReader:
    """Reads the streams of what a person named; it remembers how far it has come in each."""

    def __init__(self, client: EcsClient, cluster: str, target: str) -> None:
        """`target` is a task's id or ARN, or a service's name or ARN."""
        self._client = client
        self._cluster = cluster
        self._target = target
        self._tokens: dict[Stream, str] = {}
        self._definitions: dict[str, dict[str, Any]] = {}
        self.elsewhere: dict[str, str] = {}
        """Containers whose lines are not here: label, and the sentence that says where."""

    async def tasks(self) -> list[dict[str, Any]]:
        """The tasks that are meant.

        Raises:
            UserError: there is no such task or service.
        """
        arn = parse(self._target)
        if arn is None or arn.kind == "task":
            described = await self._client.call("DescribeTasks", cluster=self._cluster, tasks=[self._target])
            if described["tasks"]:
                return list(described["tasks"])
        services = await self._client.call("DescribeServices", cluster=self._cluster, services=[self._target])
        if not services["services"]:
            raise UserError(f"There is no task and no service {self._target!r} in the cluster {self._cluster!r}.")
        name = services["services"][0]["serviceName"]
        arns: list[str] = []
        for status in ("RUNNING", "STOPPED"):
            listed = await self._client.call(
                "ListTasks", cluster=self._cluster, serviceName=name, desiredStatus=status, maxResults=TASKS_MAX
            )
            arns += listed["taskArns"]
        if not arns:
            return []
        described = await self._client.call("DescribeTasks", cluster=self._cluster, tasks=arns[:TASKS_MAX])
        return list(described["tasks"])

    async def streams(self, tasks: Iterable[dict[str, Any]]) -> list[Stream]:
        """The streams of the tasks' containers."""
        streams = []
        for task in tasks:
            for container in task["containers"]:
                stream = await self._stream(task, container)
                if stream is not None:
                    streams.append(stream)
        return streams

    async def news(self, streams: Iterable[Stream]) -> list[Line]:
        """What has come since the last look, by time."""
        lines = [line for stream in streams async for line in self._pages(stream)]
        return sorted(lines, key=lambda line: line.at_ms)

    async def _stream(self, task: dict[str, Any], container: dict[str, Any]) -> Stream | None:
        definition = await self._definition(task["taskDefinitionArn"])
        label = f"{container['name']}/{short_id(task['taskArn'])[:8]}"
        for defined in definition["containerDefinitions"]:
            if defined["name"] != container["name"]:
                continue
            log = defined.get("logConfiguration", {})
            options = log.get("options", {})
            runtime_id = container.get("runtimeId", "")
            if log.get("logDriver") == AWSLOGS:
                name = stream_name(options, container["name"], task["taskArn"]) or runtime_id
                return Stream(options.get("awslogs-group", ""), name, label) if name else None
            driver = log.get("logDriver", "json-file")
            self.elsewhere[label] = f"{label} logs by {driver}, not awslogs: see `docker logs {runtime_id[:12]}`."
        return None

    async def _definition(self, arn: str) -> dict[str, Any]:
        if arn not in self._definitions:
            answer = await self._client.call("DescribeTaskDefinition", taskDefinition=arn)
            self._definitions[arn] = answer["taskDefinition"]
        return self._definitions[arn]

    async def _pages(self, stream: Stream) -> AsyncIterator[Line]:
        for _ in range(PAGES_MAX):
            token = self._tokens.get(stream)
            request: dict[str, Any] = {
                "logGroupName": stream.group,
                "logStreamName": stream.name,
                "startFromHead": True,
            }
            if token is not None:
                request["nextToken"] = token
            try:
                answer = await self._client.call_logs("GetLogEvents", **request)
            except AwsError as error:
                if error.code == "ResourceNotFoundException":
                    return  # it has not written yet
                raise
            for event in answer["events"]:
                yield Line(event["timestamp"], stream.label, event["message"])
            self._tokens[stream] = answer["nextForwardToken"]
            if not answer["events"]:
                return
