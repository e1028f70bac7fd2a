"""`berth logs`: what the containers of a task or a service wrote, from the local log store."""

import asyncio

import click

from berth.cli.connection import ask, endpoint_option
from berth.client import EcsClient
from berth.logreader import Line, LogReader

LOOK_SECONDS = 0.5
LAST_LOOKS = 3
"""How often a stopped task is looked at again: its last lines may still be on their way."""


@click.command(short_help="Show what the containers of a task or a service wrote.")
@click.argument("target", metavar="TASK|SERVICE")
@click.option("-f", "--follow", is_flag=True, help="Go on until the task has stopped, or until Ctrl-C.")
@click.option("--cluster", default="default", show_default=True, help="Name of the cluster.")
@endpoint_option
def logs(*, target: str, follow: bool, cluster: str, endpoint: str) -> None:
    """Show what the containers of TASK or SERVICE wrote, by time.

    Lines are here where a container's log driver is awslogs; `aws logs` reads the same ones.
    """
    ask(endpoint, lambda client: _logs(client, target, cluster, follow=follow))


async def _logs(client: EcsClient, target: str, cluster: str, *, follow: bool) -> None:
    reader = LogReader(client, cluster, target)
    looks_left, told = LAST_LOOKS, set[str]()
    while True:
        tasks = await reader.tasks()
        streams = await reader.streams(tasks)
        for label, sentence in reader.elsewhere.items():
            if label not in told:
                click.echo(sentence, err=True)
                told.add(label)
        _show(await reader.news(streams), named=len(streams) > 1)
        if all(task["lastStatus"] == "STOPPED" for task in tasks) and tasks:
            looks_left -= 1
        if not follow or looks_left == 0:
            return
        await asyncio.sleep(LOOK_SECONDS)


def _show(lines: list[Line], *, named: bool) -> None:
    for line in lines:
        click.echo(f"{line.label}  {line.message}" if named else line.message)
