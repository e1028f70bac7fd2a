"""The turns of a deployment: it begins, is superseded, completes, fails, goes back. Each leaves its record.

`Service.deployments` is what DescribeServices shows, a `ServiceDeployment` the course of one change, a
`ServiceRevision` what it brings out. Source: ECS Developer Guide, "Service deployments", "Deployment circuit breaker".
"""

from enum import Enum

import msgspec

from controlplane.core.balancing import traffic
from controlplane.core.model import Deployment, Service
from controlplane.core.names import Names
from controlplane.core.reconcile import breaker, events, hooks, tally
from controlplane.core.rollouts import NEXT_STATUS, Monitor, Rollback, RolloutStatus, ServiceDeployment, ServiceRevision
from controlplane.core.view import Draft
from wire.story import Kind

_REVISION_MEMBERS = (
    "capacityProviderStrategy",
    "launchType",
    "loadBalancers",
    "networkConfiguration",
    "platformVersion",
    "serviceConnectConfiguration",
    "serviceRegistries",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
)
"""What of a service belongs to its revision (API reference, `ServiceRevision`). Counts and percentages do not."""


class Cause(Enum):
    """Why a deployment fails: `rolloutStateReason`, the end of the service event, the service deployment's reason.

    The first two are recorded for the circuit breaker and the alarms; the third is worded after AWS's (assumed).
    """

    BREAKER = (
        "ECS deployment circuit breaker: tasks failed to start.",
        "tasks failed to start",
        "the circuit breaker threshold was exceeded",
    )
    ALARM = ("ECS deployment alarm: alarm detected.", "alarm detected", "an alarm was detected")
    STOPPED = ("ECS deployment stopped by user.", "stopped by user", "a user asked for it")
    HOOK = ("ECS deployment lifecycle hook: hook failed.", "lifecycle hook failed", "a lifecycle hook failed")
    STAGE_TIMEOUT = ("ECS deployment lifecycle stage timed out.", "lifecycle stage timed out", "a stage took too long")
    TIMEOUT = ("ECS deployment timed out.", "deployment timed out", "it took too long")

    @property
    def rollout_reason(self) -> str:
        """For `rolloutStateReason`."""
        return self.value[0]

    @property
    def event(self) -> str:
        """For the service event."""
        return self.value[1]

    @property
    def reason(self) -> str:
        """For `statusReason`."""
        return self.value[2]

    def rollback_reason(self, deployment: str) -> str:
        """`rolloutStateReason` of the deployment (id) that is gone back to; recorded for the circuit breaker."""
        who = self.rollout_reason.partition(":")[0].removesuffix(".")
        return f"{who}: rolling back to deploymentId {deployment}."


def begin(draft: Draft, service: Service, *, task_definition: str, names: Names) -> Service:
    """Start a new deployment of `service` to `task_definition` (ARN): CreateService, UpdateService, force.

    Puts the service into the draft, as it is given (with other changes that the caller has made), the new deployment
    first with `desired_count` 0, the former PRIMARY as ACTIVE. Returns the service as it now stands.
    """
    revision = ServiceRevision(
        arn=names.service_revision(service.cluster, service.name),
        service=service.arn,
        cluster=service.cluster,
        task_definition=task_definition,
        groups=traffic.groups_for(draft, service),
        body={member: service.body[member] for member in _REVISION_MEMBERS if member in service.body},
        created_at=draft.now,
    )
    deployment = _newest(draft, revision, names)
    begun = _in_front(draft, service, deployment)
    rollout = ServiceDeployment(
        arn=names.service_deployment(service.cluster, service.name),
        service=service.arn,
        cluster=service.cluster,
        deployment=deployment.id,
        target=revision.arn,
        sources=_sources(draft, service),
        settings=service.rollout,
        minimum_healthy_percent=service.minimum_healthy_percent,
        maximum_percent=service.maximum_percent,
        created_at=draft.now,
        updated_at=draft.now,
    )
    begun = msgspec.structs.replace(begun, task_definition=task_definition, current=rollout.arn)
    draft.put(begun)
    draft.put(revision)
    draft.put(rollout)
    supersede(draft, service)
    tell(draft, begun, deployment)
    return begun


def supersede(draft: Draft, service: Service) -> None:
    """A newer deployment begins, or the service ends: what was under way is stopped."""
    former = draft.record(ServiceDeployment, service.current)
    if former is not None and not former.status.is_over:
        stop(draft, former, "Service deployment was superseded by a newer one.")


