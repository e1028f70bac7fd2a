"""`berth metric`: put a value of a metric of one's own, which service auto scaling and alarms then look at."""

import asyncio
from collections.abc import Iterator

import aiohttp
import click

from berth.cli.alarm import ENDPOINT
from berth.client import EcsClient
from berth.errors import UserError
from wire.errors import AwsError


@click.group(short_help="Put values of metrics that scaling looks at.")
def metric() -> None:
    """Put values of metrics that scaling looks at."""


@metric.command("put", short_help="Put one value, now.")
@click.argument("namespace")
@click.argument("name")
@click.argument("value", type=float)
@click.option("--dimension", "dimensions", multiple=True, metavar="KEY=VALUE", help="May be given several times.")
@click.option("--endpoint", default=ENDPOINT, show_default=True, envvar="AWS_ENDPOINT_URL_ECS", help="Control plane.")
def put(namespace: str, name: str, value: float, dimensions: tuple[str, ...], endpoint: str) -> None:
    """Put VALUE of the metric NAME in NAMESPACE into the current minute.

    A policy acts on several minutes in a row: put it once a minute, or more often where the scaler's clock runs faster.
    """
    asyncio.run(_put(endpoint.rstrip("/"), namespace, name, value, dict(_pairs(dimensions))))
    click.echo(f"{namespace} {name} {value:g}")


def _pairs(dimensions: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for text in dimensions:
        key, equals, value = text.partition("=")
        if not key or not equals or not value:
            raise UserError(f"A dimension is KEY=VALUE, not {text!r}.")
        yield key, value


async def _put(endpoint: str, namespace: str, name: str, value: float, dimensions: dict[str, str]) -> None:
    try:
        async with EcsClient(endpoint) as client:
            await client.put_metric(namespace, name, value, dimensions)
    except AwsError as error:
        raise UserError(f"The control plane refused: {error.message}") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UserError(f"No control plane answers at {endpoint}; is `berth dev` running?") from error
