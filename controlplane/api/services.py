"""Services: create, update, delete, describe, list. They say what is wanted; `core/reconcile` brings it about.

Source: API reference, the operations' pages; error texts as AWS gives them where they are known.
"""

from typing import Any

import msgspec

from controlplane.api import capacity, limits, network
from controlplane.api.call import Answer, Call
from controlplane.api.clusters import NAME, cluster_of
from controlplane.api.paging import page
from controlplane.api.placement import constraints_of, strategy_of
from controlplane.api.service_shapes import render
from controlplane.api.task_definitions import find, find_active
from controlplane.core.model import Cluster, Service, TaskDefinition
from controlplane.core.reconcile import rollout
from controlplane.core.view import Draft, View
from wire.arn import parse, short_id
from wire.errors import (
    AwsError,
    ClientException,
    InvalidParameterException,
    ServiceNotActiveException,
    ServiceNotFoundException,
)

DESCRIBE_MAX = 10
LIST_SIZE = 10
MINIMUM_HEALTHY_PERCENT = 100
MAXIMUM_PERCENT = 200


def create_service(draft: Draft, call: Call) -> Answer:
    """CreateService. The same request again is answered with the service that it made."""
    cluster = cluster_of(draft, call)
    name = call.body["serviceName"]
    if not NAME.fullmatch(name):
        raise InvalidParameterException(
            "Service name should be 1 to 255 letters (uppercase and lowercase), numbers, hyphens, and underscores."
        )
    existing = draft.service(call.arns.service(cluster.name, name))
    if existing is not None and existing.status != "INACTIVE":
        return {"service": render(draft, _same(existing, call))}
    if not call.body.get("taskDefinition"):
        raise InvalidParameterException("TaskDefinition can not be blank.")
    if "desiredCount" not in call.body:
        raise InvalidParameterException("desiredCount is required for a REPLICA service.")
    definition = find_active(draft, call, call.body["taskDefinition"])
    wanted = _settings(call, definition, {})
    service = Service(
        arn=call.arns.service(cluster.name, name),
        name=name,
        cluster=cluster.name,
        task_definition=definition.arn,
        body={**call.body, **capacity.resolved(draft, call, cluster), "createdBy": call.account.user_arn},
        created_at=draft.now,
        **wanted,
    )
    begun = rollout.begin(draft, service, task_definition=definition.arn, names=call.names)
    return {"service": render(draft, begun)}


def update_service(draft: Draft, call: Call) -> Answer:
    """UpdateService. A new task definition or `forceNewDeployment` starts a deployment; the rest takes hold at once."""
    cluster = cluster_of(draft, call)
    service = _existing(draft, call, cluster)
    if service.status != "ACTIVE":
        raise ServiceNotActiveException
    definition = _definition(draft, call, service)
    strategy = capacity.updated(draft, call, cluster, service)
    changes = strategy | {member: value for member, value in call.body.items() if member not in _NOT_KEPT}
    changed = msgspec.structs.replace(
        service,
        body={**service.body, **changes},
        **_settings(call, definition, _standing(service)),
    )
    if call.body.get("forceNewDeployment", False) or definition.arn != service.task_definition:
        changed = rollout.begin(draft, changed, task_definition=definition.arn, names=call.names)
    elif changed != service:
        draft.put(changed)
    return {"service": render(draft, changed)}


def delete_service(draft: Draft, call: Call) -> Answer:
    """DeleteService: DRAINING until its tasks have gone, then INACTIVE."""
    cluster = cluster_of(draft, call)
    service = _existing(draft, call, cluster)
    if service.status == "ACTIVE":
        if service.desired_count > 0 and not call.body.get("force", False):
            raise InvalidParameterException("The service cannot be stopped while it is scaled above 0.")
        service = msgspec.structs.replace(service, status="DRAINING", desired_count=0)
        draft.put(service)
    return {"service": render(draft, service)}


def describe_services(view: View, call: Call) -> Answer:
    """DescribeServices. Unknown ones are failures with reason MISSING; DRAINING and INACTIVE ones are still shown."""
    cluster = cluster_of(view, call)
    references = call.body["services"]
    if not references:
        raise InvalidParameterException("Services cannot be empty.")
    if len(references) > DESCRIBE_MAX:
        raise InvalidParameterException(f"Services cannot have more than {DESCRIBE_MAX} elements.")
    with_tags = "TAGS" in call.body.get("include", ())
    services, failures = [], []
    for reference in references:
        arn = _arn(call, cluster, reference)
        service = view.service(arn)
        if service is None or service.cluster != cluster.name:
            failures.append({"arn": arn, "reason": "MISSING"})
        else:
            services.append(render(view, service, with_tags=with_tags))
    return {"services": services, "failures": failures}


def list_services(view: View, call: Call) -> Answer:
    """ListServices. ACTIVE ones only, ten a page unless told otherwise."""
    cluster = cluster_of(view, call)
    asked = (call.text("launchType", "EC2"), call.text("schedulingStrategy", "REPLICA"))
    active = [service for service in view.services(cluster.name) if service.status == "ACTIVE"]
    chosen = active if asked == ("EC2", "REPLICA") and call.text("resourceManagementType") != "ECS" else []
    shown, more = page(chosen, call.body, key=lambda service: (service.name,), size=LIST_SIZE)
    return {"serviceArns": [service.arn for service in shown], **more}


