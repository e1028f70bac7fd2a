"""`berth dev`: a control plane and some hosts on this machine, until Ctrl-C.

All checks come before anything is started, and each failure is one sentence.
"""

import asyncio
from pathlib import Path

import click

from berth import checks
from berth.access import access_of
from berth.cli.options import Choice, Duration, InstanceTypeName, Number, PresetName, Zones, duration_text, preset_lines
from berth.cli.script import SCRIPTED, Delay, runtime_options, script_of
from berth.devserver import HOST, HOSTS_MAX, DevServer, Settings, StartFailed
from berth.errors import UserError
from berth.groups import KEYS, GroupSetting, read_group
from berth.interrupt import EXIT_CODE as INTERRUPTED
from berth.interrupt import run_with_cleanup
from controlplane.core.policy import PRESETS
from wire.instance_types import InstanceType
from wire.resources import PORT_MAX

LABEL_WIDTH = 16
FOLLOW_SECONDS = 0.2

EPILOG = f"""\b
Presets for --policy:
{preset_lines()}
"""


@click.command(short_help="Start a control plane and some hosts on this machine.", epilog=EPILOG)
@click.option("--hosts", type=Number(0, HOSTS_MAX), default=2, show_default=True, help="How many hosts.")
@click.option(
    "--instance-type",
    type=InstanceTypeName(),
    default="r5.large",
    show_default=True,
    help="Declared size of each host.",
)
@click.option("--port", type=Number(1, PORT_MAX), default=6333, show_default=True, help="Port of the control plane.")
@click.option("--zones", type=Zones(), default="us-east-1a,us-east-1b", show_default=True, help="Zones, in turn.")
@click.option(
    "--release",
    type=Choice("eager", "on-exit"),
    help="When agents report a stopping task's room as free: at once (as Amazon's do), or when it has exited.",
)
@click.option(
    "--stop-timeout", type=Duration(), help="Grace of a stop where the task sets none, e.g. 5s. [default: 30s]"
)
@click.option("--policy", type=PresetName(), default="ecs-2026", show_default=True, help="A preset, see below.")
@click.option(
    "--reserved-memory",
    type=Number(0, 1 << 20),
    default=0,
    metavar="MIB",
    help="Memory that each host keeps to itself (ECS_RESERVED_MEMORY).",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep the data in DIR; started again with it, the same hosts and tasks go on.",
)
@click.option(
    "--healthy-after",
    type=Delay(),
    help="When a running task without health check counts as healthy in a rollout.  [default: 40s]",
)
@click.option("--events-webhook", default="", metavar="URL", help="POST every event there, as EventBridge has it.")
@click.option(
    "--events-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Append every event to FILE, one JSON object on a line.",
)
@click.option("--haproxy", default="haproxy", envvar="BERTH_HAPROXY", help="HAProxy, run once there is a listener.")
@click.option(
    "--keys",
    "keys_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Let in only who signs with a pair of FILE, which has the form of ~/.aws/credentials.",
)
@click.option(
    "--tls-cert", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Serve TLS: certificate, PEM."
)
@click.option("--tls-key", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Its key, PEM.")
@click.option(
    "--throttle", type=Choice("off", "aws"), default="off", show_default=True, help="Keep AWS's limits of calls."
)
@runtime_options
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="NAME[,KEY=VALUE...]",
    help=f"An instance group; repeatable. Keys: {KEYS}. With provider=NAME it gets a capacity provider.",
)
@click.option(
    "--time-scale",
    type=Number(1, 600),
    default=1,
    show_default=True,
    help="How much faster the scaler's clock runs; never a grace, never a job.",
)
@click.option("--verbose", is_flag=True, help="Show the logs of the programs here, too.")
def dev(
    *,
    hosts: int,
    instance_type: InstanceType,
    port: int,
    zones: tuple[str, ...],
    release: str | None,
    stop_timeout: int | None,
    policy: str,
    reserved_memory: int,
    keep: Path | None,
    groups: tuple[str, ...],
    time_scale: int,
    verbose: bool,
    healthy_after: float | None,
    events_webhook: str,
    events_file: Path | None,
    haproxy: str,
    keys_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    throttle: str,
    runtime: str,
    start_delay: float | None,
    ignore_term: float | None,
    run_time: float | None,
    exit_code: int | None,
) -> None:
    """Start a control plane and some hosts on this machine.

    Every host is an agent of its own with a declared size, all on the one local Docker Engine; each touches only its
    own containers. Ctrl-C ends everything and removes the containers.

    With --runtime scripted nothing is run and no engine is needed: containers are played, by the variables that the
    image berth/stubborn knows (START_SECONDS, ON_TERM, QUIT_SECONDS, JOB_SECONDS, RUN_SECONDS, EXIT_CODE) where their
    task sets them, else by the options.
    """
    if reserved_memory >= instance_type.memory_mib:
        raise UserError(
            f"--reserved-memory {reserved_memory} leaves nothing of {instance_type.name}, "
            f"which has {instance_type.memory_mib} MiB."
        )
    checks.check_sinks(events_webhook, events_file)
    settings = Settings(
        port=port,
        hosts=hosts,
        instance_type=instance_type,
        zones=zones,
        preset=policy,
        release=release,
        stop_timeout_seconds=stop_timeout,
        reserved_memory_mib=reserved_memory,
        groups=tuple(map(read_group, groups)),
        time_scale=time_scale,
        keep=keep,
        healthy_after_seconds=healthy_after,
        events_webhook=events_webhook,
        events_file=events_file,
        haproxy=haproxy,
        access=access_of(keys_file, tls_cert, tls_key, throttle),
        script=script_of(
            runtime, start_delay=start_delay, ignore_term=ignore_term, run_time=run_time, exit_code=exit_code
        ),
    )
    exit_code = asyncio.run(_dev(settings, verbose=verbose))
    raise SystemExit(exit_code)


