"""Everything that moves one task. Statuses only climb; a task that holds room gives it back once, with a proof.

Nothing here decides *that* a task starts or stops. When a stop frees the room is the policy's say
(`placement/ledger.py`).
"""

from functools import partial
from typing import Any

import msgspec

from controlplane.core.balancing import targets
from controlplane.core.balancing.records import Target
from controlplane.core.containers import containers_of
from controlplane.core.cost import task_amounts
from controlplane.core.model import Container, Release, Task, TaskDefinition
from controlplane.core.names import Names
from controlplane.core.placement import ledger
from controlplane.core.policy import Policy
from controlplane.core.record import HOLD_MOVES
from controlplane.core.task_lines import tell_desired, tell_status
from controlplane.core.view import Draft
from wire.holds import Proof
from wire.status import ContainerStatus, DesiredStatus, StopCode, TaskStatus
from wire.story import Kind

DEFAULT_STOP_TIMEOUT_SECONDS = 30
"""Amazon's agent's ECS_CONTAINER_STOP_TIMEOUT unless set. Assumed: an agent does not tell the control plane its own."""

REASON_CHARACTERS_MAX = 1024
"""API reference, `Container.reason` (255 before 2024)."""


class NewTask(msgspec.Struct, frozen=True, kw_only=True):
    """What the maker of a task says about it."""

    cluster: str
    """Name."""
    group: str
    """`service:NAME`, `family:NAME` or the caller's own."""
    instance: str | None
    """ARN of the instance that it is placed on; None: it waits for one."""
    started_by: str | None = None
    client_token: str | None = None
    service: str | None = None
    """ARN; its tasks alone have the next three."""
    deployment: str | None = None
    replaces: str | None = None
    """ARN of the unhealthy task that it stands in for."""
    targets: tuple[Target, ...] = ()
    digests: dict[str, str] = {}
    """What the tags of its images mean, by container, where that is known."""
    overrides: dict[str, Any] = {}
    """Amazon's `TaskOverride`."""
    body: dict[str, Any] = {}
    """Other members, kept and given back."""


class ContainerReport(msgspec.Struct, frozen=True, kw_only=True):
    """One container in a report. None says nothing about a member."""

    name: str
    status: ContainerStatus | None = None
    exit_code: int | None = None
    reason: str | None = None
    runtime_id: str | None = None
    image_digest: str | None = None
    network_bindings: tuple[dict[str, Any], ...] | None = None


class TaskReport(msgspec.Struct, frozen=True, kw_only=True):
    """A state change as an agent reports it. Times are epoch seconds on the agent's clock."""

    status: TaskStatus | None = None
    """PENDING, RUNNING or STOPPED; None for a report about containers alone."""
    reason: str = ""
    containers: tuple[ContainerReport, ...] = ()
    pull_started_at: float | None = None
    pull_stopped_at: float | None = None
    execution_stopped_at: float | None = None
    proof: Proof = Proof.EXIT_SEEN
    """What a STOPPED rests on: EXIT_SEEN, NEVER_STARTED, or GAVE_UP where the agent only declares it."""


def create(draft: Draft, definition: TaskDefinition, new: NewTask, names: Names) -> Task:
    """A new task, PENDING where it has its instance (whose room it then holds), else PROVISIONING (RunTask's page)."""
    arn = names.task(new.cluster)
    task = Task(
        arn=arn,
        cluster=new.cluster,
        task_definition=definition.arn,
        containers=containers_of(
            definition, new.overrides, digests=new.digests, arn_of=partial(names.container, new.cluster, arn)
        ),
        amounts=task_amounts(definition.body, new.overrides) if new.overrides else definition.amounts,
        group=new.group,
        last_status=TaskStatus.PENDING if new.instance else TaskStatus.PROVISIONING,
        started_by=new.started_by,
        client_token=new.client_token,
        cause=draft.cause,
        body={**new.body, "overrides": new.overrides},
        created_at=draft.now,
        instance=new.instance,
        credentials_id=names.uuid() if task_role(definition.body, new.overrides) else "",
    )  # a call with more than 15 keywords takes four times as long
    if new.service is not None:
        task = msgspec.structs.replace(
            task, service=new.service, deployment=new.deployment, replaces=new.replaces, targets=new.targets
        )
    tell_desired(draft, task)
    if new.instance:
        task = draft.begin_hold(task, new.instance, "placed")
    else:
        draft.put(task)
    tell_status(draft, task)
    return task


