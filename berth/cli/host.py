"""`berth host`: the hosts of a cluster, and the notice that one of them is about to be taken away.

The notice is delivered to the agent's introspection port, as EC2 delivers it on the machine itself: this command runs
on the host that is meant. What follows from it, and the end, is the agent's and the control plane's business.
"""

import http.client
import json
import time
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from berth.cli.connection import ask, endpoint_option
from berth.cli.options import Choice, Duration
from berth.client import EcsClient
from berth.errors import UserError
from wire.arn import short_id
from wire.extensions import INTROSPECTION_ATTRIBUTE
from wire.resources import GPU

LIMIT_SECONDS = 5
DESCRIBE_MAX = 100
Row = dict[str, Any]


@click.group()
def host() -> None:
    """See the hosts of a cluster; take one away."""


def _options(command: Any) -> Any:
    cluster = click.option("--cluster", default="default", show_default=True, help="The cluster of the hosts.")
    return endpoint_option(cluster(command))


@host.command("list")
@_options
def list_hosts(endpoint: str, cluster: str) -> None:
    """List the hosts of a cluster: status, room that is left by the placement ledger, tasks."""
    table = Table("host", "instance id", "type", "zone", "status", "agent", "tasks", "free cpu", "free MiB", box=None)
    hosts = _hosts(endpoint, cluster)
    has_gpus = any(resource["name"] == GPU for row in hosts for resource in row["registeredResources"])
    if has_gpus:
        table.add_column("free GPUs")
    for row in hosts:
        left = {resource["name"]: resource.get("integerValue", 0) for resource in row["remainingResources"]}
        gpus = [id_ for each in row["remainingResources"] if each["name"] == GPU for id_ in each["stringSetValue"]]
        table.add_row(
            short_id(row["containerInstanceArn"]),
            row.get("ec2InstanceId", ""),
            _attribute(row, "ecs.instance-type"),
            _attribute(row, "ecs.availability-zone"),
            row["status"],
            "connected" if row["agentConnected"] else "away",
            str(row["runningTasksCount"] + row["pendingTasksCount"]),
            str(left["CPU"]),
            str(left["MEMORY"]),
            *([str(len(gpus))] if has_gpus else []),
        )
    Console(width=160 if not Console().is_terminal else None).print(table)


@host.command()
@_options
@click.argument("name", metavar="HOST")
@click.option(
    "--action",
    type=Choice("terminate", "stop", "hibernate"),
    default="terminate",
    show_default=True,
    help="What the notice announces.",
)
@click.option("--notice", type=Duration(), default="2m", show_default=True, help="How long before it happens.")
def interrupt(endpoint: str, cluster: str, name: str, action: str, notice: int) -> None:
    """Give HOST the notice of a spot interruption, and take it away. HOST is the id of a host of this machine.

    Where the agent runs with ECS_ENABLE_SPOT_INSTANCE_DRAINING=true it sets its instance DRAINING. At the end of the
    notice the machine is gone: what still runs on it is killed, its agent ends, its tasks are STOPPED
    (TerminationNotice). Only the first notice counts.
    """
    row = _named(_hosts(endpoint, cluster), name)
    address = _attribute(row, INTROSPECTION_ATTRIBUTE)
    shown = short_id(row["containerInstanceArn"])
    if not address:
        raise UserError(f"The agent of {shown} takes no notice: it is not berth's, or an old one.")
    try:
        about = _ask(address, "GET", "/v1/metadata")
        if about["ContainerInstanceArn"] != row["containerInstanceArn"]:
            raise UserError(f"{shown} is a host of another machine: give the notice there.")
        at = datetime.fromtimestamp(round(time.time()) + notice, UTC).isoformat().replace("+00:00", "Z")
        stands = _ask(address, "POST", "/v1/interruption", {"action": action, "time": at})
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise UserError(f"The agent of {shown} does not answer at {address} on this machine.") from error
    click.echo(f"{shown} has its notice: {stands['action']} at {stands['time']}.")


def _ask(address: str, method: str, path: str, body: Row | None = None) -> Row:
    """What the agent at `address` (`HOST:PORT`) answers."""
    connection = http.client.HTTPConnection(address, timeout=LIMIT_SECONDS)
    try:
        connection.request(method, path, body=json.dumps(body) if body else None)
        answer: Row = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


def _hosts(endpoint: str, cluster: str) -> list[Row]:
    """Every container instance that is not INACTIVE.

    Raises:
        UserError: the control plane refused, or did not answer.
    """
    rows = ask(endpoint, lambda client: _described(client, cluster))
    return sorted(rows, key=lambda row: (row["registeredAt"], row["containerInstanceArn"]))


async def _described(client: EcsClient, cluster: str) -> list[Row]:
    rows: list[Row] = []
    page: Row = {"nextToken": ""}
    while "nextToken" in page:
        more = {"nextToken": page["nextToken"]} if page["nextToken"] else {}
        page = await client.call("ListContainerInstances", cluster=cluster, maxResults=DESCRIBE_MAX, **more)
        arns = page["containerInstanceArns"]
        if arns:
            described = await client.call("DescribeContainerInstances", cluster=cluster, containerInstances=arns)
            rows += described["containerInstances"]
    return rows


def _named(rows: list[Row], name: str) -> Row:
    """The one host whose id, instance id or ARN is `name`, or begins so."""
    matching = [
        row
        for row in rows
        if short_id(row["containerInstanceArn"]).startswith(name)
        or row.get("ec2InstanceId", "").startswith(name)
        or row["containerInstanceArn"] == name
    ]
    if len(matching) != 1:
        known = ", ".join(short_id(row["containerInstanceArn"]) for row in rows) or "none"
        raise UserError(f"{name!r} is {'no host' if not matching else 'more than one host'}; there are: {known}.")
    return matching[0]


def _attribute(row: Row, name: str) -> str:
    return next((str(a.get("value", "")) for a in row.get("attributes", ()) if a["name"] == name), "")
