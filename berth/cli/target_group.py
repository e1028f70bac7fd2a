"""`berth target-group`: what a service's tasks are put behind, and the ports in front. Services take the ARNs."""

from collections.abc import Callable
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from berth.cli.connection import ask, endpoint_option
from berth.cli.options import Choice
from wire.arn import short_id

Members = dict[str, Any]


@click.group("target-group", short_help="Put services behind a load balancer.")
def target_group() -> None:
    """Put services behind a load balancer: a real HAProxy on this machine.

    A service takes the ARN of a group in `loadBalancers`, as in ECS.
    """


def _settings(command: Callable[..., None]) -> Callable[..., None]:
    options = (
        click.option("--listen", type=int, multiple=True, metavar="PORT", help="Port in front; may be repeated."),
        click.option("--deregistration-delay", type=int, metavar="SECONDS", help="300 unless given."),
        click.option("--slow-start", type=int, metavar="SECONDS", help="To the full share in so long; 0."),
        click.option(
            "--propagation", type=float, metavar="SECONDS", help="The proxy learns so late that one leaves; 0."
        ),
        click.option("--path", help="Of the health check; /"),
        click.option("--matcher", metavar="CODES", help="That pass the health check; 200"),
        click.option("--interval", type=int, metavar="SECONDS", help="Between health checks; 30."),
        click.option("--timeout", type=int, metavar="SECONDS", help="Of a health check; 5."),
        click.option("--healthy-threshold", type=int, metavar="CHECKS", help="5."),
        click.option("--unhealthy-threshold", type=int, metavar="CHECKS", help="2."),
        click.option("--port", type=int, help="Shown only: each task has its own; 80."),
    )
    for option in reversed(options):
        command = option(command)
    return command


_MEMBERS = {
    "listen": "listen",
    "deregistration_delay": "deregistrationDelaySeconds",
    "slow_start": "slowStartSeconds",
    "propagation": "propagationSeconds",
    "path": "healthCheckPath",
    "matcher": "matcher",
    "interval": "healthCheckIntervalSeconds",
    "timeout": "healthCheckTimeoutSeconds",
    "healthy_threshold": "healthyThresholdCount",
    "unhealthy_threshold": "unhealthyThresholdCount",
    "port": "port",
}


@target_group.command("create")
@click.argument("name")
@click.option("--protocol", type=Choice("HTTP", "TCP"), default="HTTP", show_default=True)
@click.option("--target-type", type=Choice("instance", "ip"), default="instance", help="ip: for network mode awsvpc.")
@_settings
@endpoint_option
def create(name: str, protocol: str, target_type: str, endpoint: str, **settings: Any) -> None:
    """Make the target group NAME, and listeners that forward to it."""
    members = {"name": name, "protocol": protocol, "targetType": target_type, **_members(settings)}
    _show(_ask(endpoint, "POST", members=members))


@target_group.command("set")
@click.argument("name")
@_settings
@endpoint_option
def set_group(name: str, endpoint: str, **settings: Any) -> None:
    """Change the target group NAME; --listen moves a listener to it."""
    _show(_ask(endpoint, "PUT", name, _members(settings)))


@target_group.command("show")
@click.argument("name")
@endpoint_option
def show(name: str, endpoint: str) -> None:
    """Show the target group NAME (or ARN): its listeners, its targets and their health."""
    _show(_ask(endpoint, "GET", name))


@target_group.command("list")
@endpoint_option
def list_groups(endpoint: str) -> None:
    """List the target groups, with how many of their targets are healthy."""
    answer = _ask(endpoint, "GET")
    table = Table("name", "protocol", "listeners", "healthy", "targets", "delay", "arn", box=None)
    for group in answer["targetGroups"]:
        states = [target["state"] for target in group["targets"]]
        table.add_row(
            group["targetGroupName"],
            group["protocol"],
            " ".join(str(listener["port"]) for listener in group["listeners"]),
            str(states.count("healthy")),
            str(len(states)),
            f"{group['deregistrationDelaySeconds']} s",
            group["targetGroupArn"],
        )
    Console(soft_wrap=True).print(table)
    if answer["trouble"]:
        click.echo(answer["trouble"], err=True)


@target_group.command("delete")
@click.argument("name")
@endpoint_option
def delete(name: str, endpoint: str) -> None:
    """Delete the target group NAME, and its listeners. No service may use it."""
    _ask(endpoint, "DELETE", name)
    click.echo(f"{name} is deleted.")


def _members(settings: Members) -> Members:
    given = {_MEMBERS[name]: value for name, value in settings.items() if value is not None}
    return {**given, "listen": list(settings["listen"])}


def _show(group: Members) -> None:
    click.echo(f"{group['targetGroupName']}  {group['protocol']}  {group['targetGroupArn']}")
    click.echo(
        f"  check {group['healthCheckPath']} for {group['matcher']} every {group['healthCheckIntervalSeconds']} s; "
        f"deregistration delay {group['deregistrationDelaySeconds']} s; slow start {group['slowStartSeconds']} s"
    )
    for listener in group["listeners"]:
        parts = ", ".join(f"{name} {percent:g} %" for name, percent in listener["percent"].items())
        click.echo(f"  listens on {listener['port']}: {parts}; rule {listener['ruleArn']}")
        click.echo(f"    ResourceLabel {listener['resourceLabel']}")
    for target in group["targets"]:
        why = f" ({target['reason']})" if target["reason"] else ""
        where = f"{target['address']}:{target['port']}"
        click.echo(f"  {target['state']:10} {where:22} task {short_id(target['task'])}{why}")


def _ask(endpoint: str, method: str, name: str = "", members: Members | None = None) -> Members:
    return ask(endpoint, lambda client: client.target_groups(method, name, members))
