"""ExplainPlacement, ours: where the next copy of a task definition, task or service would go, and why not elsewhere.

It changes nothing. What RunTask was given at run time only (strategy, constraints) is not kept with a task.
"""

import msgspec

from controlplane.api import task_definitions
from controlplane.api.call import Answer, Call
from controlplane.api.clusters import cluster_of
from controlplane.core.model import Cluster, TaskDefinition
from controlplane.core.placement.request import Request, caution_of, demand_of, service_request
from controlplane.core.placement.verdict import explain_placement
from controlplane.core.view import View
from wire.errors import ClientException, InvalidParameterException

INSTANCES_MAX = 1000
"""Verdicts in one answer; the sentence counts all."""


def explain(view: View, call: Call) -> Answer:
    """The verdict on every instance for `subject` (an ARN, an id or a name) in `cluster`."""
    cluster = cluster_of(view, call)
    subject = str(call.text("subject"))
    if not subject:
        raise InvalidParameterException("subject should be a task definition, a task or a service.")
    request = _of_service(view, call, cluster, subject) or _of_task(view, call, cluster, subject)
    if request is None:
        definition = task_definitions.find(view, call, subject)
        if definition is None:
            raise ClientException(f"Cluster {cluster.name} knows no service, task or task definition '{subject}'.")
        request = _of_definition(cluster, definition)
    explanation = explain_placement(view, request)
    return {
        "subject": subject,
        "cluster": cluster.name,
        "group": request.group,
        "sentence": explanation.sentence,
        "instances": msgspec.to_builtins(explanation.verdicts[:INSTANCES_MAX]),
    }


def _of_service(view: View, call: Call, cluster: Cluster, subject: str) -> Request | None:
    service = view.service(subject) or view.service(call.arns.service(cluster.name, subject))
    if service is None or service.status == "INACTIVE" or not service.deployments:
        return None
    definition = view.task_definition(service.deployments[0].task_definition)
    assert definition is not None
    return service_request(service, definition, 1, caution_of(cluster.policy))


def _of_task(view: View, call: Call, cluster: Cluster, subject: str) -> Request | None:
    task = view.task(subject) or view.task(call.arns.task(cluster.name, subject))
    if task is None:
        return None
    request = _of_service(view, call, cluster, task.service) if task.service else None
    definition = view.task_definition(task.task_definition)
    if request is None and definition is not None:
        request = _of_definition(cluster, definition)
    if request is None:
        return None
    return msgspec.structs.replace(request, group=task.group, amounts=task.amounts)


def _of_definition(cluster: Cluster, definition: TaskDefinition) -> Request:
    demand = demand_of(definition)
    return Request(
        cluster=cluster.name,
        group=demand.group,
        amounts=definition.amounts,
        constraints=demand.constraints,
        required=demand.required,
        caution=caution_of(cluster.policy),
    )
