"""`berth watch`: follow the deployment of a service on the terminal, and end as it ends."""

import asyncio
import contextlib
import time
from typing import Any

import click

from berth.cli.connection import ask, endpoint_option
from berth.cli.options import Duration
from berth.client import EcsClient
from berth.errors import UserError
from berth.watching import Ending, Watched, counts

LOOK_SECONDS = 1.0
"""Between two looks where nothing is told."""


@click.command(short_help="Follow the deployment of a service until it is stable, failed or blocked.")
@click.argument("service")
@click.option(
    "--patience", type=Duration(), default="60s", show_default=True, help="How long a block may last that may pass."
)
@click.option("--cluster", default="default", show_default=True, help="Name of the cluster.")
@endpoint_option
def watch(*, service: str, patience: int, cluster: str, endpoint: str) -> int:
    """Follow the deployment of SERVICE until it is stable, failed or blocked.

    Exit code 0: stable. 3: failed, or rolled back. 4: blocked, at once where its own settings leave no step, else
    after --patience; the last line says who keeps it, until when at the latest, and what to change.
    """
    return int(ask(endpoint, lambda client: _watch(client, cluster, service, patience)))


async def _watch(client: EcsClient, cluster: str, name: str, patience_seconds: float) -> Ending:
    service, course = await _look(client, cluster, name)
    since = course["createdAt"] if course is not None else 0.0
    watched = Watched(service["serviceArn"], since=since, patience_seconds=patience_seconds)
    news = asyncio.Event()
    click.echo(counts(service))
    reader = asyncio.create_task(_read(client, watched, news))
    try:
        return await _until_it_ends(client, cluster, name, watched, news, shown=counts(service))
    finally:
        reader.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await reader


async def _until_it_ends(
    client: EcsClient, cluster: str, name: str, watched: Watched, news: asyncio.Event, *, shown: str
) -> Ending:
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await news.wait()
        news.clear()
        service, course = await _look(client, cluster, name)
        if counts(service) != shown:
            shown = counts(service)
            click.echo(shown)
        ending = watched.ending(service, course, time.time())
        if ending is not None:
            await asyncio.sleep(LOOK_SECONDS)  # the last lines of the story are on their way
            click.echo(f"{service['serviceName']} is {ending.name.lower()}.")
            return ending


async def _read(client: EcsClient, watched: Watched, news: asyncio.Event) -> None:
    async for _, line in client.story():
        sentence = watched.fold(line)
        if sentence is not None:
            click.echo(sentence)
            news.set()


async def _look(client: EcsClient, cluster: str, name: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    answer = await client.call("DescribeServices", cluster=cluster, services=[name])
    if not answer["services"]:
        raise UserError(f"There is no service {name} in the cluster {cluster}.")
    service: dict[str, Any] = answer["services"][0]
    if service["status"] != "ACTIVE":
        raise UserError(f"The service {name} is {service['status']}.")
    arn = service.get("currentServiceDeployment")
    if arn is None:
        return service, None
    courses = await client.call("DescribeServiceDeployments", serviceDeploymentArns=[arn])
    return service, next(iter(courses["serviceDeployments"]), None)
