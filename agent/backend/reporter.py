"""Sends the outboxes: one task's reports in order, at most ten calls at once, each until it is taken.

What is sent is on disk already; what is taken is told back to the engine as a fact. A stuck report of one task
never holds up another's. Source: amazon-ecs-agent `agent/eventhandler/task_handler.go`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from agent.backend.backoff import Backoff
from agent.backend.ecsclient import BackendUnreachableError, EcsClient
from agent.core.events import Event, ReportAccepted
from agent.core.reporting import AddressReport, ContainerReport, Outbox, ReleaseReport
from wire.acs_shapes import ContainerStateChange, NetworkBinding, TaskStateChange
from wire.errors import AwsError
from wire.extensions import SUBMIT_RESOURCE_RELEASE, SUBMIT_TASK_ADDRESS, ResourceRelease, TaskAddress
from wire.resources import Amounts, to_resources

log = logging.getLogger(__name__)

CALLS_MAX = 10
REASON_CHARS_MAX = 1024
ID_CHARS_MAX = 255


class Reporter:
    """One sender per task that has something to say."""

    def __init__(
        self,
        client: EcsClient,
        *,
        cluster: str,
        instance: str,
        next_report: Callable[[str], Outbox | None],
        amounts_of: Callable[[str], Amounts],
        submit: Callable[[Event], Awaitable[None]],
    ) -> None:
        """`next_report` answers with the oldest report of a task (ARN); `instance` is an ARN."""
        self._client = client
        self._cluster = cluster
        self._instance = instance
        self._next_report = next_report
        self._amounts_of = amounts_of
        self._submit = submit
        self._calls = asyncio.Semaphore(CALLS_MAX)
        self._senders: dict[str, asyncio.Task[None]] = {}

    def reports_wait(self, task: str) -> None:
        """Start a sender for `task` unless one is at work; a working one looks again before it ends."""
        if task not in self._senders:
            self._senders[task] = asyncio.get_running_loop().create_task(self._send_all(task))

    async def close(self) -> None:
        """Stop sending; what is unsent is on disk."""
        for sender in self._senders.values():
            sender.cancel()
        await asyncio.gather(*self._senders.values(), return_exceptions=True)

    async def _send_all(self, task: str) -> None:
        backoff = Backoff(0.25, 30, 1.5)
        try:
            while (report := self._next_report(task)) is not None:
                async with self._calls:
                    taken = await self._send(task, report)
                if taken:
                    backoff.reset()
                    await self._submit(ReportAccepted(task=task, number=report.number))
                else:
                    await asyncio.sleep(backoff.wait_seconds())
        finally:
            del self._senders[task]

    async def _send(self, task: str, report: Outbox) -> bool:
        """Whether the report is settled: taken, or refused in a way that will not change."""
        operation, request = self._request(task, report)
        try:
            await self._client.call(operation, request, cause=report.cause)
        except BackendUnreachableError as error:
            log.info("%s waits: %s", operation, error)
            return False
        except AwsError as error:
            final = error.code in ("InvalidParameterException", "UnknownOperationException")
            log.warning("%s for %s was answered with %s", operation, task, error)
            return final
        return True

    def _request(self, task: str, report: Outbox) -> tuple[str, object]:
        if isinstance(report, ReleaseReport):
            amounts = self._amounts_of(task)
            release = ResourceRelease(
                cluster=self._cluster,
                task=task,
                container_instance=self._instance,
                resources=to_resources(
                    amounts.cpu, amounts.memory_mib, amounts.ports, amounts.ports_udp, amounts.gpu_ids or None
                ),
                released_at=report.released_at,
                proof=report.proof,
            )
            return SUBMIT_RESOURCE_RELEASE, msgspec.to_builtins(release)
        if isinstance(report, AddressReport):
            where = TaskAddress(
                cluster=self._cluster,
                task=task,
                container_instance=self._instance,
                address=report.address.ipv4,
                mac_address=report.address.mac,
            )
            return SUBMIT_TASK_ADDRESS, msgspec.to_builtins(where)
        change = TaskStateChange(
            cluster=self._cluster,
            task=task,
            status=report.status,
            reason=report.reason[:REASON_CHARS_MAX],
            containers=[_container(container) for container in report.containers],
            pull_started_at=report.pull_started_at,
            pull_stopped_at=report.pull_stopped_at,
            execution_stopped_at=report.execution_stopped_at,
        )
        return "SubmitTaskStateChange", {"reason": "", **msgspec.to_builtins(change)}


def _container(container: ContainerReport) -> ContainerStateChange:
    return ContainerStateChange(
        container_name=container.name,
        status=container.status,
        runtime_id=container.docker_id[:ID_CHARS_MAX] if container.docker_id else None,
        exit_code=container.exit_code,
        reason=container.reason[:REASON_CHARS_MAX] if container.reason else None,
        image_digest=container.image_digest,
        network_bindings=[
            NetworkBinding(container_port=port.container_port, host_port=port.host_port, protocol=port.protocol)
            for port in container.ports
        ],
    )
