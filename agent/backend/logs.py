"""Lines of `awslogs` containers on their way to the control plane's log store, by CloudWatch Logs' own operations.

Each batch carries its newest stamp as `sequenceToken`, which our store keeps with the lines: a batch that is sent
twice counts once, and an agent that was restarted asks the stream where to go on.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from agent.backend.backoff import Backoff
from agent.backend.ecsclient import BackendUnreachableError, EcsClient, is_transient
from agent.runtime.port import LogLine
from wire.errors import AwsError
from wire.logs import MESSAGE_BYTES_MAX, TARGET_PREFIX

log = logging.getLogger(__name__)

REFUSED_MAX = 1000
"""Streams remembered as refused, so that each is told once."""
_CUT = " [cut]"


class LogSubmitter:
    """A `LogSink` over the API. A store that refuses for good loses the lines, with one warning a stream."""

    def __init__(self, client: EcsClient) -> None:
        self._client = client
        self._refused: set[tuple[str, str]] = set()

    async def newest(self, group: str, stream: str) -> str:
        """Stamp of the newest line that the stream has."""
        await self._call("CreateLogGroup", {"logGroupName": group}, (group, stream))
        await self._call("CreateLogStream", {"logGroupName": group, "logStreamName": stream}, (group, stream))
        request = {"logGroupName": group, "logStreamNamePrefix": stream}
        rows = (await self._call("DescribeLogStreams", request, (group, stream))).get("logStreams", ())
        return next((str(row.get("uploadSequenceToken", "")) for row in rows if row["logStreamName"] == stream), "")

    async def put(self, group: str, stream: str, lines: list[LogLine]) -> None:
        """Add lines."""
        if not lines:
            return
        events = [{"timestamp": line.at_ms, "message": _bounded(line.message)} for line in lines]
        request = {
            "logGroupName": group,
            "logStreamName": stream,
            "logEvents": sorted(events, key=lambda event: int(str(event["timestamp"]))),
            "sequenceToken": lines[-1].stamp,
        }
        await self._call("PutLogEvents", request, (group, stream))

    async def _call(self, operation: str, request: Mapping[str, Any], where: tuple[str, str]) -> dict[str, Any]:
        backoff = Backoff(0.25, 30, 1.5)
        while True:
            try:
                return await self._client.call(operation, request, prefix=TARGET_PREFIX)
            except BackendUnreachableError:
                pass  # the container's own file keeps the lines until then
            except AwsError as error:
                if not is_transient(error):
                    self._refuse(operation, error, where)
                    return {}
            await asyncio.sleep(backoff.wait_seconds())

    def _refuse(self, operation: str, error: AwsError, where: tuple[str, str]) -> None:
        if error.code != "ResourceAlreadyExistsException" and where not in self._refused:
            if len(self._refused) >= REFUSED_MAX:
                self._refused.clear()
            self._refused.add(where)
            log.warning("Log stream %s of %s: %s was answered with %s", where[1], where[0], operation, error.code)


def _bounded(message: str) -> str:
    if len(message.encode()) <= MESSAGE_BYTES_MAX:
        return message
    return message.encode()[: MESSAGE_BYTES_MAX - len(_CUT)].decode(errors="ignore") + _CUT
