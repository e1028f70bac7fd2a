"""Scale-in: which of a service's tasks are to stop first.

Source: ECS Developer Guide, "Task placement strategies" and "Services": with binpack the task whose instance has most
left afterwards, with spread the one that keeps the balance, with random any; without a strategy as by the default
spread. Ties are for the dice.
"""

from collections import Counter
from collections.abc import Sequence

from controlplane.core.model import Service, Task
from controlplane.core.names import Dice
from controlplane.core.placement.strategies import SERVICE_DEFAULT, Binpack, Level, Resource, Spread, levels
from controlplane.core.view import View


def choose(
    view: View, service: Service, candidates: Sequence[Task], live: Sequence[Task], *, count: int, dice: Dice
) -> list[Task]:
    """`count` of the `candidates`, in the order in which they are to stop. Balance is counted over all `live` tasks."""
    if count >= len(candidates):
        return list(candidates)
    balance = _Balance(view, levels(service.placement_strategy or SERVICE_DEFAULT), live)
    remaining = list(candidates)
    chosen: list[Task] = []
    while len(chosen) < count:
        best = balance.best(remaining)
        task = best[dice.randrange(len(best))]
        chosen.append(task)
        remaining.remove(task)
        balance.take(task)
    return chosen


class _Balance:
    """How many tasks each domain has, and what each instance has left, as tasks are taken away."""

    def __init__(self, view: View, chain: tuple[Level, ...], live: Sequence[Task]) -> None:
        self._view = view
        self._chain = chain
        self._instances = {task.instance: view.instance(task.instance) for task in live if task.instance is not None}
        self._counts = {level: Counter(self._domain(level, t) for t in live) for level in self._spreads()}
        self._freed: dict[tuple[str | None, Resource], int] = {}

    def best(self, tasks: list[Task]) -> list[Task]:
        """Those that are to go first; more than one is a tie."""
        for level in self._chain:
            keys = [self._key(level, task) for task in tasks]
            most = max(keys)
            tasks = [task for task, key in zip(tasks, keys, strict=True) if key == most]
        return tasks

    def take(self, task: Task) -> None:
        """This one goes."""
        for level in self._spreads():
            self._counts[level][self._domain(level, task)] -= 1
        for resource in Resource:
            freed = self._freed.get((task.instance, resource), 0)
            self._freed[task.instance, resource] = freed + resource.of(task.amounts)

    def _spreads(self) -> list[Spread]:
        return [level for level in self._chain if isinstance(level, Spread)]

    def _domain(self, level: Spread, task: Task) -> str | None:
        instance = self._instances.get(task.instance) if task.instance is not None else None
        return None if instance is None else level.domain(instance)

    def _key(self, level: Level, task: Task) -> int:
        if isinstance(level, Spread):
            return self._counts[level][self._domain(level, task)]
        if not isinstance(level, Binpack) or task.instance is None or self._view.instance(task.instance) is None:
            return 0
        freed = self._freed.get((task.instance, level.resource), 0)
        return level.resource.of(self._view.free(task.instance)) + freed + level.resource.of(task.amounts)
