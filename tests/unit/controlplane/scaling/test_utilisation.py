"""What a service uses, from what agents tell of its tasks."""

import msgspec
import pytest
from toy_cluster import TASK, ToyCluster

from controlplane.scaling.utilisation import of_service
from wire.tcs_shapes import ContainerMetric, StatsSet, TaskMetric


def told(arn: str, cpu_percent: float, memory_mib: float, containers: int = 1) -> TaskMetric:
    stats = {
        "cpu_stats_set": StatsSet(min=0, max=100, sample_count=4, sum=4 * cpu_percent / containers),
        "memory_stats_set": StatsSet(min=0, max=100, sample_count=2, sum=2 * memory_mib / containers),
    }
    rows = [ContainerMetric(container_name=f"c{number}", **stats) for number in range(containers)]
    return TaskMetric(task_arn=arn, container_metrics=rows)


@pytest.fixture
def toy() -> ToyCluster:
    toy = ToyCluster()
    toy.add_host()
    return toy


def measured(toy: ToyCluster, service: str, rows: list[TaskMetric]) -> dict[str, float]:
    newest = {row.task_arn: row for row in rows}.get
    return {metric.name: round(value, 3) for metric, value in of_service(toy.state, toy.service(service), newest)}


def test_used_over_reserved_summed_up_over_tasks(toy: ToyCluster) -> None:
    service = toy.create_service(toy.define(), desired=2)
    toy.run(60)
    first, second = toy.tasks(service)
    host = toy.state.instance(first.instance or "")
    assert host is not None
    whole = 100 * first.amounts.cpu / host.registered.cpu
    rows = [told(first.arn, whole, 100, containers=2), told(second.arn, whole / 2, 300)]
    memory = round(100 * 400 / (2 * first.amounts.memory_mib), 3)
    assert measured(toy, service, rows) == {"CPUUtilization": 75.0, "MemoryUtilization": memory}
    assert measured(toy, service, rows[:1])["CPUUtilization"] == 100.0, "who tells nothing is in neither sum"
    assert measured(toy, service, []) == {}


def test_a_task_that_reserves_nothing_is_not_counted(toy: ToyCluster) -> None:
    service = toy.create_service(toy.define(msgspec.structs.replace(TASK, cpu=0)), desired=1)
    toy.run(60)
    (task,) = toy.tasks(service)
    assert list(measured(toy, service, [told(task.arn, 50, 10)])) == ["MemoryUtilization"]
