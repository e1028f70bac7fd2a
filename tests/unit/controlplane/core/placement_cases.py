"""Clusters with tasks on them, and requests for them, from a seed: the cases of placement's tests and benchmark."""

from random import Random

from controlplane.core.model import Cluster, Instance, Task
from controlplane.core.placement.request import Request
from controlplane.core.plan import Plan
from controlplane.core.state import State
from wire.holds import Hold
from wire.resources import Amounts
from wire.status import DesiredStatus, InstanceStatus

LARGE = Amounts(2048, 15731)
QUARTER = Amounts(512, 1024)


def instance(
    nth: int, *, zone: str = "a", rack: str | None = None, size: Amounts = LARGE, **members: object
) -> Instance:
    attributes = [{"name": "ecs.availability-zone", "value": zone}]
    if rack is not None:
        attributes.append({"name": "rack", "value": rack})
    members.setdefault("agent_connected", True)
    return Instance(arn=f"i/{nth:02}", cluster="c", registered=size, attributes=tuple(attributes), **members)


def task(nth: int, on: str, amounts: Amounts, *, group: str = "g", held: bool = True) -> Task:
    return Task(
        arn=f"t/{nth}",
        cluster="c",
        task_definition="d",
        containers=(),
        amounts=amounts,
        group=group,
        instance=on,
        hold=Hold(f"t/{nth}", amounts, 0, "placed") if held else None,
        desired_status=DesiredStatus.RUNNING if held else DesiredStatus.STOPPED,
    )


def state_of(*records: object) -> State:
    state = State()
    state.apply(Plan(cause="", puts=(Cluster(name="c", arn="c"), *records)), 1)
    return state


def request(count: int = 1, *steps: tuple[str, str], amounts: Amounts = QUARTER, **members: object) -> Request:
    strategy = tuple({"type": kind, "field": field} if field else {"type": kind} for kind, field in steps)
    members.setdefault("strategy", strategy)
    return Request(cluster="c", group="g", amounts=amounts, count=count, **members)


ZONE, RACK = ("spread", "attribute:ecs.availability-zone"), ("spread", "attribute:rack")
HOST, CPU, MEMORY, ANY = ("spread", "instanceId"), ("binpack", "cpu"), ("binpack", "memory"), ("random", "")
CHAINS = [
    [], [ANY], [HOST], [ZONE], [CPU], [MEMORY], [ZONE, HOST], [ZONE, CPU], [ZONE, MEMORY], [ZONE, RACK], [RACK, HOST],
    [RACK, ZONE, MEMORY], [ZONE, RACK, HOST], [HOST, ZONE], [HOST, CPU], [CPU, MEMORY], [CPU, ZONE], [ZONE, ANY],
]  # fmt: skip


EXPRESSIONS = [
    "attribute:ecs.availability-zone in [b]",
    "attribute:rack != 1",
    "not task:group == h",
    "task:group != g",
    "runningTasksCount < 3",
]


def case_of(seed: int, *, instances_max: int = 8, count_max: int = 29) -> tuple[State, Request]:
    """A cluster with tasks on it and a request for it."""
    dice = Random(seed)
    instances, tasks = [], []
    for nth in range(dice.randrange(1, instances_max + 1)):
        status = InstanceStatus.DRAINING if dice.random() < 0.1 else InstanceStatus.ACTIVE
        size = Amounts(dice.choice([300, 1024, 2048]), dice.choice([700, 2048, 4096]))
        zone = dice.choice("aab")
        # Half of the time racks lie within zones, else across them.
        rack = dice.choice([None, "1", "2"]) if seed % 2 else dice.choice([f"{zone}1", f"{zone}2"])
        host = instance(nth, zone=zone, rack=rack, size=size, status=status, agent_connected=dice.random() < 0.9)
        instances.append(host)
        for _ in range(dice.randrange(4)):
            held = dice.random() < 0.8
            tasks.append(task(len(tasks), host.arn, Amounts(32, 32), group=dice.choice("ggh"), held=held))
    ports = frozenset({80}) if dice.random() < 0.1 else frozenset()
    amounts = Amounts(dice.choice([0, 64, 128, 256]), dice.choice([0, 64, 512]), ports)
    rules = [{"type": "distinctInstance"}] if dice.random() < 0.1 else []
    rules += [{"type": "memberOf", "expression": text} for text in EXPRESSIONS if dice.random() < 0.1]
    required = dice.choice([(), (), (("rack", None),), (("ecs.availability-zone", "a"),)])
    wanted = request(
        dice.choice([1, dice.randrange(1, count_max + 1)]),
        *dice.choice(CHAINS),
        amounts=amounts,
        constraints=tuple(rules),
        required=required,
    )
    return state_of(*instances, *tasks), wanted
