"""A small ECS client, and a reader of the story that resumes where it was.

It speaks the wire as any ECS tool does. Unsigned unless told how to sign: on loopback a control plane without keys
takes any, also none.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import msgspec

from wire import envelope
from wire.errors import AwsError
from wire.events import TARGET_PREFIX as EVENTS_PREFIX
from wire.logs import TARGET_PREFIX as LOGS_PREFIX
from wire.story import StoryLine

CALL_SECONDS = 30
RESET_SECONDS = 90
RESUMES_MAX = 60
"""Attempts in a row to find the story again before the reader gives up."""
RESUME_SECONDS = 0.25
LINE_BYTES_MAX = 1 << 20

_line = msgspec.json.Decoder(StoryLine)


class EventsForgotten(Exception):
    """Who follows the events has fallen so far behind that some, up to number `upto`, are no longer kept."""

    def __init__(self, message: str, upto: int) -> None:
        super().__init__(message)
        self.upto = upto


class EcsClient:
    """Calls to one endpoint. Use it as an async context."""

    def __init__(
        self, endpoint: str, *signing: aiohttp.ClientMiddlewareType, trust: ssl.SSLContext | None = None
    ) -> None:
        """`signing` signs every request (see `berth.signing`); without it nothing is signed.

        `trust` says whom TLS trusts; None: whom this machine does.
        """
        self.endpoint = endpoint
        self._trust = trust
        self._signing = signing
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._trust or True)
        self._session = aiohttp.ClientSession(
            connector=connector, read_bufsize=LINE_BYTES_MAX, middlewares=self._signing
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def call(self, operation: str, **members: Any) -> dict[str, Any]:
        """One call of the ECS API, by Amazon's names of operation and members.

        Raises:
            AwsError: the control plane refused.
            aiohttp.ClientError: it did not answer.
        """
        return await self._post(envelope.request_headers(operation), members)

    async def call_logs(self, operation: str, **members: Any) -> dict[str, Any]:
        """One call of CloudWatch Logs' API on the same port. Raises as `call` does."""
        return await self._post(envelope.request_headers(operation, LOGS_PREFIX), members)

    async def call_events(self, operation: str, **members: Any) -> dict[str, Any]:
        """One call of EventBridge's API on the same port. Raises as `call` does."""
        return await self._post(envelope.request_headers(operation, EVENTS_PREFIX), members)

    async def reset(self) -> dict[str, Any]:
        """Empty a development control plane; what it then has to say. Raises as `call` does."""
        return await self._post({}, {}, path="/_berth/reset", seconds=RESET_SECONDS)

    async def _post(
        self, headers: dict[str, str], members: dict[str, Any], *, path: str = "", seconds: float = CALL_SECONDS
    ) -> dict[str, Any]:
        async with self._session.post(
            self.endpoint + path,
            data=msgspec.json.encode(members),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=seconds),
        ) as answer:
            body = await answer.read()
            if answer.status != 200:  # noqa: PLR2004 - OK
                raise envelope.decode_error(answer.status, body)
            return msgspec.json.decode(body, type=dict[str, Any])

    async def set_alarm(self, name: str, state: str) -> None:
        """Set an alarm to ALARM or OK.

        Raises:
            AwsError: the control plane refused.
        """
        await self._post({}, {"name": name, "state": state}, path="/_berth/alarms")

    async def put_metric(self, namespace: str, name: str, value: float, dimensions: dict[str, str]) -> None:
        """Put one value of a metric, now. Raises as `call` does."""
        members = {"namespace": namespace, "name": name, "value": value, "dimensions": dimensions}
        await self._post({}, members, path="/_berth/metrics")

    async def target_groups(self, method: str, name: str = "", members: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask about or change target groups: `method` of HTTP on the one called `name`, or on all.

        Raises:
            AwsError: the control plane refused.
        """
        url = f"{self.endpoint}/_berth/target-groups" + (f"/{quote(name, safe='')}" if name else "")
        data = None if members is None else msgspec.json.encode(members)
        async with self._session.request(method, url, data=data) as answer:
            text = await answer.read()
            if answer.status != 200:  # noqa: PLR2004 - OK
                raise envelope.decode_error(answer.status, text)
            return msgspec.json.decode(text, type=dict[str, Any])

    async def is_healthy(self) -> bool:
        """Whether the control plane answers."""
        try:
            async with self._session.get(
                f"{self.endpoint}/_berth/health", timeout=aiohttp.ClientTimeout(total=2)
            ) as answer:
                return answer.status == 200  # noqa: PLR2004 - OK
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def story(self, after: int = 0) -> AsyncIterator[tuple[int, StoryLine]]:
        """Story lines with their numbers, from behind `after` on and then live, without end.

        Raises:
            ConnectionError: the control plane stayed away.
            AwsError: it refuses to tell.
        """
        async for number, line in self._followed("/_berth/story", after):
            yield number, _line.decode(line)

    async def events(self, after: int) -> AsyncIterator[tuple[int, str]]:
        """Events in EventBridge's shape (JSON) with their sequence numbers, as `story`; raises as that.

        The number is that of the last commit that is whole: after a broken connection a commit may come again.

        Raises:
            EventsForgotten: some are missing; ask again from where it says.
        """
        async for number, event in self._followed("/events", after):
            yield number, event

    async def past_events(self, after: int | None) -> dict[str, Any]:
        """A page of events: `{"events": [{"sequence", "event"}], "newest"}`, from the oldest where `after` is None.

        Raises:
            AwsError: 410, they are no longer kept.
        """
        params = {} if after is None else {"after": str(after)}
        async with self._session.get(f"{self.endpoint}/events", params=params) as answer:
            body = await answer.read()
            if answer.status != 200:  # noqa: PLR2004 - OK
                raise envelope.decode_error(answer.status, body)
            return msgspec.json.decode(body, type=dict[str, Any])

    async def _followed(self, path: str, after: int) -> AsyncIterator[tuple[int, str]]:
        failures = 0
        while failures < RESUMES_MAX:
            try:
                async for number, data in self._stream(path, after):
                    after, failures = number, 0
                    yield number, data
            except (aiohttp.ClientError, TimeoutError):
                pass
            except AwsError as error:
                if error.status < HTTPStatus.INTERNAL_SERVER_ERROR and error.status != HTTPStatus.TOO_MANY_REQUESTS:
                    raise
            failures += 1
            await asyncio.sleep(RESUME_SECONDS)
        raise ConnectionError(f"{self.endpoint}{path} has been unreachable for too long.")

    async def _stream(self, path: str, after: int) -> AsyncIterator[tuple[int, str]]:
        async with self._session.get(
            self.endpoint + path,
            params={"after": str(after)},
            headers={"Accept": "text/event-stream"},
            timeout=aiohttp.ClientTimeout(total=None, sock_read=30),
        ) as answer:
            if answer.status != HTTPStatus.OK:
                raise _refusal(answer.status, await answer.read())
            number = after
            async for raw in answer.content:
                field, _, value = raw.decode().rstrip("\r\n").partition(":")
                if field == "id":
                    number = int(value)
                elif field == "data":
                    yield number, value


def _refusal(status: int, body: bytes) -> AwsError | EventsForgotten:
    if status == HTTPStatus.GONE:
        gone = msgspec.json.decode(body, type=dict[str, Any])
        return EventsForgotten(gone["message"], int(gone["forgotten"]))
    return envelope.decode_error(status, body)
