"""Services: create, update, delete, describe, list. They say what is wanted; `core/reconcile` brings it about.

Source: API reference, the operations' pages; error texts as AWS gives them where they are known.
"""

import msgspec

from controlplane.api import capacity, load_balancers, service_settings
from controlplane.api.call import Answer, Call
from controlplane.api.clusters import NAME, cluster_of
from controlplane.api.paging import page
from controlplane.api.references import service_arn
from controlplane.api.service_shapes import render
from controlplane.api.tag_rules import check_tags
from controlplane.api.task_definitions import find, find_active
from controlplane.core.model import Cluster, Controller, Scheduling, Service, TaskDefinition
from controlplane.core.reconcile import daemon, deployments
from controlplane.core.view import Draft, View
from wire.arn import short_id
from wire.errors import (
    AwsError,
    InvalidParameterException,
    ServiceNotActiveException,
    ServiceNotFoundException,
)

DESCRIBE_MAX = 10
LIST_SIZE = 10


def create_service(draft: Draft, call: Call) -> Answer:
    """CreateService. The same request again is answered with the service that it made."""
    cluster = cluster_of(draft, call)
    name = call.body["serviceName"]
    check_tags(call.body.get("tags", ()))
    if not NAME.fullmatch(name):
        raise InvalidParameterException(
            "Service name should be 1 to 255 letters (uppercase and lowercase), numbers, hyphens, and underscores."
        )
    existing = draft.service(call.arns.service(cluster.name, name))
    if existing is not None and existing.status != "INACTIVE":
        return {"service": render(draft, _same(existing, call))}
    if call.body.get("deploymentController", {}).get("type") == "EXTERNAL":
        return _create_external(draft, call, cluster)
    if not call.body.get("taskDefinition"):
        raise InvalidParameterException("TaskDefinition can not be blank.")
    if "desiredCount" not in call.body and call.text("schedulingStrategy", "REPLICA") == "REPLICA":
        raise InvalidParameterException("desiredCount is required for a REPLICA service.")
    definition = find_active(draft, call, call.body["taskDefinition"])
    wanted = service_settings.read(call, definition, None)
    load_balancers.check(draft, call.body.get("loadBalancers", ()), definition.body)
    service = Service(
        arn=call.arns.service(cluster.name, name),
        name=name,
        cluster=cluster.name,
        task_definition=definition.arn,
        body={**call.body, **capacity.resolved(draft, call, cluster), "createdBy": call.account.user_arn},
        created_at=draft.now,
        **wanted,
    )
    begun = deployments.begin(draft, service, task_definition=definition.arn, names=call.names)
    if begun.scheduling is Scheduling.DAEMON:
        begun = daemon.counted(draft, begun, call.names.dice)
    return {"service": render(draft, begun)}


def update_service(draft: Draft, call: Call) -> Answer:
    """UpdateService. A new task definition or `forceNewDeployment` starts a deployment; the rest takes hold at once."""
    cluster = cluster_of(draft, call)
    service = _existing(draft, call, cluster)
    if service.status != "ACTIVE":
        raise ServiceNotActiveException
    if service.controller is Controller.EXTERNAL:
        scaled = msgspec.structs.replace(service, **service_settings.read_external(call, service))
        draft.put(scaled)
        return {"service": render(draft, scaled)}
    definition = _definition(draft, call, service)
    body = capacity.updated(draft, call, cluster, service)
    changed = msgspec.structs.replace(
        service,
        body={**body, **{member: value for member, value in call.body.items() if member not in _NOT_KEPT}},
        **service_settings.read(call, definition, service),
    )
    load_balancers.check(draft, changed.body.get("loadBalancers", ()), definition.body)
    if call.body.get("forceNewDeployment", False) or _is_new_revision(service, changed, definition):
        changed = deployments.begin(draft, changed, task_definition=definition.arn, names=call.names)
    elif changed != service:
        draft.put(changed)
    return {"service": render(draft, changed)}


def delete_service(draft: Draft, call: Call) -> Answer:
    """DeleteService: DRAINING until its tasks have gone, then INACTIVE."""
    cluster = cluster_of(draft, call)
    service = _existing(draft, call, cluster)
    if service.status == "ACTIVE":
        is_scaled = service.desired_count > 0 and service.scheduling is Scheduling.REPLICA
        if is_scaled and not call.body.get("force", False):
            raise InvalidParameterException("The service cannot be stopped while it is scaled above 0.")
        service = msgspec.structs.replace(service, status="DRAINING", desired_count=0)
        draft.put(service)
        deployments.supersede(draft, service)
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
        arn = service_arn(call, cluster, reference)
        service = view.service(arn)
        if service is None or service.cluster != cluster.name:
            failures.append({"arn": arn, "reason": "MISSING"})
        else:
            services.append(render(view, service, with_tags=with_tags))
    return {"services": services, "failures": failures}


def list_services(view: View, call: Call) -> Answer:
    """ListServices. ACTIVE ones only, ten a page unless told otherwise."""
    cluster = cluster_of(view, call)
    is_ours = call.text("launchType", "EC2") == "EC2" and call.text("resourceManagementType") != "ECS"
    asked = call.text("schedulingStrategy")
    chosen = [
        service
        for service in view.services(cluster.name)
        if is_ours and service.status == "ACTIVE" and asked in ("", service.scheduling)
    ]
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


def _create_external(draft: Draft, call: Call, cluster: Cluster) -> Answer:
    """A service whose deployments are task sets that somebody else makes."""
    capacity.strategy_of(draft, call, cluster)
    if "desiredCount" not in call.body:
        raise InvalidParameterException("desiredCount is required for a REPLICA service.")
    service = Service(
        arn=call.arns.service(cluster.name, call.body["serviceName"]),
        name=call.body["serviceName"],
        cluster=cluster.name,
        task_definition="",
        controller=Controller.EXTERNAL,
        body={**call.body, "createdBy": call.account.user_arn},
        created_at=draft.now,
        **service_settings.read_external(call, None),
    )
    draft.put(service)
    return {"service": render(draft, service)}


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


def _is_new_revision(before: Service, after: Service, definition: TaskDefinition) -> bool:
    if definition.arn != before.task_definition:
        return True
    return any(before.body.get(member) != after.body.get(member) for member in _REVISION_MEMBERS)


def _same(service: Service, call: Call) -> Service:
    """The existing service, where the request is the one that made it."""
    if service.status == "DRAINING":
        raise InvalidParameterException("Unable to Start a service that is still Draining.")
    again = {member: value for member, value in call.body.items() if member not in ("cluster", "clientToken")}
    if {**service.body, **again} != service.body:
        raise InvalidParameterException("Creation of service was not idempotent.")
    return service


def _existing(draft: Draft, call: Call, cluster: Cluster) -> Service:
    service = draft.service(service_arn(call, cluster, call.body["service"]))
    if service is None or service.cluster != cluster.name:
        raise ServiceNotFoundException
    return service


_REVISION_MEMBERS = (
    "networkConfiguration",
    "platformVersion",
    "loadBalancers",
    "serviceRegistries",
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
)
"""Members whose change starts a deployment, besides the task definition. Source: API reference, UpdateService."""
_NOT_KEPT = ("cluster", "service", "forceNewDeployment", capacity.MEMBER)
