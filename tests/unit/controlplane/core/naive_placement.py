"""The oracle of placement: one copy after the other, a plain loop over plain lists. Quick as such loops are, and easy
to believe: no arrays, no groups, nothing kept but the lists."""

from collections import Counter

import msgspec
import numpy as np

from controlplane.core.names import Dice
from controlplane.core.placement.expression import parse
from controlplane.core.placement.field import is_eligible, ranked, scattered
from controlplane.core.placement.query import facts_of, matches
from controlplane.core.placement.request import Request
from controlplane.core.view import View


def place(view: View, request: Request, dice: Dice) -> tuple[str, ...]:
    """Instances (ARN) of the copies that fit, in order."""
    naive, draw = Naive(view, request), dice.getrandbits(64)
    placed: list[str] = []
    while len(placed) < request.count:
        chosen = naive.first(draw, dice)
        if chosen is None:
            break
        naive.take(chosen)
        placed.append(naive.instances[chosen].arn)
    return tuple(placed)


class Naive:
    """A cluster as one request sees it; all lists run parallel to `instances`."""

    def __init__(self, view: View, request: Request) -> None:
        self.view, self.request, self.amounts = view, request, request.amounts
        self.instances = view.instances(request.cluster)
        self.rooms = [view.free(instance.arn) for instance in self.instances]
        self.cpu = [room.cpu for room in self.rooms]
        self.memory = [room.memory_mib for room in self.rooms]
        live = Counter(task.instance for task in view.tasks_in(request.cluster, request.group) if task.is_live)
        self.counts = [live[instance.arn] for instance in self.instances]
        self.taken: set[int] = set()
        self.expressions = [parse(c["expression"]) for c in request.constraints if c["type"] == "memberOf"]
        self.is_distinct = any(constraint["type"] == "distinctInstance" for constraint in request.constraints)
        self.open = [self._is_open(index) for index in range(len(self.instances))]
        self.steps = [(step["type"], self._column(step)) for step in request.strategy]
        self.totals = [self._totals(kind, column) for kind, column in self.steps]

    def first(self, draw: int, dice: Dice) -> int | None:
        """Index of the instance for the next copy."""
        cpu, memory = self.amounts.cpu, self.amounts.memory_mib
        looks = enumerate(zip(self.open, self.cpu, self.memory, strict=True))
        candidates = [i for i, (is_open, has, holds) in looks if is_open and has >= cpu and holds >= memory]
        if not candidates:
            return None
        for (kind, column), totals in zip(self.steps, self.totals, strict=True):
            if kind != "random":
                keys = [totals[column[i]] for i in candidates] if kind == "spread" else [column[i] for i in candidates]
                least = min(keys)
                candidates = [i for i, key in zip(candidates, keys, strict=True) if key == least]
        if not self.steps or self.steps[-1][0] == "random":
            return candidates[dice.randrange(len(candidates))]
        if len(candidates) == 1:
            return candidates[0]
        return candidates[int(np.argmin(ranked(scattered(np.array(candidates)), draw)))]

    def take(self, index: int) -> None:
        """One copy goes there."""
        self.rooms[index] = self.rooms[index].minus(self.amounts)
        self.cpu[index] -= self.amounts.cpu
        self.memory[index] -= self.amounts.memory_mib
        self.counts[index] += 1
        for (kind, column), totals in zip(self.steps, self.totals, strict=True):
            if kind == "spread":
                totals[column[index]] += 1
        self.taken.add(index)
        self.open[index] = self._is_open(index)

    def _is_open(self, index: int) -> bool:
        """All looks."""
        instance = self.instances[index]
        attributes = {a["name"]: a.get("value", "") for a in instance.attributes}
        return (
            is_eligible(instance)
            and not self.rooms[index].lacks(self.amounts)
            and all(name in attributes and value in (None, attributes[name]) for name, value in self.request.required)
            and all(matches(expression, self._facts(index)) for expression in self.expressions)
            and not (self.is_distinct and self.counts[index])
        )

    def _facts(self, index: int):
        facts = facts_of(self.view, self.instances[index])
        groups = facts.groups | ({self.request.group} if index in self.taken else set())
        return msgspec.structs.replace(facts, groups=groups)

    def _column(self, step: dict[str, str]) -> list[int]:
        """What a step compares: what is left of a resource, or where each instance counts, as a number."""
        if step["type"] != "spread":
            return {"cpu": self.cpu, "memory": self.memory}.get(step.get("field", ""), [])
        if step["field"] in ("instanceId", "host"):
            return list(range(len(self.instances)))
        numbers: dict[str | None, int] = {}
        values = [instance.attribute(step["field"].removeprefix("attribute:")) for instance in self.instances]
        return [numbers.setdefault(value, len(numbers)) for value in values]

    def _totals(self, kind: str, column: list[int]) -> list[int]:
        """Tasks of the group in each domain of a spread."""
        totals = [0] * len(self.instances)
        for domain, count in zip(column, self.counts, strict=True) if kind == "spread" else ():
            totals[domain] += count
        return totals
