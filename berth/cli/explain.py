"""`berth explain`: instance by instance, why placement refuses it or how it scores it."""

from typing import Any

import click
from rich.console import Console
from rich.table import Table

from berth.cli.connection import ask, endpoint_option
from wire.arn import short_id
from wire.extensions import EXPLAIN_PLACEMENT


@click.command(short_help="Show why placement takes or refuses each instance.")
@click.argument("subject", metavar="TASKDEF|TASK|SERVICE")
@click.option("--cluster", default="default", show_default=True, help="Name of the cluster.")
@endpoint_option
def explain(subject: str, cluster: str, endpoint: str) -> int:
    """Show where the next copy of TASKDEF, TASK or SERVICE would go, instance by instance.

    Each line says which look refused the instance, or its place and what the strategy counts for it (the less, the
    better). Exit code 1 where no instance takes it.
    """
    answer = ask(endpoint, lambda client: client.call(EXPLAIN_PLACEMENT, cluster=cluster, subject=subject))
    Console().print(_table(answer["instances"]))
    click.echo(answer["sentence"])
    return 0 if any("place" in verdict for verdict in answer["instances"]) else 1


def _table(verdicts: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("INSTANCE", "PLACE", "VERDICT"):
        table.add_column(heading, overflow="fold")
    for verdict in verdicts:
        scores = [f"{name} = {score}" for name, score in verdict.get("scores", {}).items()]
        refused = f"{verdict.get('reason', '')}: lacks {verdict.get('lacks', '')}"
        if verdict.get("missing"):
            refused += f" ({verdict['missing']} short)"
        place = verdict.get("place")
        table.add_row(
            short_id(verdict["instance"]), str(place or "-"), (", ".join(scores) or "any will do") if place else refused
        )
    return table
