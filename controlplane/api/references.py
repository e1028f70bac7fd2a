"""How requests name things: by a short name or id, by an ARN, or by an ARN without its cluster, as it once was.

An ARN is one of this region, this account, the right kind, and of the cluster that the request is about; any other is
refused in AWS's words, never read as something of the same name here. Sources of the texts: aws/amazon-ecs-cli#821
(region), aws-actions/amazon-ecs-deploy-task-definition#261 (account), aws/aws-toolkit-vscode#2915 (cluster); that each
noun has the same texts is assumed.
"""

from controlplane.api.call import Call
from controlplane.core.model import Cluster
from wire.arn import Arn, parse
from wire.errors import InvalidParameterException

_NOUNS = {
    "capacity-provider": "capacity provider",
    "container-instance": "container instance",
    "service-deployment": "service deployment",
    "service-revision": "service revision",
    "task-definition": "task definition",
    "task-set": "task set",
}


def ours(call: Call, reference: str) -> Arn | None:
    """The ARN that `reference` is, of whatever kind; None where it is none.

    Raises:
        InvalidParameterException: of another region or account.
    """
    arn = parse(reference)
    if arn is not None:
        require_ours(call, arn)
    return arn


def require_ours(call: Call, arn: Arn) -> None:
    """Refuse an ARN of another region or account.

    Raises:
        InvalidParameterException: AWS's sentence.
    """
    if arn.region != call.arns.region:
        raise InvalidParameterException("Invalid Region in ARN")
    if arn.account != call.arns.account:
        raise InvalidParameterException(
            f"Invalid identifier: Identifier is for {arn.account}. Your accountId is {call.arns.account}"
        )


def path_of(call: Call, kind: str, reference: str, cluster: Cluster | None = None) -> tuple[str, ...] | None:
    """The path of an ARN of this kind, without its cluster where a `cluster` is given; None for a short name.

    Raises:
        InvalidParameterException: an ARN of something else, or of somewhere else.
    """
    arn = ours(call, reference)
    if arn is None:
        return None
    if arn.kind != kind:
        noun = _NOUNS.get(kind, kind)
        raise InvalidParameterException(f"Invalid identifier: {reference} is not the ARN of a {noun}.")
    if cluster is None or len(arn.path) == 1:
        return arn.path
    if arn.path[0] != cluster.name:
        raise InvalidParameterException(
            f"Invalid identifier: Identifier is for cluster {arn.path[0]}. Your cluster is {cluster.name}"
        )
    return arn.path[1:]


def short_name(call: Call, kind: str, reference: str, cluster: Cluster | None = None) -> str:
    """The name or id that is meant: the end of an ARN, else the reference itself. Raises as `path_of`."""
    path = path_of(call, kind, reference, cluster) if reference.startswith("arn:") else None
    return path[-1] if path is not None else reference


def task_arn(call: Call, cluster: Cluster, reference: str) -> str:
    """The ARN of the task that is meant. Raises as `path_of`."""
    return call.arns.task(cluster.name, short_name(call, "task", reference, cluster))


def instance_arn(call: Call, cluster: Cluster, reference: str) -> str:
    """The ARN of the container instance that is meant. Raises as `path_of`."""
    return call.arns.container_instance(cluster.name, short_name(call, "container-instance", reference, cluster))


def service_arn(call: Call, cluster: Cluster, reference: str) -> str:
    """The ARN of the service that is meant. Raises as `path_of`."""
    return call.arns.service(cluster.name, short_name(call, "service", reference, cluster))
