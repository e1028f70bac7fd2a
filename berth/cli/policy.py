"""`berth policy`: the switches of a cluster, on both sides, seen and set while it runs."""

from typing import Any

import click

from berth.cli.connection import ask, endpoint_option
from berth.cli.options import preset_lines
from berth.errors import UserError
from controlplane.core.policy import PRESETS
from wire.extensions import GET_POLICY, PUT_POLICY


@click.group()
def policy() -> None:
    """See and set when room counts as free."""


@policy.command()
@click.argument("cluster", default="default")
@endpoint_option
def show(cluster: str, endpoint: str) -> None:
    """Show every switch of CLUSTER."""
    _print(ask(endpoint, lambda client: client.call(GET_POLICY, cluster=cluster)))


@policy.command("set", epilog="\b\nPresets:\n" + preset_lines())
@click.argument("cluster")
@click.argument("changes", nargs=-1, required=True, metavar="PRESET|SWITCH=VALUE...")
@endpoint_option
def set_policy(cluster: str, changes: tuple[str, ...], endpoint: str) -> None:
    """Set CLUSTER to a preset, or switch by switch, now and without a restart; its agents are told at once.

    A preset goes first and sets both sides; what no word names stays. `berth policy show` lists the switches.
    """
    presets = [word for word in changes if "=" not in word]
    if len(presets) > 1:
        raise UserError(f"{' and '.join(presets)} are two presets; give one, and switches as switch=value.")
    if presets and presets[0] not in PRESETS:
        raise UserError(f"{presets[0]!r} is no policy preset; there are {', '.join(PRESETS)}.")
    members: dict[str, Any] = {"preset": presets[0]} if presets else {}
    members["switches"] = dict(word.split("=", 1) for word in changes if "=" in word)
    _print(ask(endpoint, lambda client: client.call(PUT_POLICY, cluster=cluster, **members)))


def _print(answer: dict[str, Any]) -> None:
    click.echo(f"cluster {answer['clusterName']}: {answer['preset'] or 'a combination of its own'}")
    for name, value in answer["policy"].items():
        click.echo(f"  {name}={'none' if value is None else value}")
    if answer["agent"] is None:
        click.echo("  its agents go by their own environment")
    else:
        for name, value in answer["agent"].items():
            click.echo(f"  {name}={value}  (agents)")
