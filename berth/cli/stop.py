"""`berth stop`: StopTask in one word, and by force where the grace is not worth waiting for."""

import asyncio

import aiohttp
import click

from berth.client import EcsClient
from berth.errors import UserError
from berth.signing import Signer
from wire.errors import AwsError
from wire.extensions import FORCE_STOP_TASK

ENDPOINT = "http://127.0.0.1:6333"


@click.command()
@click.argument("task")
@click.option("--force", is_flag=True, help="Cut the rest of every container's grace: SIGKILL now.")
@click.option("--reason", default="", help="Kept with the task.  [default: Task stopped by user]")
@click.option("--cluster", default="default", show_default=True, help="Name of the cluster.")
@click.option("--endpoint", default=ENDPOINT, show_default=True, envvar="AWS_ENDPOINT_URL_ECS", help="Control plane.")
def stop(task: str, cluster: str, endpoint: str, reason: str, *, force: bool) -> None:
    """Stop TASK, given by its ARN or id.

    Each container gets its stop signal, then its stopTimeout, then SIGKILL. With --force the rest of that time is cut,
    also for a task that is stopping already.
    """
    answer = asyncio.run(_ask(endpoint, FORCE_STOP_TASK if force else "StopTask", cluster, task, reason))
    click.echo(f"{answer['taskArn']} {answer['lastStatus']}, desired {answer['desiredStatus']}")


async def _ask(endpoint: str, operation: str, cluster: str, task: str, reason: str) -> dict[str, str]:
    members = {"cluster": cluster, "task": task} | ({"reason": reason} if reason else {})
    try:
        async with EcsClient(endpoint, Signer()) as client:
            answer: dict[str, str] = (await client.call(operation, **members))["task"]
            return answer
    except AwsError as error:
        raise UserError(f"The control plane refused: {error}") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UserError(f"No control plane answers at {endpoint}; is `berth dev` running?") from error
