"""The oracle of placement: one copy after the other, plain Python, no arrays, no groups. Slow and easy to believe."""

from collections import Counter

import msgspec
import numpy as np

from controlplane.core.model import Instance
from controlplane.core.names import Dice
from controlplane.core.placement.expression import parse
from controlplane.core.placement.field import is_eligible, ranked
from controlplane.core.placement.query import Facts, facts_of, matches
from controlplane.core.placement.request import Request
from controlplane.core.view import View
from wire.resources import Room


def place(view: View, request: Request, dice: Dice) -> tuple[str, ...]:
    """Instances (ARN) of the copies that fit, in order."""
    instances = view.instances(request.cluster)
    rooms = {instance.arn: view.free(instance.arn) for instance in instances}
    counts = Counter(task.instance for task in view.tasks_in(request.cluster, request.group) if task.is_live)
    rank = dict(zip([instance.arn for instance in instances], ranked(np.arange(len(instances)), dice.getrandbits(64)).tolist(), strict=True))
    expressions = [parse(c["expression"]) for c in request.constraints if c["type"] == "memberOf"]
    distinct = any(constraint["type"] == "distinctInstance" for constraint in request.constraints)
    placed: list[str] = []
    for _ in range(request.count):
        candidates = [i for i in instances if _fits(i, rooms[i.arn], request)]
        candidates = [i for i in candidates if all(matches(e, _facts(view, i, request, placed)) for e in expressions)]
        if distinct:
            candidates = [i for i in candidates if not counts[i.arn]]
        if not candidates:
            break
        for step in request.strategy:
            candidates = _narrow(step, candidates, instances, rooms, counts)
        if request.strategy and request.strategy[-1]["type"] != "random":
            chosen = min(candidates, key=lambda i: rank[i.arn])
        else:
            chosen = candidates[dice.randrange(len(candidates))]
        placed.append(chosen.arn)
        rooms[chosen.arn] = rooms[chosen.arn].minus(request.amounts)
        counts[chosen.arn] += 1
    return tuple(placed)


def _fits(instance: Instance, room: Room, request: Request) -> bool:
    attributes = {a["name"]: a.get("value", "") for a in instance.attributes}
    has = all(name in attributes and value in (None, attributes[name]) for name, value in request.required)
    return is_eligible(instance) and not room.lacks(request.amounts) and has


def _narrow(
    step: dict[str, str],
    candidates: list[Instance],
    instances: list[Instance],
    rooms: dict[str, Room],
    counts: Counter[str | None],
) -> list[Instance]:
    def domain(instance: Instance) -> str | None:
        name = step["field"]
        return instance.arn if name in ("instanceId", "host") else instance.attribute(name.removeprefix("attribute:"))

    if step["type"] == "random":
        return candidates
    if step["type"] == "spread":
        tasks: Counter[str | None] = Counter()
        for instance in instances:
            tasks[domain(instance)] += counts[instance.arn]
        keys = [tasks[domain(i)] for i in candidates]
    else:
        keys = [rooms[i.arn].cpu if step["field"] == "cpu" else rooms[i.arn].memory_mib for i in candidates]
    return [i for i, key in zip(candidates, keys, strict=True) if key == min(keys)]


def _facts(view: View, instance: Instance, request: Request, placed: list[str]) -> Facts:
    facts = facts_of(view, instance)
    groups = facts.groups | ({request.group} if instance.arn in placed else set())
    return msgspec.structs.replace(facts, groups=groups)