def task_role(body: dict[str, Any], overrides: dict[str, Any]) -> str:
    """ARN of the role that the containers of a task act as; "" where there is none."""
    return overrides.get("taskRoleArn") or body.get("taskRoleArn") or ""


def request_stop(
    draft: Draft,
    task: Task,
    *,
    stop_code: StopCode,
    reason: str,
    proof: Proof | None = None,
) -> Task:
    """Want `task` STOPPED. Its room is free now where the policy says so, or where the caller brings a `proof`.

    A task without an instance is STOPPED at once. Idempotent: the first code and reason stand.
    Source: API reference, StopTask (`lastStatus` stays until the agent answers); ECS Developer Guide, "Task lifecycle".
    """
    if task.desired_status is DesiredStatus.STOPPED or task.last_status is TaskStatus.STOPPED:
        return task
    stopping = msgspec.structs.replace(
        task,
        desired_status=DesiredStatus.STOPPED,
        stopping_at=draft.now,
        stop_code=stop_code,
        stopped_reason=reason,
        cause=draft.cause,
        version=task.version + 1,
    )
    draft.put(stopping)
    tell_desired(draft, stopping)
    if stopping.instance is None:
        return _stopped(draft, stopping, at=draft.now)
    instance = draft.instance(stopping.instance)
    if stop_code is StopCode.SERVICE_SCHEDULER_INITIATED:
        stopping = targets.deregister_first(draft, stopping)
    if proof is None and ledger.ends_at_stop(_policy(draft, task), instance):
        proof = Proof.STOP_REQUESTED
    return stopping if proof is None else draft.end_hold(stopping, proof)


def force_stop(draft: Draft, task: Task, *, reason: str) -> Task:
    """Want `task` STOPPED and its graces cut. One that is stopping already keeps its code and reason. Idempotent."""
    stopping = request_stop(draft, task, stop_code=StopCode.USER_INITIATED, reason=reason)
    if stopping.force or stopping.last_status is TaskStatus.STOPPED:
        return stopping
    forced = msgspec.structs.replace(stopping, force=True, cause=draft.cause, version=stopping.version + 1)
    draft.put(forced)
    tell_desired(draft, forced)
    return forced


def observe(draft: Draft, task: Task, report: TaskReport) -> Task:
    """Take an agent's state change in. Only up: what is known already changes nothing, so a repeat is a no-op.

    Source: amazon-ecs-agent `SubmitTaskStateChange`; API reference `Task` for the times that each status sets.
    """
    if task.last_status is TaskStatus.STOPPED:
        return task
    seen = _with_report(task, report)
    status = targets.held_back(task, report.status)
    if status is TaskStatus.RUNNING and task.stop_told_at is not None:
        status = TaskStatus.STOPPING  # a late RUNNING of a task that was told to stop in the meantime
    if status is TaskStatus.STOPPED:
        return _observe_stopped(draft, task, seen, report)
    if status is not None and status.rung > task.last_status.rung:
        is_up = report.status is TaskStatus.RUNNING and status is not TaskStatus.ACTIVATING
        started_at = draft.now if seen.started_at is None and is_up else seen.started_at
        seen = msgspec.structs.replace(seen, last_status=status, started_at=started_at)
    if seen == task:
        return task
    seen = msgspec.structs.replace(seen, version=task.version + 1)
    draft.put(seen)
    if seen.last_status is not task.last_status:
        tell_status(draft, seen)
    return seen


def observe_release(draft: Draft, task: Task, proof: Proof) -> Task:
    """The agent reports `task`'s room as free (`SubmitTaskResourceRelease`). A no-op where the policy has another end.

    `proof` is the agent's own. A promise (STOP_REQUESTED) ends the hold with AGENT_RELEASED, a fact with itself.
    """
    if not ledger.ends_at_report(_policy(draft, task)):
        return task
    return draft.end_hold(task, Proof.AGENT_RELEASED if proof is Proof.STOP_REQUESTED else proof)


