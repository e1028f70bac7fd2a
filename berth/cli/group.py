"""`berth group`: instance groups, which stand for EC2 Auto Scaling groups on this machine.

Each command is one call; what then happens to the machines is the control plane's business and their runner's.
"""

import asyncio
import fcntl
import json
import uuid
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from berth.access import access_of_user
from berth.cli.connection import ask, check_endpoint, endpoint_option
from berth.cli.options import Choice, Duration, Number, duration_seconds
from berth.client import EcsClient
from berth.devserver import HOST_ATTRIBUTE
from berth.errors import UserError
from berth.groups import GroupSetting, known_type, make_group
from berth.interrupt import EXIT_CODE as INTERRUPTED
from berth.interrupt import run_with_cleanup
from berth.machines import Machines, Order

SIZE = Number(0, 200)


@click.group()
def group() -> None:
    """Instance groups: hosts that come and go, as an Auto Scaling group has them."""


@group.command()
@endpoint_option
@click.argument("name")
@click.option("--min", "minimum", type=SIZE, default=0, show_default=True)
@click.option("--max", "maximum", type=SIZE, required=True)
@click.option("--desired", type=SIZE, help="[default: the minimum]")
@click.option("--type", "types", multiple=True, default=("r5.large",), show_default=True, help="Repeatable.")
@click.option("--zones", default="us-east-1a,us-east-1b", show_default=True)
@click.option("--boot", type=Duration(), help="From launch to the agent's start, on the scaler's clock.  [default: 2m]")
@click.option("--protect", is_flag=True, help="New hosts are protected from scale-in.")
@click.option("--command", default="", help="Shell command that is a host, in the place of an agent process.")
@click.option(
    "--hook",
    "hooks",
    multiple=True,
    metavar="NAME,launching|terminating[,heartbeat=1h][,default=CONTINUE][,url=URL]",
    help="Lifecycle hook; repeatable.",
)
@click.option("--cluster", default="default", show_default=True)
def create(endpoint: str, cluster: str, hooks: tuple[str, ...], zones: str, *, boot: int | None, **given: Any) -> None:
    """Make the group NAME. A capacity provider takes its ARN, which is printed."""
    setting = GroupSetting(
        name=given["name"],
        minimum=given["minimum"],
        maximum=given["maximum"],
        desired=given["desired"],
        types=tuple(known_type(name) for name in given["types"]),
        zones=tuple(zone.strip() for zone in zones.split(",")),
        boot_seconds=None if boot is None else float(boot),
        protects_new=given["protect"],
        command=given["command"],
        hooks=tuple(read_hook(text) for text in hooks),
    )

    async def make(client: EcsClient) -> dict[str, Any]:
        known = await client.call("DescribeAutoScalingGroups", AutoScalingGroupNames=[setting.name])
        if known["AutoScalingGroups"]:
            raise UserError(f"There is a group {setting.name!r} already.")
        return await make_group(client, setting, cluster=cluster)

    click.echo(ask(endpoint, make)["AutoScalingGroupARN"])


@group.command("list")
@endpoint_option
def list_groups(endpoint: str) -> None:
    """List the groups."""
    table = Table("group", "cluster", "provider", "min", "desired", "max", "in service", "type", box=None)
    for row in ask(endpoint, lambda client: client.call("DescribeAutoScalingGroups"))["AutoScalingGroups"]:
        sizes = [str(row[member]) for member in ("MinSize", "DesiredCapacity", "MaxSize")]
        running = sum(instance["LifecycleState"] == "InService" for instance in row["Instances"])
        types = ", ".join(row["InstanceTypes"])
        table.add_row(row["AutoScalingGroupName"], row["cluster"], row["capacityProvider"], *sizes, str(running), types)
    _print(table)


@group.command()
@endpoint_option
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="As the control plane answers.")
def show(endpoint: str, name: str, *, as_json: bool) -> None:
    """Show the group NAME and its hosts."""
    answer = ask(endpoint, lambda c: c.call("DescribeAutoScalingGroups", AutoScalingGroupNames=[name]))
    if not answer["AutoScalingGroups"]:
        raise UserError(f"There is no instance group named {name!r}.")
    row = answer["AutoScalingGroups"][0]
    if as_json:
        click.echo(json.dumps(row, indent=2))
        return
    click.echo(row["AutoScalingGroupARN"])
    click.echo(_size(row))
    table = Table("instance", "type", "zone", "state", "health", "protected", "waits for", "why", box=None)
    for each in row["Instances"]:
        table.add_row(
            each["InstanceId"],
            each["InstanceType"],
            each["AvailabilityZone"],
            each["LifecycleState"],
            each["HealthStatus"],
            "yes" if each["ProtectedFromScaleIn"] else "",
            ", ".join(each["waitsFor"]),
            each["why"],
        )
    _print(table)


@group.command("set")
@endpoint_option
@click.argument("name")
@click.option("--min", "MinSize", type=SIZE)
@click.option("--max", "MaxSize", type=SIZE)
@click.option("--desired", "DesiredCapacity", type=SIZE)
@click.option("--boot", "BootSeconds", type=Duration())
def set_group(endpoint: str, name: str, **given: Any) -> None:
    """Change the size of the group NAME."""
    members = {member: value for member, value in given.items() if value is not None}
    if not members:
        raise UserError("Say what to set: --min, --max, --desired or --boot.")
    answer = ask(endpoint, lambda c: c.call("UpdateAutoScalingGroup", AutoScalingGroupName=name, **members))
    click.echo(_size(answer["AutoScalingGroup"]))


