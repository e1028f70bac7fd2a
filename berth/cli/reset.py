"""`berth reset`: everything in a development control plane is emptied, as a test suite wants it between two tests."""

import click

from berth.cli.connection import ask, endpoint_option
from berth.client import EcsClient


@click.command(short_help="Empty a development control plane; its hosts stay.")
@endpoint_option
def reset(endpoint: str) -> None:
    """Stop every task by force, forget everything, and wait until the hosts are there again.

    Works on `berth dev`, and on a control plane that was started with --allow-reset.
    """
    answer = ask(endpoint, EcsClient.reset)
    click.echo(f"Empty: {answer['stoppedTasks']} tasks stopped, {len(answer['containerInstanceArns'])} hosts are back.")
