"""`berth alarm`: ring an alarm that deployments look at, or end it. There is no CloudWatch here to do so."""

import click

from berth.cli.connection import ask, endpoint_option
from berth.cli.options import Choice


@click.group(short_help="Ring an alarm that deployments look at.")
def alarm() -> None:
    """Ring an alarm that deployments look at."""


@alarm.command("set", short_help="Set an alarm to ALARM or OK.")
@click.argument("name")
@click.argument("state", type=Choice("ALARM", "OK"))
@endpoint_option
def set_alarm(name: str, state: str, endpoint: str) -> None:
    """Set the alarm NAME to ALARM or OK.

    A deployment under way whose `alarms` name it fails, and goes back where it is told to.
    """
    ask(endpoint, lambda client: client.set_alarm(name, state))
    click.echo(f"{name} {state}")
