"""`berth events`: what EventBridge would tell of a cluster's tasks, hosts and services, as a list or as it happens."""

import asyncio
from typing import Any

import aiohttp
import click
import msgspec

from berth.client import EcsClient
from berth.errors import UserError
from wire.arn import short_id
from wire.errors import AwsError

ENDPOINT = "http://127.0.0.1:6333"
_SHORT = {
    "ECS Task State Change": "task",
    "ECS Container Instance State Change": "instance",
    "ECS Service Action": "service",
    "ECS Deployment State Change": "deployment",
}


@click.command(short_help="Show the events that EventBridge would have.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@click.option("--after", type=click.IntRange(min=0), help="Only those behind this number.  [default: all]")
@click.option("--json", "as_json", is_flag=True, help="Each event whole, one on a line.")
@click.option("--endpoint", envvar="AWS_ENDPOINT_URL_ECS", default=ENDPOINT, show_default=True, help="Control plane.")
def events(*, follow: bool, after: int | None, as_json: bool, endpoint: str) -> None:
    """Show task, container instance, service action and deployment state changes, in order.

    The number in front is the one that --after takes; events of one commit share it.
    """
    try:
        asyncio.run(_events(endpoint.rstrip("/"), after, follow=follow, as_json=as_json))
    except AwsError as error:
        raise UserError(error.message) from None
    except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
        raise UserError(f"No control plane answers at {endpoint}: {error}. Start one with `berth dev`.") from None


async def _events(endpoint: str, after: int | None, *, follow: bool, as_json: bool) -> None:
    async with EcsClient(endpoint) as client:
        while True:
            page = await client.past_events(after)
            for row in page["events"]:
                after = int(row["sequence"])
                _show(after, row["event"], as_json=as_json)
            if not page["events"]:
                break
        if follow:
            async for number, event in client.events(int(page["newest"])):
                _show(number, msgspec.json.decode(event), as_json=as_json)


def _show(number: int, event: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(event).decode())
        return
    detail = event["detail"]
    said = detail.get("eventName") or " ".join(
        str(detail[member]) for member in ("lastStatus", "desiredStatus", "status", "stoppedReason") if member in detail
    )
    what = _SHORT.get(event["detail-type"], event["detail-type"])
    version = f"v{detail['version']}" if "version" in detail else ""
    click.echo(f"{number:6}  {event['time']}  {what:10} {short_id(event['resources'][0]):32}  {version:4} {said}")
