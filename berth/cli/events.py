"""`berth events`: what EventBridge would tell of a cluster's tasks, hosts and services, as a list or as it happens."""

from typing import Any

import click
import msgspec

from berth.cli.connection import ask, endpoint_option
from berth.client import EcsClient, EventsForgotten
from wire.arn import short_id

_SHORT = {
    "ECS Task State Change": "task",
    "ECS Container Instance State Change": "instance",
    "ECS Service Action": "service",
    "ECS Deployment State Change": "deployment",
    "ECS Hook State Change": "hook",
}


@click.command(short_help="Show the events that EventBridge would have.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@click.option("--after", type=click.IntRange(min=0), help="Only those behind this number.  [default: all]")
@click.option("--json", "as_json", is_flag=True, help="Each event whole, one on a line.")
@endpoint_option
def events(*, follow: bool, after: int | None, as_json: bool, endpoint: str) -> None:
    """Show task, container instance, service action and deployment state changes, in order.

    The number in front is the one that --after takes; events of one commit share it.
    """
    ask(endpoint, lambda client: _events(client, after, follow=follow, as_json=as_json))


async def _events(client: EcsClient, after: int | None, *, follow: bool, as_json: bool) -> None:
    while True:
        page = await client.past_events(after)
        for row in page["events"]:
            after = int(row["sequence"])
            _show(after, row["event"], as_json=as_json)
        if not page["events"]:
            break
    behind = int(page["newest"])
    while follow:
        try:
            async for number, event in client.events(behind):
                _show(number, msgspec.json.decode(event), as_json=as_json)
        except EventsForgotten as gap:
            behind = gap.upto
            click.echo(f"Too slow: {gap} Some are missing here.", err=True)


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
