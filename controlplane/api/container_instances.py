"""Container instances, as people see and steer them. How an agent makes itself one is in `agents/registration.py`.

Source: API reference, `ContainerInstance` and the operations' pages.
"""

from collections.abc import Iterable

from controlplane.api.call import Answer, Call
from controlplane.api.clusters import cluster_of
from controlplane.api.paging import page
from controlplane.api.references import instance_arn
from controlplane.core import instance_health
from controlplane.core.capacity.attachment import provider_of
from controlplane.core.instances import lose, set_status
from controlplane.core.model import Cluster, Instance
from controlplane.core.placement import query
from controlplane.core.placement.expression import Expression, ExpressionError, parse
from controlplane.core.view import Draft, View
from wire.errors import AwsError, ClientException, InvalidParameterException
from wire.resources import Room, to_resources
from wire.status import DesiredStatus, InstanceStatus, StopCode, TaskStatus

DESCRIBE_MAX = 100
UPDATE_MAX = 10
SETTABLE = (InstanceStatus.ACTIVE, InstanceStatus.DRAINING)


def describe_container_instances(view: View, call: Call) -> Answer:
    """DescribeContainerInstances. Unknown ones are failures with reason MISSING."""
    cluster = cluster_of(view, call)
    references = call.body["containerInstances"]
    if not references:
        raise ClientException("Container Instances cannot be empty.")
    if len(references) > DESCRIBE_MAX:
        raise InvalidParameterException(f"Container Instances cannot have more than {DESCRIBE_MAX} elements.")
    found, failures = _found(view, call, cluster, references)
    include = set(call.body.get("include", ()))
    return {"containerInstances": [render(view, instance, include) for instance in found], "failures": failures}


def list_container_instances(view: View, call: Call) -> Answer:
    """ListContainerInstances: all but INACTIVE ones, or those of one status; `filter` is the cluster query language."""
    cluster = cluster_of(view, call)
    status, expression = call.body.get("status"), _filter(call)
    chosen = [
        instance
        for instance in view.instances(cluster.name)
        if (instance.status == status if status else instance.status is not InstanceStatus.INACTIVE)
        and (expression is None or query.matches(expression, query.facts_of(view, instance)))
    ]
    shown, more = page(chosen, call.body, key=lambda instance: (instance.registered_at, instance.arn))
    return {"containerInstanceArns": [instance.arn for instance in shown], **more}


def _filter(call: Call) -> Expression | None:
    if not call.text("filter"):
        return None
    try:
        return parse(call.text("filter"))
    except ExpressionError as error:
        raise InvalidParameterException(str(error)) from None


def deregister_container_instance(draft: Draft, call: Call) -> Answer:
    """DeregisterContainerInstance. With `force` its tasks are lost to us; their containers run on."""
    cluster = cluster_of(draft, call)
    instance = find(draft, call, cluster, call.body["containerInstance"])
    if instance is None or instance.status is InstanceStatus.INACTIVE:
        raise InvalidParameterException("Referenced container instance not found.")
    tasks = [task for task in draft.tasks_on(instance.arn) if task.last_status is not TaskStatus.STOPPED]
    if tasks and not call.body.get("force", False):
        raise InvalidParameterException("Found running tasks on the instance.")
    gone = lose(
        draft,
        instance,
        InstanceStatus.INACTIVE,
        stop_code=StopCode.USER_INITIATED,
        reason="Container instance deregistration forced by user",
    )
    return {"containerInstance": render(draft, gone, set())}


def update_container_instances_state(draft: Draft, call: Call) -> Answer:
    """UpdateContainerInstancesState: ACTIVE or DRAINING. A DRAINING instance gets no new task."""
    cluster = cluster_of(draft, call)
    if call.body["status"] not in SETTABLE:
        raise InvalidParameterException(f"Container instance status should be one of [{', '.join(SETTABLE)}]")
    references = call.body["containerInstances"]
    if not 1 <= len(references) <= UPDATE_MAX:
        raise InvalidParameterException(f"Container Instances should have 1 to {UPDATE_MAX} elements.")
    found, failures = _found(draft, call, cluster, references)
    changed = []
    for instance in found:
        if instance.status is InstanceStatus.INACTIVE:
            failures.append({"arn": instance.arn, "reason": "INACTIVE"})
        else:
            changed.append(set_status(draft, instance, InstanceStatus(call.body["status"])))
    return {"containerInstances": [render(draft, instance, set()) for instance in changed], "failures": failures}


