"""`berth metric`: put a value of a metric of one's own, which service auto scaling and alarms then look at."""

from collections.abc import Iterator

import click

from berth.cli.connection import ask, endpoint_option
from berth.errors import UserError


@click.group(short_help="Put values of metrics that scaling looks at.")
def metric() -> None:
    """Put values of metrics that scaling looks at."""


@metric.command("put", short_help="Put one value, now.")
@click.argument("namespace")
@click.argument("name")
@click.argument("value", type=float)
@click.option("--dimension", "dimensions", multiple=True, metavar="KEY=VALUE", help="May be given several times.")
@endpoint_option
def put(namespace: str, name: str, value: float, dimensions: tuple[str, ...], endpoint: str) -> None:
    """Put VALUE of the metric NAME in NAMESPACE into the current minute.

    A policy acts on several minutes in a row: put it once a minute, or more often where the scaler's clock runs faster.
    """
    pairs = dict(_pairs(dimensions))
    ask(endpoint, lambda client: client.put_metric(namespace, name, value, pairs))
    click.echo(f"{namespace} {name} {value:g}")


def _pairs(dimensions: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for text in dimensions:
        key, equals, value = text.partition("=")
        if not key or not equals or not value:
            raise UserError(f"A dimension is KEY=VALUE, not {text!r}.")
        yield key, value
