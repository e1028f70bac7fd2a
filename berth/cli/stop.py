"""`berth stop`: StopTask in one word, and by force where the grace is not worth waiting for."""

import click

from berth.cli.connection import ask, endpoint_option
from wire.extensions import FORCE_STOP_TASK


@click.command()
@click.argument("task")
@click.option("--force", is_flag=True, help="Cut the rest of every container's grace: SIGKILL now.")
@click.option("--reason", default="", help="Kept with the task.  [default: Task stopped by user]")
@click.option("--cluster", default="default", show_default=True, help="Name of the cluster.")
@endpoint_option
def stop(task: str, cluster: str, endpoint: str, reason: str, *, force: bool) -> None:
    """Stop TASK, given by its ARN or id.

    Each container gets its stop signal, then its stopTimeout, then SIGKILL. With --force the rest of that time is cut,
    also for a task that is stopping already.
    """
    operation = FORCE_STOP_TASK if force else "StopTask"
    members = {"cluster": cluster, "task": task} | ({"reason": reason} if reason else {})
    answer = ask(endpoint, lambda client: client.call(operation, **members))["task"]
    click.echo(f"{answer['taskArn']} {answer['lastStatus']}, desired {answer['desiredStatus']}")