def update_container_agent(draft: Draft, call: Call) -> Answer:
    """UpdateContainerAgent: refused in AWS's way. Whoever started an agent renews it; there is no ecs-init here."""
    cluster = cluster_of(draft, call)
    instance = find(draft, call, cluster, call.body["containerInstance"])
    if instance is None or instance.status is InstanceStatus.INACTIVE:
        raise InvalidParameterException("Referenced container instance not found.")
    if not instance.agent_version:
        raise AwsError(
            "The current version of the container agent is not known: it has not connected yet.",
            code="MissingVersionException",
        )
    raise AwsError(
        "There is no update available for your container agent: it is updated where it was installed, on its host.",
        code="NoUpdateAvailableException",
    )


def find(view: View, call: Call, cluster: Cluster, reference: str) -> Instance | None:
    """An instance of the cluster by id or ARN."""
    instance = view.instance(instance_arn(call, cluster, reference))
    return instance if instance is not None and instance.cluster == cluster.name else None


def _found(
    view: View, call: Call, cluster: Cluster, references: Iterable[str]
) -> tuple[list[Instance], list[dict[str, str]]]:
    found, failures = [], []
    for reference in references:
        instance = find(view, call, cluster, reference)
        if instance is None:
            failures.append({"arn": instance_arn(call, cluster, reference), "reason": "MISSING"})
        else:
            found.append(instance)
    return found, failures


def render(view: View, instance: Instance, include: set[str], *, free: Room | None = None) -> Answer:
    """An instance in Amazon's shape. `remainingResources` is what the placement ledger has left, or `free`."""
    free = view.free(instance.arn) if free is None else free
    wanted = [task for task in view.tasks_on(instance.arn) if task.desired_status is DesiredStatus.RUNNING]
    registered = instance.registered
    version = {"agentVersion": instance.agent_version, "dockerVersion": instance.docker_version}
    shape: Answer = {
        "containerInstanceArn": instance.arn,
        "version": view.version_of(instance),
        "versionInfo": {member: text for member, text in version.items() if text},
        "remainingResources": to_resources(
            free.cpu, free.memory_mib, free.ports_taken, free.ports_udp_taken, free.gpu_ids if registered.gpus else None
        ),
        "registeredResources": to_resources(
            registered.cpu, registered.memory_mib, registered.ports, registered.ports_udp, registered.gpu_ids or None
        ),
        "status": instance.status,
        "agentConnected": instance.agent_connected,
        "runningTasksCount": sum(task.last_status is TaskStatus.RUNNING for task in wanted),
        "pendingTasksCount": sum(task.last_status.is_starting for task in wanted),
        "attributes": list(instance.attributes),
        "registeredAt": instance.registered_at,
        "attachments": [],
        "tags": list(instance.tags) if "TAGS" in include else [],
    }
    provider = provider_of(view, instance)
    if provider is not None:
        shape["capacityProviderName"] = provider
    if instance.ec2_instance_id:
        shape["ec2InstanceId"] = instance.ec2_instance_id
    if "CONTAINER_INSTANCE_HEALTH" in include:
        details = [_check(check) for check in instance_health.checks(instance)]
        shape["healthStatus"] = {"overallStatus": instance_health.overall(instance), "details": details}
    return shape


def _check(check: instance_health.Check) -> Answer:
    maybe = {
        "statusReason": check.reason or None,
        "lastUpdated": check.updated_at,
        "lastStatusChange": check.changed_at,
    }
    known = {member: value for member, value in maybe.items() if value is not None}
    return {"type": check.type, "status": check.status, **known}
