"""`python -m controlplane`: the control plane as a program. Its options are read here, and nowhere else."""

import asyncio
import gc
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from controlplane import config as settings
from controlplane.api.keys import KeyRing, Keys, read_keys_file
from controlplane.api.rates import Throttle
from controlplane.config import Config, SetupError
from controlplane.core.policy import PRESETS
from controlplane.server import running, set_up_logging
from wire.resources import PORT_MAX

EXIT_SETUP = 2
GARBAGE_ALLOCATIONS = 50_000
"""Between two looks for cyclic garbage. Records are no cycles, and looking through all of them costs every request."""


@click.command(context_settings={"auto_envvar_prefix": "BERTH", "show_default": True})
@click.option("--host", default=settings.HOST, help="Address to listen on. [env: BERTH_HOST]")
@click.option(
    "--port", default=settings.PORT, type=click.IntRange(0, PORT_MAX), help="0 takes a free port. [env: BERTH_PORT]"
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
@click.option("--access-key-id", help="A key that is let in. [env: BERTH_ACCESS_KEY_ID]")
@click.option("--secret-access-key", help="Better set as BERTH_SECRET_ACCESS_KEY.")
@click.option(
    "--keys-file",
    type=click.Path(path_type=Path),
    help="More keys that are let in: a file like ~/.aws/credentials. [env: BERTH_KEYS_FILE]",
)
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate (PEM). [env: BERTH_TLS_CERT]")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its key (PEM). [env: BERTH_TLS_KEY]")
@click.option(
    "--throttle",
    type=click.Choice(Throttle, case_sensitive=False),
    default=Throttle.OFF,
    help="aws: ThrottlingException at AWS's published rates. [env: BERTH_THROTTLE]",
)
@click.option("--log-level", default="warning", type=click.Choice(settings.LOG_LEVELS), help="[env: BERTH_LOG_LEVEL]")
@click.option("--events-webhook", default="", help="URL that every event is POSTed to. [env: BERTH_EVENTS_WEBHOOK]")
@click.option(
    "--events-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File that every event is appended to, as JSON lines. [env: BERTH_EVENTS_FILE]",
)
@click.option("--haproxy", default="haproxy", help="HAProxy, for load balancing. [env: BERTH_HAPROXY]")
@click.option("--allow-reset", is_flag=True, help="POST /_berth/reset empties everything. [env: BERTH_ALLOW_RESET]")
@click.option(
    "--check-answers",
    is_flag=True,
    help="Refuse to give an answer that is not as the ECS model has it. [env: BERTH_CHECK_ANSWERS]",
)
def main(access_key_id: str | None, secret_access_key: str | None, keys_file: Path | None, **options: Any) -> None:
    """Run a control plane that speaks the ECS API."""
    config = Config(keys=_keys(access_key_id, secret_access_key, keys_file), **options)
    set_up_logging(config.log_level)
    try:
        asyncio.run(_serve(config))
    except SetupError as error:
        _stop(str(error))


def _keys(key_id: str | None, secret: str | None, file: Path | None) -> KeyRing | None:
    """Who is let in; None: everybody, on loopback."""
    if bool(key_id) != bool(secret):
        _stop("BERTH_ACCESS_KEY_ID and BERTH_SECRET_ACCESS_KEY go together.")
    pairs: tuple[Keys, ...] = (Keys(key_id, secret),) if key_id and secret else ()
    try:
        pairs += read_keys_file(file) if file else ()
    except ValueError as error:
        _stop(str(error))
    return KeyRing(pairs) if pairs else None


async def _serve(config: Config) -> None:
    """Serve until a signal comes, or until a part of it breaks."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(config) as plane:
        gc.freeze()
        gc.set_threshold(GARBAGE_ALLOCATIONS)
        click.echo(f"control plane {plane.url} policy={config.policy} data={config.data_dir or 'in memory'}")
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait((stopped, plane.failed), return_when=asyncio.FIRST_COMPLETED)
        if plane.failed.done():
            stopped.cancel()
            plane.failed.result()
        plane.failed.cancel()


def _stop(sentence: str) -> NoReturn:
    click.echo(f"controlplane: {sentence}", err=True)
    sys.exit(EXIT_SETUP)


if __name__ == "__main__":
    main()
