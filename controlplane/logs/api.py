"""CloudWatch Logs' operations over the local store: enough to write, find, read and follow streams.

Source: botocore's CloudWatch Logs model (2014-03-28), API reference; error texts as AWS gives them.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from controlplane.logs.pattern import matcher
from controlplane.logs.store import GROUPS_MAX, LogEvent, LogStore, LogStream, Span
from wire import models
from wire.arn import ArnMaker
from wire.errors import AwsError, InvalidParameterException, UnknownOperationException
from wire.logs import EVENTS_MAX, MESSAGE_BYTES_MAX
from wire.numerals import whole

ANSWER_BYTES_MAX = 1024 * 1024
"""Source: `GetLogEvents` (as many events as fit in 1 MB)."""
PAGE_MAX = 50
FILTERED_MAX = 100_000
"""Events that one FilterLogEvents looks at; the next token leads on from there."""

Answer = dict[str, Any]


class LogsApi:
    """Serves the operations of the target prefix `Logs_20140328`."""

    def __init__(self, store: LogStore, arns: ArnMaker) -> None:
        self._store = store
        self._arns = arns

    async def serve(self, operation: str, body: dict[str, Any]) -> Answer:
        """Answer one request.

        Raises:
            AwsError: it cannot be carried out.
        """
        if operation not in _OPERATIONS:
            raise UnknownOperationException(f"CloudWatch Logs' {operation[:100]} is not served here.")
        request = models.checked(models.LOGS, operation, body, code=InvalidParameterException.code)
        answer = await _OPERATIONS[operation](self, request)
        return answer or {}

    async def _create_group(self, body: Answer) -> None:
        if len(await self._store.groups()) >= GROUPS_MAX:
            raise AwsError("Resource limit exceeded.", code="LimitExceededException")
        if not await self._store.create_group(body["logGroupName"], _now_ms()):
            raise _exists("group")

    async def _create_stream(self, body: Answer) -> None:
        group = await self._group(body)
        if not await self._store.create_stream(group, body["logStreamName"], _now_ms()):
            raise _exists("stream")

    async def _delete_group(self, body: Answer) -> None:
        await self._store.delete_group(await self._group(body))

    async def _delete_stream(self, body: Answer) -> None:
        group = await self._group(body)
        await self._stream(group, body["logStreamName"])
        await self._store.delete_stream(group, body["logStreamName"])

    async def _describe_groups(self, body: Answer) -> Answer:
        prefix, pattern = body.get("logGroupNamePrefix", ""), body.get("logGroupNamePattern", "").lower()
        rows = [
            {
                "logGroupName": name,
                "creationTime": created_ms,
                "metricFilterCount": 0,
                "arn": f"{self._arn(name)}:*",
                "logGroupArn": self._arn(name),
                "storedBytes": size,
                "logGroupClass": "STANDARD",
            }
            for name, created_ms, size in await self._store.groups()
            if name.startswith(prefix) and pattern in name.lower()
        ]
        return _page("logGroups", rows, body)

    async def _describe_streams(self, body: Answer) -> Answer:
        group, prefix = await self._group(body), body.get("logStreamNamePrefix", "")
        by_time = body.get("orderBy") == "LastEventTime"
        if by_time and prefix:
            raise InvalidParameterException("Cannot order by LastEventTime with a logStreamNamePrefix.")
        streams = [stream for stream in await self._store.streams(group) if stream.name.startswith(prefix)]
        if by_time:
            streams.sort(key=lambda stream: (stream.last_ms or 0, stream.name))
        if body.get("descending"):
            streams.reverse()
        return _page("logStreams", [self._shape(group, stream) for stream in streams], body)

    def _shape(self, group: str, stream: LogStream) -> Answer:
        shape = {
            "logStreamName": stream.name,
            "creationTime": stream.created_ms,
            "firstEventTimestamp": stream.first_ms,
            "lastEventTimestamp": stream.last_ms,
            "lastIngestionTime": stream.ingested_ms,
            "uploadSequenceToken": stream.token or None,
            "arn": f"{self._arn(group)}:log-stream:{stream.name}",
            "storedBytes": 0,
        }
        return {name: value for name, value in shape.items() if value is not None}

    async def _put(self, body: Answer) -> Answer:
        group, stream, events = await self._group(body), body["logStreamName"], body["logEvents"]
        await self._stream(group, stream)
        if len(events) > EVENTS_MAX or any(len(event["message"].encode()) > MESSAGE_BYTES_MAX for event in events):
            raise InvalidParameterException("Log event too large, or too many of them.")
        times = [event["timestamp"] for event in events]
        if times != sorted(times):
            raise InvalidParameterException(
                "Log events in a single PutLogEvents request must be in chronological order."
            )
        token = body.get("sequenceToken", "")
        lines = [(event["timestamp"], event["message"]) for event in events]
        await self._store.put(group, stream, lines, _now_ms(), token)
        return {"nextSequenceToken": token or f"{time.time_ns()}"}

    async def _get(self, body: Answer) -> Answer:
        group, stream = await self._group(body), body["logStreamName"]
        await self._stream(group, stream)
        token = body.get("nextToken", "")
        way, mark = _mark(token) if token else ("", None)
        span = Span(
            body.get("startTime", 0),
            body.get("endTime", 1 << 62),
            mark if way == "f" else None,
            mark if way == "b" else None,
        )
        newest = way == "b" or (not way and not body.get("startFromHead", False))
        limit = min(body.get("limit", EVENTS_MAX), EVENTS_MAX)
        events = _cut(await self._store.read(group, [stream], span, limit=limit, newest=newest), newest=newest)
        first, last = (events[0], events[-1]) if events else (None, None)
        start = mark or (span.start_ms, 0)
        return {
            "events": [
                {"timestamp": event.at_ms, "message": event.message, "ingestionTime": event.ingested_ms}
                for event in events
            ],
            "nextForwardToken": _token("f", last, start),
            "nextBackwardToken": _token("b", first, start),
        }

    async def _filter(self, body: Answer) -> Answer:
        group = await self._group(body)
        try:
            matches = matcher(body.get("filterPattern", ""))
        except ValueError as error:
            raise InvalidParameterException(str(error)) from None
        named, prefix = body.get("logStreamNames"), body.get("logStreamNamePrefix", "")
        streams = [s.name for s in await self._store.streams(group) if s.name.startswith(prefix)]
        streams = [name for name in streams if named is None or name in named]
        limit = min(body.get("limit", EVENTS_MAX), EVENTS_MAX)
        mark = _mark(body["nextToken"])[1] if body.get("nextToken") else None
        found: list[LogEvent] = []
        for _ in range(FILTERED_MAX // EVENTS_MAX):
            span = Span(body.get("startTime", 0), body.get("endTime", (1 << 62) - 1) + 1, behind=mark)
            seen = await self._store.read(group, streams, span, limit=EVENTS_MAX)
            found += [event for event in seen if matches(event.message)]
            mark = (seen[-1].at_ms, seen[-1].id) if len(seen) == EVENTS_MAX else None
            if mark is None or len(found) >= limit:
                break
        shown = _cut(found[:limit], newest=False)
        if len(shown) < len(found):
            mark = (shown[-1].at_ms, shown[-1].id)
        more = {"nextToken": f"f/{mark[0]}/{mark[1]}"} if mark else {}
        return {"events": [_filtered(event) for event in shown], "searchedLogStreams": [], **more}

    async def _group(self, body: Answer) -> str:
        given: str = body.get("logGroupName") or body.get("logGroupIdentifier", "")
        if given.startswith("arn:") and not given.startswith(self._arn("")):
            raise InvalidParameterException(f"{given} is the ARN of no log group of this region and account.")
        name = given.removeprefix(self._arn(""))
        if not await self._store.has_group(name):
            raise _missing("group")
        return name

    async def _stream(self, group: str, stream: str) -> None:
        if not await self._store.has_stream(group, stream):
            raise _missing("stream")

    def _arn(self, group: str) -> str:
        return f"arn:aws:logs:{self._arns.region}:{self._arns.account}:log-group:{group}"


_OPERATIONS: dict[str, Callable[[LogsApi, Answer], Awaitable[Answer | None]]] = {
    "CreateLogGroup": LogsApi._create_group,  # noqa: SLF001 - the table belongs to the class
    "CreateLogStream": LogsApi._create_stream,  # noqa: SLF001
    "DeleteLogGroup": LogsApi._delete_group,  # noqa: SLF001
    "DeleteLogStream": LogsApi._delete_stream,  # noqa: SLF001
    "DescribeLogGroups": LogsApi._describe_groups,  # noqa: SLF001
    "DescribeLogStreams": LogsApi._describe_streams,  # noqa: SLF001
    "PutLogEvents": LogsApi._put,  # noqa: SLF001
    "GetLogEvents": LogsApi._get,  # noqa: SLF001
    "FilterLogEvents": LogsApi._filter,  # noqa: SLF001
}


def _filtered(event: LogEvent) -> Answer:
    return {
        "logStreamName": event.stream,
        "timestamp": event.at_ms,
        "message": event.message,
        "ingestionTime": event.ingested_ms,
        "eventId": str(event.id),
    }


def _cut(events: list[LogEvent], *, newest: bool) -> list[LogEvent]:
    """As many as fit in one answer, at least one; of the newest the last."""
    size, count = 0, 0
    for event in reversed(events) if newest else events:
        size += len(event.message)
        if size > ANSWER_BYTES_MAX and count:
            break
        count += 1
    return events[len(events) - count :] if newest else events[:count]


def _token(way: str, event: LogEvent | None, start: tuple[int, int]) -> str:
    at_ms, number = (event.at_ms, event.id) if event else start
    return f"{way}/{at_ms}/{number}"


def _mark(token: str) -> tuple[str, tuple[int, int]]:
    way, _, rest = token.partition("/")
    at_ms, _, number = rest.partition("/")
    mark = whole(at_ms), whole(number)
    if way not in ("f", "b") or mark[0] is None or mark[1] is None:
        raise InvalidParameterException("The specified nextToken is invalid.")
    return way, (mark[0], mark[1])


def _page(member: str, rows: list[Answer], body: Answer) -> Answer:
    start, limit = whole(body.get("nextToken", "0")), min(body.get("limit", PAGE_MAX), PAGE_MAX)
    if start is None:
        raise InvalidParameterException("The specified nextToken is invalid.")
    end = start + limit
    return {member: rows[start:end], **({"nextToken": str(end)} if end < len(rows) else {})}


def _exists(noun: str) -> AwsError:
    return AwsError(f"The specified log {noun} already exists", code="ResourceAlreadyExistsException")


def _missing(noun: str) -> AwsError:
    return AwsError(f"The specified log {noun} does not exist.", code="ResourceNotFoundException")


def _now_ms() -> int:
    return int(time.time() * 1000)
