"""What the agents report: state changes, releases of room, the story. Amazon's shapes in, the core's reports out.

A report may come twice, late, or about a task that is long forgotten: it is acknowledged all the same, or its agent
would send it for ever. Source: amazon-ecs-agent `ecs_client.go` (submitTaskStateChange); recorded traffic.
"""

from typing import Any, TypeVar

import msgspec

from controlplane.api.call import Answer, Call
from controlplane.core import lifecycle
from controlplane.core.instances import lose
from controlplane.core.lifecycle import ContainerReport, TaskReport
from controlplane.core.model import Task
from controlplane.core.view import Draft
from wire.arn import parse, short_id
from wire.errors import InvalidParameterException, SerializationException
from wire.extensions import STORY_LINES_MAX, InstanceInterruption, ResourceRelease, StoryReport, TaskAddress
from wire.holds import Proof
from wire.status import ContainerStatus, InstanceStatus, StopCode, TaskStatus
from wire.story import StoryLine

S = TypeVar("S", bound=msgspec.Struct)

ACKNOWLEDGED: Answer = {"acknowledgment": "ok"}
GIVE_UP_MARK = "TaskStateError:"
"""How a task's reason begins whose stop was only declared. Source: amazon-ecs-agent `agent/engine/task_manager.go`."""
STOP_FAILED_MARK = "CannotStopContainerError"
"""How a container's reason begins that Docker would not stop; without an exit code its end is declared, not seen."""


def submit_task_state_change(draft: Draft, call: Call) -> Answer:
    """SubmitTaskStateChange. Only up, idempotent; an attachment's change says nothing about the task."""
    task = _task(draft, call)
    if task is not None and "status" in call.body:
        lifecycle.observe(draft, task, _task_report(call.body))
    return ACKNOWLEDGED


def submit_container_state_change(draft: Draft, call: Call) -> Answer:
    """SubmitContainerStateChange, which agents before 1.14.4 send."""
    task = _task(draft, call)
    if task is not None and call.text("containerName"):
        lifecycle.observe(draft, task, TaskReport(containers=(_container_report(call.body),)))
    return ACKNOWLEDGED


def submit_attachment_state_changes(_: Draft, __: Call) -> Answer:
    """SubmitAttachmentStateChanges: there are no attachments here, so there is nothing to learn."""
    return ACKNOWLEDGED


def submit_task_resource_release(draft: Draft, call: Call) -> Answer:
    """SubmitTaskResourceRelease, ours: the agent's room is, or will be, free. Idempotent by task."""
    release = _read(call.body, ResourceRelease)
    task = draft.task(release.task)
    if task is not None:
        if release.proof not in list(Proof):
            raise InvalidParameterException(f"proof should be one of [{','.join(Proof)}]")
        lifecycle.observe_release(draft, task, Proof(release.proof))
    return {}


def submit_task_address(draft: Draft, call: Call) -> Answer:
    """SubmitTaskAddress, ours: where a task with a network of its own is reached. Idempotent."""
    said = _read(call.body, TaskAddress)
    task = draft.task(said.task)
    if task is not None:
        lifecycle.observe_address(draft, task, said.address, said.mac_address)
    return {}


def submit_instance_interruption(draft: Draft, call: Call) -> Answer:
    """SubmitInstanceInterruption, ours: the host has gone, and all that ran on it. Idempotent.

    A terminated instance is INACTIVE; a stopped one stays, without an agent. Source: ECS Developer Guide, "Stopped
    tasks errors" (TerminationNotice) and "Deregistering a container instance".
    """
    said = _read(call.body, InstanceInterruption)
    instance = draft.instance(said.container_instance)
    if instance is not None and instance.status is not InstanceStatus.INACTIVE:
        is_over = said.action == "terminate"
        name = instance.ec2_instance_id or short_id(instance.arn)
        lose(
            draft,
            instance,
            InstanceStatus.INACTIVE if is_over else instance.status,
            stop_code=StopCode.TERMINATION_NOTICE,
            reason=f"Host EC2 (instance {name}) {'terminated' if is_over else 'stopped'}.",
        )
    return {}


def story_lines(call: Call) -> list[StoryLine]:
    """The lines of SubmitStory, ours.

    Raises:
        InvalidParameterException: they are too many.
    """
    lines = _read(call.body, StoryReport).lines
    if len(lines) > STORY_LINES_MAX:
        raise InvalidParameterException(f"lines should have at most {STORY_LINES_MAX} elements.")
    return lines


def _task(draft: Draft, call: Call) -> Task | None:
    """The task that is reported on; None where we know nothing of it any more."""
    reference = call.text("task")
    if parse(reference) is None:
        raise InvalidParameterException("task should be the ARN of a task.")
    return draft.task(reference)


def _task_report(body: dict[str, Any]) -> TaskReport:
    status = body["status"]
    containers = tuple(_container_report(container) for container in body.get("containers", ()))
    return TaskReport(
        status=TaskStatus(status) if status in ("RUNNING", "STOPPED") else TaskStatus.PENDING,
        reason=body.get("reason", ""),
        containers=containers,
        pull_started_at=body.get("pullStartedAt"),
        pull_stopped_at=body.get("pullStoppedAt"),
        execution_stopped_at=body.get("executionStoppedAt"),
        proof=_proof(body.get("reason", ""), containers),
    )


def _proof(reason: str, containers: tuple[ContainerReport, ...]) -> Proof:
    """What a STOPPED rests on, as far as Amazon's shape lets one see it."""
    declared = (c for c in containers if c.exit_code is None and (c.reason or "").startswith(STOP_FAILED_MARK))
    if reason.startswith(GIVE_UP_MARK) or any(declared):
        return Proof.GAVE_UP
    if any(container.runtime_id or container.exit_code is not None for container in containers):
        return Proof.EXIT_SEEN
    return Proof.NEVER_STARTED


def _container_report(shape: dict[str, Any]) -> ContainerReport:
    status = shape.get("status")
    bindings = shape.get("networkBindings")
    return ContainerReport(
        name=shape.get("containerName", ""),
        status=ContainerStatus(status) if status in list(ContainerStatus) else ContainerStatus.PENDING,
        exit_code=shape.get("exitCode"),
        reason=shape.get("reason"),
        runtime_id=shape.get("runtimeId"),
        image_digest=shape.get("imageDigest"),
        network_bindings=None if bindings is None else tuple(bindings),
    )


def _read(body: dict[str, Any], kind: type[S]) -> S:
    try:
        return msgspec.convert(body, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SerializationException(f"The request can not be read: {error}.") from None