def start(draft: Draft, rollout: ServiceDeployment) -> ServiceDeployment:
    """The first look at a deployment: PENDING becomes IN_PROGRESS, breaker and alarms begin to watch."""
    if rollout.status is not RolloutStatus.PENDING:
        return rollout
    watched = breaker.monitors(rollout, draft)
    return step(
        draft,
        rollout,
        RolloutStatus.IN_PROGRESS,
        started_at=draft.now,
        breaker=watched["breaker"],
        alarms=watched["alarms"],
    )


def complete(draft: Draft, service: Service, rollout: ServiceDeployment | None, names: Names) -> Service:
    """All of the newest revision runs and is healthy: COMPLETED. A rollback may go back to it from now on."""
    primary = _in_state(service.deployments[0], "COMPLETED", f"ECS deployment {service.deployments[0].id} completed.")
    primary = msgspec.structs.replace(primary, updated_at=draft.now)
    done = msgspec.structs.replace(
        service, deployments=(primary, *service.deployments[1:]), settled=primary.revision or service.settled
    )
    draft.put(done)
    tell(draft, done, primary)
    if rollout is not None and not rollout.status.is_over:
        is_back = rollout.is_rolling_back
        reason = f"Service deployment rolled back because {_why(rollout)}." if is_back else ""
        step(
            draft,
            rollout,
            RolloutStatus.ROLLBACK_SUCCESSFUL if is_back else RolloutStatus.SUCCESSFUL,
            finished_at=draft.now,
            status_reason=reason,
            breaker=_complete(rollout.breaker),
            alarms=_complete(rollout.alarms),
            block=None,
        )
    return events.tell(draft, done, events.completed(done, primary.id), names)


def fail(draft: Draft, service: Service, rollout: ServiceDeployment, cause: Cause, names: Names) -> Service:
    """The newest deployment has failed: it starts no more tasks. Back to the last completed one, where asked for."""
    primary = _in_state(service.deployments[0], "FAILED", cause.rollout_reason)
    primary = msgspec.structs.replace(primary, updated_at=draft.now)
    failed = msgspec.structs.replace(service, deployments=(primary, *service.deployments[1:]))
    draft.put(failed)
    tell(draft, failed, primary)
    failed = events.tell(draft, failed, events.failed(failed, primary.id, cause.event), names)
    rollout = _triggered(rollout, cause)
    if rollout.status is RolloutStatus.ROLLBACK_IN_PROGRESS:
        reason = f"Service deployment rollback failed because {cause.reason}."
        step(draft, rollout, RolloutStatus.ROLLBACK_FAILED, finished_at=draft.now, status_reason=reason, block=None)
        return failed
    if not _rolls_back(rollout, cause) or draft.record(ServiceRevision, failed.settled) is None:
        stop(draft, rollout, f"Service deployment stopped because {cause.reason}.")
        return failed
    return roll_back(draft, failed, rollout, cause, names)


def roll_back(draft: Draft, service: Service, rollout: ServiceDeployment, cause: Cause, names: Names) -> Service:
    """Make the revision that was last completed the newest again: no new revision, and its own id where it still is.

    The target is IN_PROGRESS from now on, so it can be gone back to only once it is completed again.
    """
    revision = draft.record(ServiceRevision, service.settled)
    assert revision is not None, f"{service.arn} has nothing to go back to"
    standing = next((d for d in service.deployments[1:] if d.revision == revision.arn), None)
    target = standing or _newest(draft, revision, names)
    target = _in_state(target, "IN_PROGRESS", cause.rollback_reason(target.id))
    rest = tuple(d for d in service.deployments if d is not standing)
    back = _in_front(draft, msgspec.structs.replace(service, deployments=rest), target)
    own = {member: value for member, value in service.body.items() if member not in _REVISION_MEMBERS}
    back = msgspec.structs.replace(
        back, task_definition=revision.task_definition, settled="", body={**own, **revision.body}
    )
    draft.put(back)
    tell(draft, back, back.deployments[0])
    if rollout.status is not RolloutStatus.ROLLBACK_REQUESTED:
        rollout = step(draft, rollout, RolloutStatus.ROLLBACK_REQUESTED)
    step(
        draft,
        rollout,
        RolloutStatus.ROLLBACK_IN_PROGRESS,
        rollback=Rollback(
            reason=f"Service deployment rolled back because {cause.reason}.",
            started_at=draft.now,
            revision=revision.arn,
            failures=rollout.failures,
        ),
        failures=0,
        healthy_seen=0,
        has_run=False,
        test_weight=0,
        production_weight=0,
        baking_since=None,
        hooks=(*rollout.hooks, *hooks.on_the_way_back(rollout, draft.now, names)),
        block=None,
    )
    return events.tell(draft, back, events.rolling_back(back, target.id), names)


