"""Service deployments and service revisions: list, describe, stop, continue. They read what `core/reconcile` records.

Source: API reference, the operations' pages; ECS Developer Guide, "Service deployments", "Service revisions".
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import msgspec

from controlplane.api import deployment_configuration
from controlplane.api.call import Answer, Call
from controlplane.api.clusters import cluster_of
from controlplane.api.paging import page
from controlplane.api.references import ours, path_of, service_arn
from controlplane.core.model import Service
from controlplane.core.policy import AbortStops
from controlplane.core.reconcile import breaker, deployments, tally
from controlplane.core.rollouts import (
    Counts,
    Monitor,
    RolloutStatus,
    ServiceDeployment,
    ServiceRevision,
    Stage,
    Strategy,
)
from controlplane.core.view import Draft, View
from wire.errors import AwsError, InvalidParameterException, ServiceNotFoundException

R = TypeVar("R")

DESCRIBE_MAX = 20
LIST_SIZE = 20
_SHOWN_AS = {Stage.PRE_PRODUCTION_TRAFFIC_SHIFT: Stage.POST_TEST_TRAFFIC_SHIFT}
"""Only a stage of hooks; `ServiceDeployment.lifecycleStage` has no such value."""
_CLOSED = "The service deployment {arn} is {status}; it can not be {verb} any more."


def list_service_deployments(view: View, call: Call) -> Answer:
    """ListServiceDeployments, the newest first; by status and by time of creation."""
    service = _service(view, call)
    statuses = set(call.body.get("status", ()))
    created = call.body.get("createdAt", {})
    after, before = created.get("after", 0), created.get("before", float("inf"))
    chosen = [
        rollout
        for rollout in view.records(ServiceDeployment)
        if rollout.service == service.arn
        and (not statuses or rollout.status in statuses)
        and after <= rollout.created_at <= before
    ]
    shown, more = page(
        chosen, call.body, key=lambda rollout: (rollout.created_at, rollout.arn), size=LIST_SIZE, descending=True
    )
    return {"serviceDeployments": [_brief(view, rollout) for rollout in shown], **more}


def describe_service_deployments(view: View, call: Call) -> Answer:
    """DescribeServiceDeployments, at most twenty; unknown ones are failures with reason MISSING."""
    found, failures = _found(call, "serviceDeploymentArns", partial(view.record, ServiceDeployment))
    return {"serviceDeployments": [render(view, rollout) for rollout in found], "failures": failures}


def describe_service_revisions(view: View, call: Call) -> Answer:
    """DescribeServiceRevisions, at most twenty; unknown ones are failures with reason MISSING."""
    found, failures = _found(call, "serviceRevisionArns", partial(view.record, ServiceRevision))
    return {"serviceRevisions": [_revision(view, revision) for revision in found], "failures": failures}


def stop_service_deployment(draft: Draft, call: Call) -> Answer:
    """StopServiceDeployment: back to what was completed last. ABORT is refused, as the page says, unless by policy.

    Without anything to go back to, the deployment is stopped where it stands.
    """
    rollout = _open(draft, call, "stopped")
    if call.text("stopType", "ROLLBACK") == "ABORT":
        cluster = draft.cluster(rollout.cluster)
        if cluster is None or cluster.policy.abort_stops is AbortStops.REFUSED:
            raise InvalidParameterException("The only valid stopType is ROLLBACK.")
        deployments.stop(draft, rollout, "Service deployment was aborted by a user.")
    elif not rollout.is_rolling_back:
        request_rollback(draft, rollout)
    return {"serviceDeploymentArn": rollout.arn}


def continue_service_deployment(draft: Draft, call: Call) -> Answer:
    """ContinueServiceDeployment: a paused deployment goes on, or goes back."""
    rollout = _open(draft, call, "continued")
    run = next((run for run in rollout.hooks if run.id == call.body["hookId"]), None)
    if run is None or run.status != "AWAITING_ACTION" or rollout.is_rolling_back:
        raise InvalidParameterException(f"The service deployment waits for no hook {call.body['hookId'][:100]!r}.")
    is_going_on = call.text("action", "CONTINUE") == "CONTINUE"
    done = msgspec.structs.replace(run, status="SUCCEEDED" if is_going_on else "FAILED")
    rollout = msgspec.structs.replace(
        rollout, hooks=tuple(done if other.id == run.id else other for other in rollout.hooks)
    )
    draft.put(rollout)
    if not is_going_on:
        request_rollback(draft, rollout)
    return {"serviceDeploymentArn": rollout.arn}


def render(view: View, rollout: ServiceDeployment) -> Answer:
    """A service deployment in Amazon's shape."""
    service, counts = view.service(rollout.service), tally.of_course(view, rollout)
    deployment = {
        **deployment_configuration.show(rollout.settings),
        "maximumPercent": rollout.maximum_percent,
        "minimumHealthyPercent": rollout.minimum_healthy_percent,
    }
    shown: Answer = {
        **_brief(view, rollout),
        "updatedAt": rollout.updated_at,
        "sourceServiceRevisions": [_summary(arn, rollout, counts.get(arn, Counts())) for arn in rollout.sources],
        "targetServiceRevision": _summary(rollout.target, rollout, counts.get(rollout.target, Counts())),
        "deploymentConfiguration": deployment,
        "deploymentCircuitBreaker": _breaker(view, service, rollout),
        "alarms": _alarms(rollout),
        "lifecycleHookDetails": [_hook(rollout, nth) for nth in range(len(rollout.hooks))],
    }
    shown.pop("targetServiceRevisionArn")
    if rollout.stopped_at is not None:
        shown["stoppedAt"] = rollout.stopped_at
    if rollout.stage is not None:
        shown["lifecycleStage"] = str(_SHOWN_AS.get(rollout.stage, rollout.stage))
    if rollout.rollback is not None:
        shown["rollback"] = {
            "reason": rollout.rollback.reason,
            "startedAt": rollout.rollback.started_at,
            "serviceRevisionArn": rollout.rollback.revision,
        }
    return shown


