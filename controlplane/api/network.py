"""`networkConfiguration`, and how the network of an `awsvpc` task is shown.

There is no VPC: the agent gives each such task an address on a Docker network of its host. Subnets and groups are
kept and given back, nothing is looked up in them. Source: API reference, `AwsVpcConfiguration`, `Attachment`; error
texts as AWS gives them.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from uuid import UUID

from controlplane.core.model import Service, Task
from controlplane.core.rollouts import ServiceRevision
from controlplane.core.view import View
from wire.errors import InvalidParameterException
from wire.status import TaskStatus

SUBNETS_MAX = 16
"""Source: API reference, `AwsVpcConfiguration` (subnets)."""
SECURITY_GROUPS_MAX = 5


def check(definition: Mapping[str, Any], configuration: Mapping[str, Any] | None) -> None:
    """Hold `networkConfiguration` against a task definition's network mode.

    Raises:
        InvalidParameterException: AWS's sentence.
    """
    if definition.get("networkMode") != "awsvpc":
        if configuration:
            raise InvalidParameterException(
                "Network Configuration is not valid for the given networkMode of this task definition."
            )
        return
    vpc = (configuration or {}).get("awsvpcConfiguration")
    if vpc is None:
        raise InvalidParameterException(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified."
        )
    if not vpc.get("subnets"):
        raise InvalidParameterException("subnets can not be empty.")
    if len(vpc["subnets"]) > SUBNETS_MAX:
        raise InvalidParameterException(f"subnets should have at most {SUBNETS_MAX} elements.")
    if len(vpc.get("securityGroups", ())) > SECURITY_GROUPS_MAX:
        raise InvalidParameterException(f"securityGroups should have at most {SECURITY_GROUPS_MAX} elements.")
    if vpc.get("assignPublicIp") == "ENABLED":
        raise InvalidParameterException("Assign public IP is not supported for this launch type.")


def attachments(task: Task, configuration: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """`attachments` of a task: one network interface where it has a network of its own, as `configuration_of` says."""
    if configuration is None:
        return []
    identity = _identity(task)
    details = {
        "subnetId": next(iter(configuration.get("subnets", ())), ""),
        "networkInterfaceId": f"eni-{identity.hex[:17]}" if task.address else "",
        "macAddress": task.mac_address,
        "privateDnsName": f"ip-{task.address.replace('.', '-')}.ec2.internal" if task.address else "",
        "privateIPv4Address": task.address,
    }
    return [
        {
            "id": str(identity),
            "type": "ElasticNetworkInterface",
            "status": _status(task),
            "details": [{"name": name, "value": value} for name, value in details.items() if value],
        }
    ]


def interfaces(task: Task) -> list[dict[str, Any]]:
    """`networkInterfaces` of every container of the task: the task's own."""
    if not task.address:
        return []
    return [{"attachmentId": str(_identity(task)), "privateIpv4Address": task.address}]


def configuration_of(view: View, task: Task) -> dict[str, Any] | None:
    """`awsvpcConfiguration` of a task with a network of its own; None for any other."""
    if task.service is None and not task.body.get("networkConfiguration"):
        return None  # without one, `check` lets no such task be
    definition = view.task_definition(task.task_definition)
    if definition is None or definition.body.get("networkMode") != "awsvpc":
        return None
    service = view.service(task.service) if task.service else None
    for body in (task.body, _body_of_deployment(view, service, task), service.body if service is not None else {}):
        if body.get("networkConfiguration"):
            vpc: dict[str, Any] = body["networkConfiguration"].get("awsvpcConfiguration", {})
            return vpc
    return {}


def _body_of_deployment(view: View, service: Service | None, task: Task) -> dict[str, Any]:
    """A task set has a network of its own, and a revision keeps the one that it was made with."""
    own = (d for d in (service.deployments if service is not None else ()) if d.id == task.deployment)
    deployment = next(own, None)
    if deployment is None:
        return {}
    if deployment.task_set is not None:
        return deployment.task_set.body
    revision = view.record(ServiceRevision, deployment.revision)
    return revision.body if revision is not None else {}


def _status(task: Task) -> str:
    if task.last_status is TaskStatus.STOPPED:
        return "DELETED"
    return "ATTACHED" if task.address else "PRECREATED"


def _identity(task: Task) -> UUID:
    """The attachment's id: it follows from the task's ARN, so nobody has to keep it."""
    return UUID(bytes=sha256(f"{task.arn} attachment".encode()).digest()[:16], version=4)
