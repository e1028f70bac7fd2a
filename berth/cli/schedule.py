"""`berth schedule`: tasks by the clock, in one word. It makes what `aws events put-rule` and `put-targets` make."""

from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from berth.cli.connection import ask, endpoint_option
from berth.cli.options import Number
from berth.client import EcsClient
from berth.errors import UserError
from wire.arn import short_id
from wire.errors import AwsError

TARGET = "berth"
COUNT_MAX = 10
Shape = dict[str, Any]


@click.group()
def schedule() -> None:
    """Run tasks by rate() or cron(), in UTC."""


@schedule.command()
@endpoint_option
@click.argument("name")
@click.argument("expression")
@click.argument("task_definition")
@click.option("--count", type=Number(1, COUNT_MAX), default=1, show_default=True, help="Tasks at each time.")
@click.option("--cluster", default="default", show_default=True, help="Name of the cluster.")
@click.option("--input", "given", default="", metavar="JSON", help="Overrides of the task.")
def create(
    *, name: str, expression: str, task_definition: str, count: int, cluster: str, given: str, endpoint: str
) -> None:
    """Run TASK_DEFINITION by EXPRESSION, such as "rate(5 minutes)" or "cron(0 12 * * ? *)", under the rule NAME.

    The schedule of that name, if there is one, is replaced.
    """
    if given and not isinstance(_read(given), dict):
        raise UserError('--input is no JSON object, such as {"containerOverrides": [...]}.')

    async def make(client: EcsClient) -> None:
        described = (await client.call("DescribeClusters", clusters=[cluster]))["clusters"]
        if not described:
            raise UserError(f"There is no cluster {cluster!r}.")
        try:
            await client.call("DescribeTaskDefinition", taskDefinition=task_definition)
        except AwsError as error:
            raise UserError(f"There is no task definition {task_definition!r}.") from error
        await client.call_events("PutRule", Name=name, ScheduleExpression=expression)
        parameters = {"TaskDefinitionArn": task_definition, "TaskCount": count}
        target = {"Id": TARGET, "Arn": described[0]["clusterArn"], "EcsParameters": parameters}
        if given:
            target["Input"] = given
        await client.call_events("PutTargets", Rule=name, Targets=[target])

    ask(endpoint, make)
    click.echo(f"{name}: {count} x {task_definition} in {cluster} by {expression}")


@schedule.command("list")
@endpoint_option
def list_schedules(*, endpoint: str) -> None:
    """List the rules and what they start."""
    rows: list[tuple[str, ...]] = []

    async def look(client: EcsClient) -> None:
        page: Shape = {}
        while True:
            more = {"NextToken": page["NextToken"]} if page else {}
            page = await client.call_events("ListRules", **more)
            for rule in page["Rules"]:
                targets = (await client.call_events("ListTargetsByRule", Rule=rule["Name"]))["Targets"]
                when = rule.get("ScheduleExpression") or "by events"
                rows.append((rule["Name"], rule["State"], when, ", ".join(map(_said, targets))))
            if "NextToken" not in page:
                return

    ask(endpoint, look)
    table = Table("name", "state", "when", "what", box=None)
    for row in rows:
        table.add_row(*row)
    Console(width=160 if not Console().is_terminal else None).print(table)


@schedule.command()
@endpoint_option
@click.argument("name")
def remove(*, name: str, endpoint: str) -> None:
    """Remove the rule NAME with its targets; tasks that it has started go on."""

    async def drop(client: EcsClient) -> None:
        targets = (await client.call_events("ListTargetsByRule", Rule=name))["Targets"]
        if targets:
            await client.call_events("RemoveTargets", Rule=name, Ids=[target["Id"] for target in targets])
        await client.call_events("DeleteRule", Name=name)

    ask(endpoint, drop)
    click.echo(f"{name} is removed.")


def _read(text: str) -> Any:
    try:
        return msgspec.json.decode(text.encode())
    except (msgspec.MsgspecError, RecursionError):
        return None


def _said(target: Shape) -> str:
    parameters = target["EcsParameters"]
    definition = short_id(parameters["TaskDefinitionArn"])
    return f"{parameters.get('TaskCount', 1)} x {definition} in {short_id(target['Arn'])}"
