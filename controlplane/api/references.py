"""How requests name tasks and container instances: by id, by ARN, or by an ARN without its cluster, as it once was.

Source: ECS Developer Guide, "Account settings" (long and short ARN format).
"""

from controlplane.api.call import Call
from controlplane.core.model import Cluster
from wire.arn import parse
from wire.errors import InvalidParameterException

_NOUNS = {"task": "task", "container-instance": "container instance"}


def task_arn(call: Call, cluster: Cluster, reference: str) -> str:
    """The ARN of the task that is meant."""
    return _whole("task", cluster, reference) or call.arns.task(cluster.name, reference)


def instance_arn(call: Call, cluster: Cluster, reference: str) -> str:
    """The ARN of the container instance that is meant."""
    return _whole("container-instance", cluster, reference) or call.arns.container_instance(cluster.name, reference)


def _whole(kind: str, cluster: Cluster, reference: str) -> str | None:
    arn = parse(reference)
    if arn is None:
        return None
    if arn.kind != kind:
        raise InvalidParameterException(f"Invalid identifier: {reference} is not the ARN of a {_NOUNS[kind]}.")
    return str(arn if len(arn.path) > 1 else arn._replace(path=(cluster.name, *arn.path)))
