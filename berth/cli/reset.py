"""`berth reset`: everything in a development control plane is emptied, as a test suite wants it between two tests."""

import asyncio
from typing import Any

import aiohttp
import click

from berth.client import EcsClient
from berth.errors import UserError
from wire.errors import AwsError

ENDPOINT = "http://127.0.0.1:6333"


@click.command(short_help="Empty a development control plane; its hosts stay.")
@click.option("--endpoint", default=ENDPOINT, show_default=True, envvar="AWS_ENDPOINT_URL_ECS", help="Control plane.")
def reset(endpoint: str) -> None:
    """Stop every task by force, forget everything, and wait until the hosts are there again.

    Works on `berth dev`, and on a control plane that was started with --allow-reset.
    """
    answer = asyncio.run(_reset(endpoint.rstrip("/")))
    click.echo(f"Empty: {answer['stoppedTasks']} tasks stopped, {len(answer['containerInstanceArns'])} hosts are back.")


async def _reset(endpoint: str) -> dict[str, Any]:
    try:
        async with EcsClient(endpoint) as client:
            return await client.reset()
    except AwsError as error:
        raise UserError(f"Not reset: {error.message}") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UserError(f"No control plane answers at {endpoint}; is `berth dev` running?") from error
