"""How the endpoints answer: JSON, with errors as JSON strings, as Amazon's agent writes them."""

from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web


class Refusal(Exception):
    """A request that gets an error; `body` is what is answered (a string, or a shape where Amazon has one)."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body


def answer(body: Any, status: int = HTTPStatus.OK) -> web.Response:
    """`body` as JSON."""
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


def refused(refusal: Refusal) -> web.Response:
    """A refusal as an answer."""
    return answer(refusal.body, refusal.status)