def stop(draft: Draft, rollout: ServiceDeployment, reason: str) -> ServiceDeployment:
    """End a service deployment where it stands; its tasks stay as they are."""
    if rollout.status is not RolloutStatus.STOP_REQUESTED:
        rollout = step(draft, rollout, RolloutStatus.STOP_REQUESTED, status_reason=reason)
    return step(
        draft,
        rollout,
        RolloutStatus.STOPPED,
        stopped_at=draft.now,
        finished_at=draft.now,
        status_reason=reason,
        block=None,
    )


def step(draft: Draft, rollout: ServiceDeployment, status: RolloutStatus, **members: object) -> ServiceDeployment:
    """Put a service deployment into its next status."""
    assert status in NEXT_STATUS[rollout.status], f"{rollout.arn}: {rollout.status} does not become {status}"
    if status.is_over:
        members["counts"] = tally.of_course(draft, rollout)
    stepped = msgspec.structs.replace(rollout, status=status, updated_at=draft.now, **members)
    draft.put(stepped)
    draft.tell(
        Kind.SERVICE_DEPLOYMENT,
        rollout.service,
        service_deployment=rollout.arn,
        deployment=rollout.deployment,
        status=status,
        reason=stepped.status_reason,
    )
    return stepped


def tell(draft: Draft, service: Service, deployment: Deployment) -> None:
    """A deployment has another state or another count: a line of the story."""
    draft.tell(
        Kind.DEPLOYMENT,
        service.arn,
        deployment=deployment.id,
        status=deployment.status,
        rollout_state=deployment.rollout_state,
        reason=deployment.rollout_reason,
        task_definition=deployment.task_definition,
        desired_count=deployment.desired_count,
    )


def _newest(draft: Draft, revision: ServiceRevision, names: Names) -> Deployment:
    deployment = Deployment(
        id=names.deployment(),
        status="PRIMARY",
        task_definition=revision.task_definition,
        revision=revision.arn,
        created_at=draft.now,
        updated_at=draft.now,
    )
    return _in_state(deployment, "IN_PROGRESS", f"ECS deployment {deployment.id} in progress.")


def _in_front(draft: Draft, service: Service, deployment: Deployment) -> Service:
    former = tuple(msgspec.structs.replace(d, status="ACTIVE", updated_at=draft.now) for d in service.deployments)
    newest = msgspec.structs.replace(
        deployment,
        status="PRIMARY",
        unstarted_tasks=0,
        unhealthy_tasks=0,
        failures_before=draft.revision,
        updated_at=draft.now,
    )
    return msgspec.structs.replace(service, deployments=(newest, *former))


def _in_state(deployment: Deployment, state: str, reason: str) -> Deployment:
    return msgspec.structs.replace(deployment, rollout_state=state, rollout_reason=reason)


def _sources(draft: Draft, service: Service) -> tuple[str, ...]:
    standing = {task.deployment for task in draft.tasks_of(service.arn) if task.is_live}
    running = [d.revision for d in service.deployments if d.id in standing and d.revision]
    return tuple(sorted(running, key=lambda revision: revision != service.settled))


def _rolls_back(rollout: ServiceDeployment, cause: Cause) -> bool:
    settings = rollout.settings
    if cause is Cause.BREAKER:
        return settings.breaker.rolls_back
    return settings.alarms.rolls_back if cause is Cause.ALARM else True


def _triggered(rollout: ServiceDeployment, cause: Cause) -> ServiceDeployment:
    if cause is Cause.BREAKER:
        return msgspec.structs.replace(rollout, breaker=Monitor.TRIGGERED)
    return msgspec.structs.replace(rollout, alarms=Monitor.TRIGGERED) if cause is Cause.ALARM else rollout


def _complete(monitor: Monitor) -> Monitor:
    return Monitor.MONITORING_COMPLETE if monitor is Monitor.MONITORING else monitor


def _why(rollout: ServiceDeployment) -> str:
    text = rollout.rollback.reason if rollout.rollback is not None else ""
    return text.partition(" because ")[2].removesuffix(".") or "it was asked for"