async def _dev(settings: Settings, *, verbose: bool) -> int:
    scripted = settings.script is not None
    engine = SCRIPTED if scripted else f"Docker Engine {await checks.engine_version()}"
    checks.check_port(HOST, settings.port)
    server = DevServer(settings)
    server.open()

    async def cleanup() -> None:
        trouble = await server.close()
        kept = f"the data stays in {settings.keep}" if settings.keep else "nothing is left behind"
        gone = "Nothing was run" if scripted else "All containers are removed"
        click.echo(trouble or f"{gone}, {kept}.", err=bool(trouble))

    exit_code = await run_with_cleanup(
        lambda: _serve(server, engine, verbose=verbose),
        cleanup=cleanup,
        force=server.force,
        on_interrupt=lambda: click.echo("\nCleaning up, containers too (Ctrl-C again: at once, without waiting)."),
    )
    # Ctrl-C is how a development server ends.
    return 0 if exit_code == INTERRUPTED else exit_code


async def _serve(server: DevServer, engine: str, *, verbose: bool) -> int:
    try:
        await server.start()
        await server.add_hosts()
        click.echo(_block(server, engine))
        telling = asyncio.create_task(_tell(server))
        followers = [asyncio.create_task(_follow(log)) for log in server.logs] if verbose else []
        hosts = await server.wait_connected()
    except StartFailed as error:
        click.echo(str(error), err=True)
        return 1
    click.echo(f"✓ connected       {' '.join(sorted(hosts.values()))}      Ctrl-C ends it all")
    try:
        while True:
            death = await server.deaths.get()
            click.echo(death.obituary, err=True)
            if death.is_controlplane:
                return 1
    finally:
        for follower in (telling, *followers):
            follower.cancel()


async def _tell(server: DevServer) -> None:
    """Machines of groups that end by themselves, and the like."""
    while True:
        click.echo(await server.said.get(), err=True)


def _block(server: DevServer, engine: str) -> str:
    settings = server.settings
    size = settings.instance_type
    registered_mib = size.memory_mib - settings.reserved_memory_mib
    stays = "stays" if settings.keep else "removed on exit; --keep DIR keeps it"
    plural = "" if settings.hosts == 1 else "s"
    each = "" if settings.hosts == 1 else " each"
    preset = PRESETS[settings.preset]
    grace = duration_text(settings.stop_timeout_seconds or 30)
    gpus = f", {size.gpus} GPUs played" if size.gpus else ""
    size_text = f"{size.name}{each}: {size.cpu} CPU, {registered_mib} MiB{gpus}; {', '.join(settings.zones)}"
    switches = f"release={settings.agent_release}  queue={preset.agent.task_queue}  stop timeout={grace}"
    exports = settings.access.exports(server.endpoint)
    rows = [
        ("✓ control plane", f"{server.endpoint}      data in {server.folder} ({stays})"),
        (f"✓ {settings.hosts} host{plural}", f"{size_text}; {engine}"),
        *((f"✓ group {group.name}", _group_text(group)) for group in settings.groups),
        *([("  runtime", _played(settings.script))] if settings.script is not None else []),
        ("  policy", f"{preset.name}: {preset.summary}"),
        ("", switches),
        ("  logs", str(server.folder / "logs")),
        *zip(("  export", *[""] * (len(exports) - 1)), exports, strict=True),
        ("  try", "aws ecs list-container-instances"),
        ("", "berth demo stop      a long job meets a deployment"),
    ]
    return "\n".join(f"{label:{LABEL_WIDTH}}  {text}" for label, text in rows)


def _group_text(group: GroupSetting) -> str:
    size = f"{group.minimum} to {group.maximum} of {', '.join(group.types)}; {', '.join(group.zones)}"
    return f"{size}; capacity provider {group.provider}" if group.provider else size


def _played(script: dict[str, str]) -> str:
    by = " ".join(f"{name}={value}" for name, value in script.items())
    return f"scripted: nothing is run, containers are played by {by}, or as their task says"


async def _follow(log: Path) -> None:
    """Copy a log to the terminal as it grows."""
    with log.open(errors="replace") as lines:
        while True:
            for line in lines:
                click.echo(f"{log.stem:12} {line.rstrip()}", err=True)
            await asyncio.sleep(FOLLOW_SECONDS)