def _brief(view: View, rollout: ServiceDeployment) -> Answer:
    cluster = view.cluster(rollout.cluster)
    times = {"startedAt": rollout.started_at, "finishedAt": rollout.finished_at}
    return {
        "serviceDeploymentArn": rollout.arn,
        "serviceArn": rollout.service,
        "clusterArn": cluster.arn if cluster is not None else rollout.cluster,
        "createdAt": rollout.created_at,
        "targetServiceRevisionArn": rollout.target,
        "status": str(rollout.status),
        **({"statusReason": rollout.status_reason} if rollout.status_reason else {}),
        **{name: at for name, at in times.items() if at is not None},
    }


def _summary(revision: str, rollout: ServiceDeployment, counts: Counts) -> Answer:
    shown: Answer = {
        "arn": revision,
        "requestedTaskCount": counts.requested,
        "runningTaskCount": counts.running,
        "pendingTaskCount": counts.pending,
    }
    if rollout.stage is not None and rollout.settings.strategy is not Strategy.ROLLING:
        is_blue = revision in rollout.sources[:1]
        for member, weight in (
            ("requestedTestTrafficWeight", rollout.test_weight),
            ("requestedProductionTrafficWeight", rollout.production_weight),
        ):
            shown[member] = weight if revision == rollout.target else 100 - weight if is_blue else 0
    return shown


def _breaker(view: View, service: Service | None, rollout: ServiceDeployment) -> Answer:
    limit = rollout.breaker_threshold
    cluster = view.cluster(rollout.cluster)
    if not limit and service is not None and cluster is not None:
        limit = breaker.threshold(rollout.settings.breaker, service.desired_count, cluster.policy)
    status = rollout.breaker if rollout.settings.breaker.is_enabled else Monitor.DISABLED
    return {"status": str(status), "failureCount": rollout.breaker_count, "threshold": limit}


def _alarms(rollout: ServiceDeployment) -> Answer:
    shown: Answer = {"status": str(rollout.alarms)}
    if rollout.settings.alarms.names:
        shown["alarmNames"] = list(rollout.settings.alarms.names)
    if rollout.triggered_alarms:
        shown["triggeredAlarmNames"] = list(rollout.triggered_alarms)
    return shown


