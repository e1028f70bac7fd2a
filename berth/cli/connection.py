"""How a command reaches its control plane: where it is, who signs, and what a person is told when it does not work.

Every command that asks a control plane asks through here. What it asks, and what it shows, is its own.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import click

from berth.client import EcsClient
from berth.errors import UserError
from berth.signing import Signer
from wire.errors import AwsError

ENDPOINT = "http://127.0.0.1:6333"

T = TypeVar("T")

endpoint_option = click.option(
    "--endpoint", default=ENDPOINT, show_default=True, envvar="AWS_ENDPOINT_URL_ECS", help="Control plane."
)


def check_endpoint(endpoint: str) -> None:
    """Refuse what is no URL.

    Raises:
        UserError: one sentence.
    """
    if urlsplit(endpoint).scheme not in {"http", "https"} or not urlsplit(endpoint).hostname:
        raise UserError(f"{endpoint!r} is no endpoint: write it like {ENDPOINT}.")


def ask(endpoint: str, question: Callable[[EcsClient], Awaitable[T]]) -> T:
    """What `question` makes of a client of the control plane at `endpoint`, which signs as AWS tools would.

    Raises:
        UserError: the control plane refused, or none answers; `endpoint` is no URL.
    """
    check_endpoint(endpoint)

    async def run() -> T:
        async with EcsClient(endpoint.rstrip("/"), Signer()) as client:
            return await question(client)

    try:
        return asyncio.run(run())
    except AwsError as error:
        raise UserError(f"The control plane refused: {error}") from error
    except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
        raise UserError(f"No control plane answers at {endpoint}; is `berth dev` running? ({_why(error)})") from error


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__
