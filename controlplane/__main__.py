"""`python -m controlplane`: the control plane as a program. Its options are read here, and nowhere else."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import click

from controlplane import config as settings
from controlplane.api.auth import Keys
from controlplane.config import Config, SetupError
from controlplane.core.policy import PRESETS
from controlplane.server import running, set_up_logging

EXIT_SETUP = 2


@click.command(context_settings={"auto_envvar_prefix": "BERTH", "show_default": True})
@click.option("--host", default=settings.HOST, help="Address to listen on. [env: BERTH_HOST]")
@click.option(
    "--port", default=settings.PORT, type=click.IntRange(0, 65535), help="0 takes a free port. [env: BERTH_PORT]"
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Where the state is kept; without it everything is forgotten at the end. [env: BERTH_DATA_DIR]",
)
@click.option("--region", default=settings.REGION, help="Region in the ARNs. [env: BERTH_REGION]")
@click.option("--account", default=settings.ACCOUNT, help="Account in the ARNs. [env: BERTH_ACCOUNT]")
@click.option(
    "--policy", default=settings.POLICY, help=f"Preset of new clusters: {', '.join(PRESETS)}. [env: BERTH_POLICY]"
)
@click.option(
    "--healthy-after-seconds",
    default=settings.HEALTHY_AFTER_SECONDS,
    help="How long a task has to run to count as healthy. [env: BERTH_HEALTHY_AFTER_SECONDS]",
)
@click.option(
    "--time-scale",
    default=1.0,
    help="How much faster the scaler's clock runs; never a grace, never a job. [env: BERTH_TIME_SCALE]",
)
@click.option("--access-key-id", help="The one key that is let in. [env: BERTH_ACCESS_KEY_ID]")
@click.option("--secret-access-key", help="Better set as BERTH_SECRET_ACCESS_KEY.")
@click.option("--log-level", default="warning", type=click.Choice(settings.LOG_LEVELS), help="[env: BERTH_LOG_LEVEL]")
@click.option("--allow-reset", is_flag=True, help="POST /_berth/reset empties everything. [env: BERTH_ALLOW_RESET]")
@click.option(
    "--check-answers",
    is_flag=True,
    help="Refuse to give an answer that is not as the ECS model has it. [env: BERTH_CHECK_ANSWERS]",
)
def main(access_key_id: str | None, secret_access_key: str | None, **options: Any) -> None:
    """Run a control plane that speaks the ECS API."""
    if bool(access_key_id) != bool(secret_access_key):
        _stop("BERTH_ACCESS_KEY_ID and BERTH_SECRET_ACCESS_KEY go together.")
    keys = Keys(access_key_id, secret_access_key) if access_key_id and secret_access_key else None
    config = Config(keys=keys, **options)
    set_up_logging(config.log_level)
    try:
        asyncio.run(_serve(config))
    except SetupError as error:
        _stop(str(error))


async def _serve(config: Config) -> None:
    """Serve until a signal comes, or until a part of it breaks."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(config) as plane:
        click.echo(f"control plane {plane.url} policy={config.policy} data={config.data_dir or 'in memory'}")
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait((stopped, plane.failed), return_when=asyncio.FIRST_COMPLETED)
        if plane.failed.done():
            stopped.cancel()
            plane.failed.result()
        plane.failed.cancel()


def _stop(sentence: str) -> None:
    click.echo(f"controlplane: {sentence}", err=True)
    sys.exit(EXIT_SETUP)


if __name__ == "__main__":
    main()
