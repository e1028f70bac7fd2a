"""A request and its answer as the API reads and writes them, whoever carries them over the wire.

It knows no operation and no signature. Names of headers are in lower case here; one that was repeated is one line.
"""

from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

Headers = Mapping[str, str]


class Request(msgspec.Struct, frozen=True):
    """One request, whole."""

    method: str
    target: str
    """Path and query, as they came."""
    headers: Headers
    body: bytes
    scheme: str

    @property
    def url(self) -> str:
        """Where the caller reached us, `http://host:port`."""
        return f"{self.scheme}://{self.headers.get('host', '')}"

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the target."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))


class Response(msgspec.Struct, frozen=True):
    """The answer. What its length is, and when it was given, whoever sends it says."""

    status: int
    body: bytes
    headers: Mapping[str, str]


def request_of(request: web.Request, body: bytes) -> Request:
    """A request that came by way of aiohttp."""
    return Request(request.method, request.raw_path, lower(request.headers), body, request.scheme)


def response_of(response: Response) -> web.Response:
    """An answer that goes out by way of aiohttp."""
    return web.Response(status=response.status, body=response.body, headers=response.headers)


def lower(headers: CIMultiDictProxy[str] | CIMultiDict[str]) -> Headers:
    """Each name once, in lower case, its values joined as RFC 9110 (section 5.3) has it."""
    joined: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        joined[key] = f"{joined[key]},{value}" if key in joined else value
    return joined
