"""`berth alarm`: ring an alarm that deployments look at, or end it. There is no CloudWatch here to do so."""

import asyncio

import aiohttp
import click

from berth.cli.options import Choice
from berth.client import EcsClient
from berth.errors import UserError
from wire.errors import AwsError

ENDPOINT = "http://127.0.0.1:6333"


@click.group(short_help="Ring an alarm that deployments look at.")
def alarm() -> None:
    """Ring an alarm that deployments look at."""


@alarm.command("set", short_help="Set an alarm to ALARM or OK.")
@click.argument("name")
@click.argument("state", type=Choice("ALARM", "OK"))
@click.option("--endpoint", default=ENDPOINT, show_default=True, envvar="AWS_ENDPOINT_URL_ECS", help="Control plane.")
def set_alarm(name: str, state: str, endpoint: str) -> None:
    """Set the alarm NAME to ALARM or OK.

    A deployment under way whose `alarms` name it fails, and goes back where it is told to.
    """
    asyncio.run(_set(endpoint.rstrip("/"), name, state))
    click.echo(f"{name} {state}")


async def _set(endpoint: str, name: str, state: str) -> None:
    try:
        async with EcsClient(endpoint) as client:
            await client.set_alarm(name, state)
    except AwsError as error:
        raise UserError(f"The control plane refused: {error.message}") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UserError(f"No control plane answers at {endpoint}; is `berth dev` running?") from error
