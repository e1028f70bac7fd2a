"""Task sets of the EXTERNAL deployment controller: create, update, delete, describe, make primary.

Source: API reference, the operations' pages and `TaskSet`; error texts as AWS gives them where they are known.
"""

from typing import Any

import msgspec

from controlplane.api import capacity, limits, load_balancers, network
from controlplane.api.call import Answer, Call
from controlplane.api.clusters import cluster_of
from controlplane.api.references import service_arn, short_name
from controlplane.api.tag_rules import check_tags
from controlplane.api.task_definitions import find_active
from controlplane.api.task_set_shapes import render
from controlplane.core.model import Controller, Deployment, Service
from controlplane.core.reconcile import deployments, taskset
from controlplane.core.rollouts import TaskSet
from controlplane.core.view import Draft, View
from wire.errors import AwsError, InvalidParameterException, ServiceNotActiveException, ServiceNotFoundException

TASK_SETS_MAX = 5
"""Task sets of one service (assumed: a quota is not published; two are usual)."""
PERCENT_MAX = 100
_KEPT = ("externalId", "networkConfiguration", "loadBalancers", "serviceRegistries", "tags", "clientToken")


def create_task_set(draft: Draft, call: Call) -> Answer:
    """CreateTaskSet. The same client token again is answered with the task set that it made."""
    service = _service(draft, call)
    token = call.text("clientToken")
    for standing in service.deployments:
        if token and standing.task_set is not None and standing.task_set.body.get("clientToken") == token:
            return {"taskSet": render(draft, service, standing)}
    if len(service.deployments) >= TASK_SETS_MAX:
        raise AwsError(f"A service has at most {TASK_SETS_MAX} task sets.", code="LimitExceededException")
    check_tags(call.body.get("tags", ()))
    limits.refuse_unserved(call.body, limits.TASK_SET_REQUEST, call.operation)
    definition = find_active(draft, call, call.body["taskDefinition"])
    limits.refuse_unrunnable(definition)
    load_balancers.check(draft, call.body.get("loadBalancers", ()), definition.body)
    network.check(definition.body, call.body.get("networkConfiguration"))
    kept = {member: call.body[member] for member in _KEPT if member in call.body}
    made = Deployment(
        id=call.names.deployment(),
        status="ACTIVE",
        task_definition=definition.arn,
        task_set=TaskSet(
            scale_percent=_scale(call.body.get("scale", {"value": 100.0, "unit": "PERCENT"})),
            steady_at=draft.now,
            body=kept | capacity.resolved(draft, call, cluster_of(draft, call)),
        ),
        created_at=draft.now,
        updated_at=draft.now,
    )
    service = _put(draft, service, (made, *service.deployments))
    deployments.tell(draft, service, made)
    return {"taskSet": render(draft, service, made)}


def update_task_set(draft: Draft, call: Call) -> Answer:
    """UpdateTaskSet: another scale."""
    service = _service(draft, call)
    found = _found(call, service, call.body["taskSet"])
    assert found.task_set is not None
    scaled = msgspec.structs.replace(found.task_set, scale_percent=_scale(call.body["scale"]))
    changed = msgspec.structs.replace(found, task_set=scaled, updated_at=draft.now)
    return {"taskSet": render(draft, _replace(draft, service, changed), changed)}


def delete_task_set(draft: Draft, call: Call) -> Answer:
    """DeleteTaskSet: DRAINING until its tasks have gone. Without `force` only one that is scaled to 0."""
    service = _service(draft, call)
    found = _found(call, service, call.body["taskSet"])
    if taskset.computed_desired_count(service, found) > 0 and not call.body.get("force", False):
        raise InvalidParameterException("The task set cannot be deleted while it is scaled above 0.")
    changed = msgspec.structs.replace(found, status="DRAINING", updated_at=draft.now)
    return {"taskSet": render(draft, _replace(draft, service, changed), changed)}


def update_service_primary_task_set(draft: Draft, call: Call) -> Answer:
    """UpdateServicePrimaryTaskSet: the one that serves; the former is ACTIVE. The service takes its task definition."""
    service = _service(draft, call)
    found = _found(call, service, call.body["primaryTaskSet"])
    if found.status == "DRAINING":
        raise InvalidParameterException("A task set that is DRAINING cannot be the primary task set.")
    status = {found.id: "PRIMARY"}
    changed = tuple(
        msgspec.structs.replace(each, status=status.get(each.id, "DRAINING" if each.status == "DRAINING" else "ACTIVE"))
        for each in service.deployments
    )
    service = msgspec.structs.replace(service, task_definition=found.task_definition)
    service = _put(draft, service, changed)
    return {"taskSet": render(draft, service, _found(call, service, found.id))}


def describe_task_sets(view: View, call: Call) -> Answer:
    """DescribeTaskSets: those that are named, else all. Unknown ones are failures with reason MISSING."""
    service = _service(view, call)
    with_tags = "TAGS" in call.body.get("include", ())
    by_id = {_digits(deployment.id): deployment for deployment in service.deployments}
    shown, failures = [], []
    for reference in call.body.get("taskSets") or list(by_id):
        found = by_id.get(_id(call, reference))
        if found is None:
            failures.append({"arn": reference, "reason": "MISSING"})
        else:
            shown.append(render(view, service, found, with_tags=with_tags))
    return {"taskSets": shown, "failures": failures}


def _service(view: View, call: Call) -> Service:
    cluster = cluster_of(view, call)
    service = view.service(service_arn(call, cluster, call.body["service"]))
    if service is None or service.cluster != cluster.name:
        raise ServiceNotFoundException
    if service.status != "ACTIVE":
        raise ServiceNotActiveException
    if service.controller is not Controller.EXTERNAL:
        raise InvalidParameterException("Task sets are only for services that use the EXTERNAL deployment controller.")
    return service


def _found(call: Call, service: Service, reference: str) -> Deployment:
    digits = _id(call, reference)
    for deployment in service.deployments:
        if _digits(deployment.id) == digits:
            return deployment
    raise AwsError("The specified task set does not exist.", code="TaskSetNotFoundException")


def _id(call: Call, reference: str) -> str:
    """The digits of an id or of an ARN."""
    return _digits(short_name(call, "task-set", reference))


def _digits(id_: str) -> str:
    """Of `ecs-svc/<digits>`."""
    return id_.removeprefix("ecs-svc/")


def _scale(scale: dict[str, Any]) -> float:
    value: float = scale.get("value", 0.0)
    if not 0 <= value <= PERCENT_MAX:
        raise InvalidParameterException(f"The value of scale should be between 0 and {PERCENT_MAX}.")
    return value


def _replace(draft: Draft, service: Service, changed: Deployment) -> Service:
    return _put(draft, service, tuple(changed if d.id == changed.id else d for d in service.deployments))


def _put(draft: Draft, service: Service, task_sets: tuple[Deployment, ...]) -> Service:
    service = msgspec.structs.replace(service, deployments=task_sets)
    draft.put(service)
    return service