@group.command()
@endpoint_option
@click.argument("instance")
@click.option("--shrink", is_flag=True, help="The group wants one less afterwards; else the host is replaced.")
def terminate(endpoint: str, instance: str, *, shrink: bool) -> None:
    """Take the host INSTANCE (i-...) away, by its hooks and its draining."""
    members = {"InstanceId": instance, "ShouldDecrementDesiredCapacity": shrink}
    answer = ask(endpoint, lambda c: c.call("TerminateInstanceInAutoScalingGroup", **members))
    click.echo(f"{instance} {answer['Activity']['Instance']['LifecycleState']}")


@group.command()
@endpoint_option
@click.argument("instance")
@click.argument("word", type=Choice("on", "off"))
def protect(endpoint: str, instance: str, word: str) -> None:
    """Protect the host INSTANCE from scale-in (on), or not any more (off)."""
    members = {"InstanceIds": [instance], "ProtectedFromScaleIn": word == "on"}
    ask(endpoint, lambda c: c.call("SetInstanceProtection", **members))
    click.echo(f"{instance} is {'' if word == 'on' else 'not '}protected from scale-in")


@group.command()
@endpoint_option
@click.argument("instance")
@click.argument("hook")
@click.argument("result", type=Choice("CONTINUE", "ABANDON"))
def complete(endpoint: str, instance: str, hook: str, result: str) -> None:
    """Complete the lifecycle action of HOOK for the host INSTANCE."""
    members = {"InstanceId": instance, "LifecycleHookName": hook, "LifecycleActionResult": result}
    ask(endpoint, lambda c: c.call("CompleteLifecycleAction", **members))
    click.echo(f"{instance}: {hook} {result}")


@group.command()
@endpoint_option
@click.argument("name")
@click.option("--force", is_flag=True, help="Its hosts go first.")
def delete(endpoint: str, name: str, *, force: bool) -> None:
    """Delete the group NAME."""
    ask(endpoint, lambda c: c.call("DeleteAutoScalingGroup", AutoScalingGroupName=name, ForceDelete=force))
    click.echo(f"{name} is {'being deleted' if force else 'deleted'}")


@group.command()
@endpoint_option
@click.option("--dir", "folder", type=click.Path(path_type=Path, file_okay=False), required=True, help="Their disks.")
@click.option("--release", type=Choice("eager", "on-exit"), default="eager", show_default=True)
def run(endpoint: str, folder: Path, release: str) -> None:
    """Run the hosts of all groups here, until Ctrl-C. `berth dev` does so by itself.

    Killed and started again with the same folder it goes on with the same hosts.
    """
    check_endpoint(endpoint)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made: {error.strerror}.") from None
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{folder} is in use by another berth group run.") from None
        name = folder / "run"
        if not name.exists():
            name.write_text(uuid.uuid4().hex[:12])
        exit_code = asyncio.run(_run(endpoint, folder.resolve(), name.read_text().strip(), release))
    raise SystemExit(0 if exit_code == INTERRUPTED else exit_code)


async def _run(endpoint: str, folder: Path, name: str, release: str) -> int:
    access = access_of_user()

    def environment_of(order: Order, disk: Path) -> dict[str, str]:
        return access.credentials() | {
            "ECS_CLUSTER": order.cluster,
            "ECS_BACKEND_HOST": endpoint,
            "ECS_DATADIR": str(disk),
            "ECS_IMAGE_PULL_BEHAVIOR": "prefer-cached",
            "ECS_INSTANCE_ATTRIBUTES": json.dumps({HOST_ATTRIBUTE: order.id}),
            "ECS_RESOURCE_RELEASE": release,
            "ECS_ENABLE_SPOT_INSTANCE_DRAINING": "true",
            "BERTH_INSTANCE_ID": order.id,
            "BERTH_GROUP": order.group,
            "BERTH_INSTANCE_TYPE": order.instance_type,
            "BERTH_AVAILABILITY_ZONE": order.zone,
            "BERTH_RUN": name,
        }

    machines = Machines(
        client=lambda: access.client(endpoint),
        folder=folder,
        run=name,
        environment_of=environment_of,
        tell=click.echo,
    )

    async def work() -> int:
        click.echo(f"✓ runs the hosts of the groups at {endpoint}; their disks are in {folder}      Ctrl-C ends it")
        await machines.run()
        return 0

    return await run_with_cleanup(
        work,
        cleanup=machines.close,
        force=machines.kill,
        on_interrupt=lambda: click.echo("\nEnding the hosts; their containers stay for the next start."),
    )


def read_hook(text: str) -> dict[str, Any]:
    """Read `NAME,TRANSITION[,key=value...]` into a lifecycle hook in Amazon's shape.

    Raises:
        UserError: one sentence about the first thing that cannot be understood.
    """
    name, transition, *pairs = [*text.split(","), ""]
    if transition not in ("launching", "terminating"):
        raise UserError(f"--hook {text!r}: write it like NAME,launching or NAME,terminating,heartbeat=1h.")
    hook: dict[str, Any] = {
        "LifecycleHookName": name,
        "LifecycleTransition": f"autoscaling:EC2_INSTANCE_{transition.upper()}",
    }
    for pair in filter(None, pairs):
        key, _, value = pair.partition("=")
        seconds = duration_seconds(value)
        if key == "heartbeat" and seconds is not None:
            hook["HeartbeatTimeout"] = seconds
        elif key == "default" and value in ("CONTINUE", "ABANDON"):
            hook["DefaultResult"] = value
        elif key == "url":
            hook["Webhook"] = value
        else:
            raise UserError(f"--hook {text!r}: {pair!r} is not understood.")
    return hook


def _size(row: dict[str, Any]) -> str:
    return f"min {row['MinSize']}  desired {row['DesiredCapacity']}  max {row['MaxSize']}"


def _print(table: Table) -> None:
    console = Console()
    Console(width=None if console.is_terminal else 200).print(table)
