"""What a service uses of what its tasks have reserved, in per cent: CPUUtilization and MemoryUtilization. Pure.

Used over reserved, each summed up over the tasks that run. A task that reserves nothing of a resource, or that nobody
has told anything of, is left out of both sums. Source: ECS Developer Guide, "Service utilization metrics".
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from controlplane.core.model import Service, Task
from controlplane.core.scaling.metrics import Metric
from controlplane.core.view import View
from controlplane.scaling.shapes import service_metric
from wire.status import TaskStatus
from wire.tcs_shapes import StatsSet, TaskMetric

Newest = Callable[[str], TaskMetric | None]
"""What was told of a task (ARN) last; None: nothing, or too long ago."""


class Use(NamedTuple):
    """Of one resource."""

    used: float
    reserved: float


def of_service(view: View, service: Service, newest: Newest) -> Iterator[tuple[Metric, float]]:
    """The metrics of a service, in per cent; none where no task of it has told anything."""
    running = [task for task in view.tasks_of(service.arn) if task.last_status is TaskStatus.RUNNING]
    known = [(task, told) for task in running if (told := newest(task.arn)) is not None]
    uses = {
        "CPUUtilization": [_cpu(view, task, told) for task, told in known],
        "MemoryUtilization": [_memory(task, told) for task, told in known],
    }
    for name, of_tasks in uses.items():
        counted = [use for use in of_tasks if use is not None and use.reserved]
        if counted:
            percent = 100 * sum(use.used for use in counted) / sum(use.reserved for use in counted)
            yield service_metric(service.cluster, service.name, name), percent


def _cpu(view: View, task: Task, told: TaskMetric) -> Use | None:
    """CPU units. What containers tell is per cent of the whole instance."""
    instance = view.instance(task.instance) if task.instance else None
    percents = [_average(container.cpu_stats_set) for container in told.container_metrics]
    known = [percent for percent in percents if percent is not None]
    if instance is None or not known:
        return None
    return Use(sum(known) / 100 * instance.registered.cpu, task.amounts.cpu)


def _memory(task: Task, told: TaskMetric) -> Use | None:
    """MiB."""
    averages = [_average(container.memory_stats_set) for container in told.container_metrics]
    known = [average for average in averages if average is not None]
    return Use(sum(known), task.amounts.memory_mib) if known else None


def _average(stats: StatsSet | None) -> float | None:
    return stats.sum / stats.sample_count if stats is not None and stats.sample_count else None