def observe_address(draft: Draft, task: Task, address: str, mac_address: str) -> Task:
    """The task has an address of its own. A repeat is a no-op, and so is one about a task that has ended."""
    if task.last_status is TaskStatus.STOPPED or (task.address, task.mac_address) == (address, mac_address):
        return task
    reached = msgspec.structs.replace(task, address=address, mac_address=mac_address, version=task.version + 1)
    draft.put(reached)
    return reached


def observe_told(draft: Draft, task: Task) -> Task:
    """The instance acknowledged the stop: RUNNING becomes STOPPING, and the deadline of a hold starts to run.

    DEACTIVATING does, too, where the stop is forced.
    """
    if not task.is_stopping or task.stop_told_at is not None:
        return task
    told = msgspec.structs.replace(task, stop_told_at=draft.now)
    if task.last_status in {TaskStatus.RUNNING, TaskStatus.DEACTIVATING}:
        told = msgspec.structs.replace(told, last_status=TaskStatus.STOPPING, version=task.version + 1)
    if told.hold is not None and ledger.ends_at_deadline(_policy(draft, task)):
        hold = msgspec.structs.replace(told.hold, until=deadline(told, draft.now))
        told = msgspec.structs.replace(told, hold=hold)
    draft.put(told)
    if told.last_status is not task.last_status:
        tell_status(draft, told)
    return told


def observe_lost(draft: Draft, task: Task, *, stop_code: StopCode, reason: str) -> Task:
    """The instance of `task` has gone (deregistered by force, terminated): STOPPED, the room with INSTANCE_LOST.

    Source: ECS Developer Guide, DeregisterContainerInstance `force`: such tasks are orphans, no longer accounted for.
    """
    if task.last_status is TaskStatus.STOPPED:
        return task
    lost = request_stop(draft, task, stop_code=stop_code, reason=reason, proof=Proof.INSTANCE_LOST)
    lost = draft.end_hold(lost, Proof.INSTANCE_LOST)
    if lost.last_status is TaskStatus.STOPPED:
        return lost
    return _stopped(draft, msgspec.structs.replace(lost, version=lost.version + 1), at=draft.now)


def pass_deadline(draft: Draft, task: Task) -> Task:
    """End the hold of a stopping task whose deadline has gone by. Before that, or without one, a no-op."""
    if task.hold is None or task.hold.until is None or draft.now < task.hold.until:
        return task
    return draft.end_hold(task, Proof.DEADLINE_PASSED)


def forget(draft: Draft, task: Task) -> None:
    """Drop a task that has ended. What it moved goes to its instance's own count, which never falls."""
    instance = draft.instance(task.instance) if task.instance else None
    if instance is not None:
        draft.put(msgspec.structs.replace(instance, version=instance.version + HOLD_MOVES))
    draft.delete(task)


def deadline(task: Task, told_at: float) -> float:
    """When a stopping task must have ended at the latest: epoch seconds, its longest stopTimeout after it was told.

    A chain of `dependsOn` may take the sum instead; then the exit is what ends the hold (assumed).
    """
    graces = (container.stop_timeout_seconds for container in task.containers)
    return told_at + max(DEFAULT_STOP_TIMEOUT_SECONDS if grace is None else grace for grace in graces)