def list_services_by_namespace(view: View, call: Call) -> Answer:
    """ListServicesByNamespace: over all clusters. A namespace is known by those that name it; there is no Cloud Map.

    Raises:
        AwsError: NamespaceNotFoundException, where nobody does.
    """
    wanted = short_id(call.body["namespace"])
    named = [
        service
        for service in view.records(Service)
        if service.status == "ACTIVE"
        and short_id(service.body.get("serviceConnectConfiguration", {}).get("namespace", "")) == wanted
    ]
    defaults = (
        cluster.body.get("serviceConnectDefaults", {}).get("namespace", "") for cluster in view.records(Cluster)
    )
    if not named and wanted not in map(short_id, defaults):
        raise AwsError("The specified namespace was not found.", code="NamespaceNotFoundException")
    shown, more = page(named, call.body, key=lambda service: (service.arn,), size=LIST_SIZE)
    return {"serviceArns": [service.arn for service in shown], **more}


def _settings(call: Call, definition: TaskDefinition, standing: dict[str, Any]) -> dict[str, Any]:
    """The members of `Service` that a request sets, over those that stand; all of it checked first."""
    body = call.body
    limits.refuse_unserved(body, limits.SERVICE_REQUEST, call.operation)
    limits.refuse_unrunnable(definition.body, f"{definition.family}:{definition.revision}")
    is_awsvpc = definition.body.get("networkMode") == "awsvpc"
    former = standing.get("networkConfiguration") if is_awsvpc else None
    network.check(definition.body, body.get("networkConfiguration", former))
    deployment = body.get("deploymentConfiguration", {})
    limits.refuse_unserved(deployment, limits.DEPLOYMENT_CONFIGURATION, f"{call.operation}: deploymentConfiguration")
    settings = {name: standing.get(name, default) for name, default in _DEFAULTS.items()}
    for member, name in (("minimumHealthyPercent", "minimum_healthy_percent"), ("maximumPercent", "maximum_percent")):
        settings[name] = deployment.get(member, settings[name])
    settings["desired_count"] = body.get("desiredCount", settings["desired_count"])
    if "placementStrategy" in body:
        settings["placement_strategy"] = strategy_of(body)
    if "placementConstraints" in body or not standing:
        settings["placement_constraints"] = constraints_of(body, definition)
    _check_numbers(settings)
    return settings


def _check_numbers(settings: dict[str, Any]) -> None:
    if settings["desired_count"] < 0:
        raise InvalidParameterException("desiredCount should be 0 or more.")
    minimum, maximum = settings["minimum_healthy_percent"], settings["maximum_percent"]
    if minimum < 0 or maximum <= 0 or maximum < minimum:
        raise InvalidParameterException(
            "maximumPercent should be more than 0 and at least minimumHealthyPercent, which should be 0 or more."
        )


def _definition(draft: Draft, call: Call, service: Service) -> TaskDefinition:
    """The task definition after an update. One that the service has already may have gone INACTIVE since."""
    if "taskDefinition" not in call.body:
        standing = draft.task_definition(service.task_definition)
        assert standing is not None, f"{service.arn} has lost its task definition"
        return standing
    named = find(draft, call, call.body["taskDefinition"])
    if named is not None and named.arn == service.task_definition:
        return named
    return find_active(draft, call, call.body["taskDefinition"])


def _standing(service: Service) -> dict[str, Any]:
    standing = {name: getattr(service, name) for name in _DEFAULTS}
    return {**standing, "networkConfiguration": service.body.get("networkConfiguration")}


def _same(service: Service, call: Call) -> Service:
    """The existing service, where the request is the one that made it."""
    if service.status == "DRAINING":
        raise InvalidParameterException("Unable to Start a service that is still Draining.")
    if {**service.body, **call.body} != service.body:
        raise InvalidParameterException("Creation of service was not idempotent.")
    return service


def _existing(draft: Draft, call: Call, cluster: Cluster) -> Service:
    service = draft.service(_arn(call, cluster, call.body["service"]))
    if service is None or service.cluster != cluster.name:
        raise ServiceNotFoundException
    return service


def _arn(call: Call, cluster: Cluster, reference: str) -> str:
    arn = parse(reference)
    if arn is not None and arn.kind != "service":
        raise ClientException(f"Invalid identifier: {reference} is not the ARN of a service.")
    return call.arns.service(cluster.name, short_id(reference))


_DEFAULTS: dict[str, Any] = {
    "desired_count": 0,
    "minimum_healthy_percent": MINIMUM_HEALTHY_PERCENT,
    "maximum_percent": MAXIMUM_PERCENT,
    "placement_strategy": (),
    "placement_constraints": (),
}
_NOT_KEPT = ("cluster", "service", "forceNewDeployment")
