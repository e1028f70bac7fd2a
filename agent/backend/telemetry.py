"""What the agent publishes over telemetry: metrics and health of what runs, and whether the container runtime answers.

It looks at the engine's books and the kernel's; it holds no connection. Source: amazon-ecs-agent
`agent/stats/engine.go`, `ecs-agent/tcs/client/client.go` (at most ten tasks a message, the last of a round says `fin`).
"""

import asyncio
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

import msgspec

from agent.backend.metering import Meter
from agent.core.ladder import Known
from agent.core.state import ContainerState, TaskState
from agent.machine.doctor import Doctor
from agent.machine.size import CPU_UNITS_PER_CORE
from agent.machine.stats import Cgroups
from wire import tcs_shapes
from wire.tcs_shapes import TASKS_MAX, Publication

T = TypeVar("T")

SAMPLE_SECONDS = 2.0
"""Amazon's agent hears a sample a second from Docker, or one in ten seconds where it polls; between them (assumed)."""


class Outcome(Protocol):
    """What a health check says. `since` is epoch seconds."""

    @property
    def status(self) -> str: ...
    @property
    def since(self) -> float | None: ...
    @property
    def output(self) -> str: ...


class HealthRow(Protocol):
    """A container with a health check of its definition's, and the outcome."""

    @property
    def task(self) -> str: ...
    @property
    def container(self) -> str: ...
    @property
    def health(self) -> Outcome: ...


class Telemetry:
    """Samples what runs, and makes the messages of a round."""

    def __init__(
        self,
        *,
        cluster: str,
        instance: str,
        tasks: Callable[[], Iterable[TaskState]],
        health: Callable[[], Iterable[HealthRow]],
        doctor: Doctor,
        cgroups: Cgroups,
        clock: Callable[[], float],
        sends_metrics: bool = True,
        cpu_units: int = 0,
    ) -> None:
        """`instance` is the container instance's ARN; `clock` tells epoch seconds.

        `cpu_units` are what the host has registered, 1024 a core: CPU is told in per cent of them. 0: of the machine.

        Without metrics (`ECS_DISABLE_METRICS`) health is told all the same, and no cgroup is read.
        """
        self._cluster = cluster
        self._instance = instance
        self._tasks = tasks
        self._health = health
        self._doctor = doctor
        self._cgroups = cgroups
        self._clock = clock
        self._sends_metrics = sends_metrics
        self._meters: dict[str, Meter] = {}
        self._cores = cpu_units / CPU_UNITS_PER_CORE or os.cpu_count() or 1

    async def sample(self) -> None:
        """Read what every running container uses, one after the other, with a breath between them."""
        running = list(self._running()) if self._sends_metrics else []
        ids = {container.docker_id for _, container in running}
        self._meters = {docker_id: meter for docker_id, meter in self._meters.items() if docker_id in ids}
        for state, container in running:
            reading = self._cgroups.read(container.docker_id, state.spec.arn.rsplit("/", 1)[-1])
            if reading is not None:
                self._meters.setdefault(container.docker_id, Meter(self._cores)).add(reading)
            await asyncio.sleep(0)

    def metrics(self) -> list[tcs_shapes.PublishMetricsRequest]:
        """A round of metrics; one empty `idle` message where nothing runs, none where there are no samples yet."""
        running = list(self._running())
        rows: dict[str, tcs_shapes.TaskMetric] = {}
        for state, container in running:
            metric = self._metric(container)
            if metric is not None:
                spec = state.spec
                row = tcs_shapes.TaskMetric(
                    task_arn=spec.arn, task_definition_family=spec.family, task_definition_version=spec.version
                )
                rows.setdefault(spec.arn, row).container_metrics.append(metric)
        if running and not rows:
            return []
        now, message_id, groups = round(self._clock(), 3), str(uuid.uuid4()), list(_groups(list(rows.values())))
        return [
            tcs_shapes.PublishMetricsRequest(
                metadata=tcs_shapes.MetricsMetadata(
                    cluster=self._cluster,
                    container_instance=self._instance,
                    message_id=message_id,
                    fin=number == len(groups),
                    idle=not running,
                ),
                timestamp=now,
                task_metrics=group,
            )
            for number, group in enumerate(groups, start=1)
        ]

    def health(self) -> list[tcs_shapes.PublishHealthRequest]:
        """A round of health; none where no container has a check."""
        states = {state.spec.arn: state for state in self._tasks()}
        rows: dict[str, tcs_shapes.TaskHealth] = {}
        for row in self._health():
            if row.task not in states:
                continue
            spec = states[row.task].spec
            task = tcs_shapes.TaskHealth(
                task_arn=spec.arn, task_definition_family=spec.family, task_definition_version=spec.version
            )
            outcome = tcs_shapes.ContainerHealth(
                container_name=row.container,
                health_status=str(row.health.status),
                status_since=round(row.health.since or 0.0, 3),
                status_message=row.health.output,
            )
            rows.setdefault(spec.arn, task).containers.append(outcome)
        if not rows:
            return []
        now, message_id, groups = round(self._clock(), 3), str(uuid.uuid4()), list(_groups(list(rows.values())))
        return [
            tcs_shapes.PublishHealthRequest(
                metadata=tcs_shapes.HealthMetadata(
                    cluster=self._cluster,
                    container_instance=self._instance,
                    message_id=message_id,
                    fin=number == len(groups),
                ),
                tasks=group,
                timestamp=now,
            )
            for number, group in enumerate(groups, start=1)
        ]

    def instance_status(self) -> list[tcs_shapes.PublishInstanceStatusRequest]:
        """What the doctor has found since the last time."""
        statuses = self._doctor.news()
        if not statuses:
            return []
        metadata = tcs_shapes.InstanceStatusMetadata(
            cluster=self._cluster, container_instance=self._instance, request_id=str(uuid.uuid4())
        )
        now = round(self._clock(), 3)
        return [tcs_shapes.PublishInstanceStatusRequest(metadata=metadata, statuses=statuses, timestamp=now)]

    def round(self) -> list[Publication]:
        """Everything of a round, in the order in which Amazon's agent is seen to send it."""
        return [*self.health(), *(self.metrics() if self._sends_metrics else ())]

    def _metric(self, container: ContainerState) -> tcs_shapes.ContainerMetric | None:
        """What it used since the last message; with its restarts where it has a restart policy, as Amazon's does."""
        meter = self._meters.get(container.docker_id)
        metric = meter.take(container.spec.name) if meter is not None else None
        if metric is None or container.spec.restart is None:
            return metric
        restarts = tcs_shapes.RestartStatsSet(restart_count=container.restarts)
        return msgspec.structs.replace(metric, restart_stats_set=restarts)

    def _running(self) -> Iterator[tuple[TaskState, ContainerState]]:
        for state in self._tasks():
            for container in state.containers:
                if container.known is Known.RUNNING and container.docker_id:
                    yield state, container


def _groups(rows: list[T]) -> Iterator[list[T]]:
    """At most TASKS_MAX a group; one empty group where there is nothing."""
    for start in range(0, max(len(rows), 1), TASKS_MAX):
        yield rows[start : start + TASKS_MAX]