def _hook(rollout: ServiceDeployment, nth: int) -> Answer:
    run = rollout.hooks[nth]
    hook = rollout.settings.hooks[run.hook]
    shown: Answer = {"hookId": run.id, "targetType": str(hook.kind), "status": run.status, "expiresAt": run.expires_at}
    shown["timeoutAction"] = hook.timeout_action
    if hook.target:
        shown["targetArn"] = hook.target
    return shown


def _revision(view: View, revision: ServiceRevision) -> Answer:
    cluster = view.cluster(revision.cluster)
    definition = view.task_definition(revision.task_definition)
    containers = definition.body["containerDefinitions"] if definition is not None else ()
    return {
        **({} if revision.body.get("capacityProviderStrategy") else {"launchType": "EC2"}),
        **revision.body,
        **_resolved(revision),
        "serviceRevisionArn": revision.arn,
        "serviceArn": revision.service,
        "clusterArn": cluster.arn if cluster is not None else revision.cluster,
        "taskDefinition": revision.task_definition,
        "containerImages": [_image(view, revision, container) for container in containers],
        "guardDutyEnabled": False,
        "createdAt": revision.created_at,
    }


def _resolved(revision: ServiceRevision) -> Answer:
    """The target groups in use. Source: API reference, `ResolvedConfiguration`."""
    balancers = revision.body.get("loadBalancers", ())
    shown = [
        {"targetGroupArn": group, **_rule(balancer)} for balancer, group in zip(balancers, revision.groups, strict=True)
    ]
    return {"resolvedConfiguration": {"loadBalancers": shown}} if shown else {}


def _rule(balancer: Mapping[str, Any]) -> Answer:
    advanced = balancer.get("advancedConfiguration", {})
    return {member: advanced[member] for member in ("productionListenerRule",) if member in advanced}


def _image(view: View, revision: ServiceRevision, container: Mapping[str, Any]) -> Answer:
    shown: Answer = {"containerName": container["name"], "image": container.get("image", "")}
    if container["name"] in revision.digests:
        return {**shown, "imageDigest": revision.digests[container["name"]]}
    for task in view.tasks_of(revision.service):
        if task.task_definition == revision.task_definition:
            digests = [c.image_digest for c in task.containers if c.name == container["name"] and c.image_digest]
            if digests:
                return {**shown, "imageDigest": digests[0]}
    return shown


def _service(view: View, call: Call) -> Service:
    cluster = cluster_of(view, call)
    service = view.service(service_arn(call, cluster, call.body["service"]))
    if service is None or service.cluster != cluster.name:
        raise ServiceNotFoundException
    return service


def _found(call: Call, member: str, lookup: Callable[[str], R | None]) -> tuple[list[R], list[Answer]]:
    references = call.body[member]
    if not references:
        raise InvalidParameterException(f"{member} cannot be empty.")
    if len(references) > DESCRIBE_MAX:
        raise InvalidParameterException(f"{member} cannot have more than {DESCRIBE_MAX} elements.")
    found, failures = [], []
    for arn in references:
        if ours(call, arn) is None:
            raise InvalidParameterException("The ARN provided is invalid.")
        record = lookup(arn)
        if record is None:
            failures.append({"arn": arn, "reason": "MISSING"})
        else:
            found.append(record)
    return found, failures


def _open(draft: Draft, call: Call, verb: str) -> ServiceDeployment:
    """The service deployment that a request names, one that is not over."""
    arn = call.body["serviceDeploymentArn"]
    path_of(call, "service-deployment", arn)
    rollout = draft.record(ServiceDeployment, arn)
    if rollout is None:
        raise AwsError("Service deployment not found.", code="ServiceDeploymentNotFoundException")
    if rollout.status.is_over:
        sentence = _CLOSED.format(arn=arn, status=rollout.status, verb=verb)
        raise AwsError(sentence, code="ConflictException" if verb == "stopped" else "InvalidParameterException")
    return rollout


def request_rollback(draft: Draft, rollout: ServiceDeployment) -> None:
    """The next look at the service goes back; one that nobody has looked at has begun by then."""
    if rollout.status is not RolloutStatus.ROLLBACK_REQUESTED:
        deployments.step(draft, deployments.start(draft, rollout), RolloutStatus.ROLLBACK_REQUESTED)
