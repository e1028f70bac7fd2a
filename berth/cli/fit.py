"""`berth fit`: how many copies of a task definition each instance type holds, and what is left over."""

from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from berth.cli.connection import ask, endpoint_option
from berth.cli.options import InstanceTypeName, Number
from berth.errors import UserError
from controlplane.core.cost import task_amounts
from wire.instance_types import INSTANCE_TYPES, InstanceType
from wire.resources import Amounts


class Fit(msgspec.Struct, frozen=True):
    """What one instance type makes of the copies. Left over: CPU units and MiB."""

    instance_type: InstanceType
    copies: int
    cpu_left: int
    memory_left_mib: int
    limit: str
    """What the next copy lacks."""


@click.command(short_help="Show how many copies of a task definition each instance type holds.")
@click.argument("task_definition", metavar="TASKDEF")
@click.option("--instance-type", "types", type=InstanceTypeName(), multiple=True, help="Only this one; repeatable.")
@click.option("--reserved-memory", type=Number(0, 1 << 20), default=0, help="MiB that are kept off tasks on a host.")
@endpoint_option
def fit(*, task_definition: str, types: tuple[InstanceType, ...], reserved_memory: int, endpoint: str) -> None:
    """Show how many copies of TASKDEF each instance type holds, and what is left over.

    TASKDEF is a family, family:revision or ARN, or a file with the JSON of a registration (then no control plane is
    asked). What is left over on a full host is what a task that stops cannot give to the next one in advance.
    """
    path = Path(task_definition)
    is_file = path.suffix == ".json" or path.is_file()
    body = _from_file(path) if is_file else _from_api(endpoint, task_definition)
    amounts = _amounts(task_definition, body)
    rows = [fitted(kind, amounts, reserved_memory) for kind in (types or INSTANCE_TYPES.values())]
    held = [row for row in rows if row.copies or types]
    takes = f"{amounts.cpu} CPU units and {amounts.memory_mib} MiB{_gpus(amounts)}{_ports(amounts)}"
    click.echo(f"One copy takes {takes}.")
    Console().print(_table(held))
    if len(held) < len(rows):
        click.echo(f"{len(rows) - len(held)} smaller types hold none.")


def _amounts(name: str, body: dict[str, Any]) -> Amounts:
    containers = body.get("containerDefinitions")
    if not isinstance(containers, list) or not containers or not all(isinstance(each, dict) for each in containers):
        raise UserError(f"{name} is no task definition: it has no containerDefinitions.")
    try:
        amounts = task_amounts(body)
    except ValueError as error:
        raise UserError(f"{name} is no task definition whose size can be read: {error}.") from None
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{name} is no task definition whose size can be read: a wrong type.") from None
    if amounts.cpu < 0 or amounts.memory_mib <= 0:
        raise UserError(f"One copy of {name} takes {amounts.memory_mib} MiB and {amounts.cpu} CPU units: no task does.")
    return amounts


def fitted(kind: InstanceType, amounts: Amounts, reserved_memory_mib: int = 0) -> Fit:
    """How many copies of `amounts` an instance of that type holds."""
    memory_mib = max(0, kind.memory_mib - reserved_memory_mib)
    limits = {"CPU": kind.cpu // amounts.cpu if amounts.cpu else None}
    limits["MEMORY"] = memory_mib // amounts.memory_mib if amounts.memory_mib else None
    limits["PORTS"] = 1 if amounts.ports or amounts.ports_udp else None
    limits["GPU"] = kind.gpus // amounts.gpus if amounts.gpus else None
    known = {name: copies for name, copies in limits.items() if copies is not None}
    copies = min(known.values(), default=0)
    limit = ", ".join(name for name, most in known.items() if most == copies) or "nothing is asked for"
    return Fit(kind, copies, kind.cpu - copies * amounts.cpu, memory_mib - copies * amounts.memory_mib, limit)


def _table(rows: list[Fit]) -> Table:
    """A row for all types that are the same to a scheduler."""
    table = Table(box=None, pad_edge=False)
    for heading in ("CPU", "MiB", "COPIES", "CPU LEFT", "MiB LEFT"):
        table.add_column(heading, justify="right")
    table.add_column("FULL BY")
    table.add_column("TYPES", overflow="fold")
    alike: dict[tuple[int, ...], list[Fit]] = {}
    for row in rows:
        kind = row.instance_type
        alike.setdefault((kind.cpu, kind.memory_mib, kind.gpus), []).append(row)
    for (cpu, memory_mib, _), same in alike.items():
        first = same[0]
        numbers = (cpu, memory_mib, first.copies, first.cpu_left, first.memory_left_mib)
        table.add_row(*map(str, numbers), first.limit, _names([row.instance_type.name for row in same]))
    return table


def _names(names: list[str]) -> str:
    """Types by their size: `large: m5 m5a`, or one whole name."""
    if len(names) == 1:
        return names[0]
    families: dict[str, list[str]] = {}
    for name in names:
        family, _, size = name.partition(".")
        families.setdefault(size, []).append(family)
    return ", ".join(f"{size}: {' '.join(each)}" for size, each in families.items())


def _gpus(amounts: Amounts) -> str:
    return f", and {amounts.gpus} {'GPU' if amounts.gpus == 1 else 'GPUs'}" if amounts.gpus else ""


def _ports(amounts: Amounts) -> str:
    ports = sorted(amounts.ports | amounts.ports_udp)
    return f", and the host ports {', '.join(map(str, ports))}, which one copy on a host can have" if ports else ""


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except msgspec.MsgspecError as error:
        raise UserError(f"{path} is no JSON of a task definition: {error}.") from None


def _from_api(endpoint: str, reference: str) -> dict[str, Any]:
    answer = ask(endpoint, lambda client: client.call("DescribeTaskDefinition", taskDefinition=reference))
    body: dict[str, Any] = answer["taskDefinition"]
    return body