def _observe_stopped(draft: Draft, task: Task, seen: Task, report: TaskReport) -> Task:
    exited = [c for c in seen.containers if c.exit_code is not None and not _never_ran(c)]
    ran = seen.started_at is not None or bool(exited)
    proof = Proof.EXIT_SEEN if ran else Proof.NEVER_STARTED
    if report.proof is Proof.GAVE_UP or _vanished(task, report):
        proof = Proof.GAVE_UP
        _tell_unproven(draft, seen)
    ended_at = report.execution_stopped_at or draft.now
    if task.desired_status is DesiredStatus.RUNNING:
        # A task that ended while it started: an essential container may have run, or only what it waited for.
        failed = seen.started_at is None and not any(c.essential for c in exited)
        seen = msgspec.structs.replace(
            seen,
            desired_status=DesiredStatus.STOPPED,
            stop_code=StopCode.TASK_FAILED_TO_START if failed else StopCode.ESSENTIAL_CONTAINER_EXITED,
            stopped_reason=_failure(seen, report) if failed else _end(report),
            stopping_at=ended_at,
        )
        tell_desired(draft, seen)
    seen = msgspec.structs.replace(
        seen,
        execution_stopped_at=ended_at if ran else None,
        version=task.version + 1,
        containers=tuple(msgspec.structs.replace(c, last_status=ContainerStatus.STOPPED) for c in seen.containers),
    )
    return _stopped(draft, draft.end_hold(seen, proof), at=draft.now)


def _stopped(draft: Draft, task: Task, *, at: float) -> Task:
    stopped = msgspec.structs.replace(task, last_status=TaskStatus.STOPPED, stopped_at=at)
    draft.put(stopped)
    tell_status(draft, stopped)
    return stopped


def _never_ran(container: Container) -> bool:
    """Docker leaves an exit code (127, 128) on a container that it could not start; the agent's reason says so."""
    reason = container.reason or ""
    return reason.startswith("Cannot") and not reason.startswith("CannotStop")


def _vanished(task: Task, report: TaskReport) -> bool:
    """Whether a container that ran is said to be STOPPED by an agent that knows nothing of it.

    So answers one that has lost its data directory: its container runs on. Source: amazon-ecs-agent, as seen.
    """
    running = {c.name for c in task.containers if c.last_status is ContainerStatus.RUNNING}
    return any(
        row.name in running and row.exit_code is None and not row.runtime_id and not row.reason
        for row in report.containers
    )


def _tell_unproven(draft: Draft, task: Task) -> None:
    """An unproven stop never looks like a proven one. Agents that report releases tell of it themselves."""
    instance = draft.instance(task.instance) if task.instance else None
    if instance is None or instance.release is not Release.NONE:
        return
    for container in task.containers:
        if container.exit_code is None and container.runtime_id:
            draft.tell(Kind.STOP_UNPROVEN, task.arn, container=container.name, error=container.reason or "")


def _failure(task: Task, report: TaskReport) -> str:
    reasons = [report.reason, *(c.reason or "" for c in task.containers), "Task failed to start"]
    return next(reason for reason in reasons if reason)[:REASON_CHARACTERS_MAX]


def _end(report: TaskReport) -> str:
    """An agent gives a reason only where more than an exit led here: a resource of the task's failed."""
    return (report.reason or "Essential container in task exited")[:REASON_CHARACTERS_MAX]


def _with_report(task: Task, report: TaskReport) -> Task:
    """Row by row: Amazon's agent lists a container twice where it came to run and to stop between two reports."""
    containers = {container.name: container for container in task.containers}
    for row in report.containers:
        if row.name in containers:
            containers[row.name] = _seen(containers[row.name], row)
    return msgspec.structs.replace(
        task,
        containers=tuple(containers.values()),
        pull_started_at=task.pull_started_at or report.pull_started_at,
        pull_stopped_at=task.pull_stopped_at or report.pull_stopped_at,
    )


def _seen(container: Container, report: ContainerReport) -> Container:
    status = report.status
    known = container.last_status
    return msgspec.structs.replace(
        container,
        last_status=status if status is not None and status.rung > known.rung else known,
        exit_code=container.exit_code if report.exit_code is None else report.exit_code,
        reason=report.reason[:REASON_CHARACTERS_MAX] if report.reason else container.reason,
        runtime_id=report.runtime_id or container.runtime_id,
        image_digest=report.image_digest or container.image_digest,
        network_bindings=container.network_bindings if report.network_bindings is None else report.network_bindings,
    )


def _policy(draft: Draft, task: Task) -> Policy:
    cluster = draft.cluster(task.cluster)
    return cluster.policy if cluster is not None else Policy()
