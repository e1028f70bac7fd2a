"""Tags of a resource, by its ARN. Source: API reference, `ListTagsForResource`."""

from controlplane.api.call import Answer, Call
from controlplane.core.model import Cluster, Service, Task, TaskDefinition
from controlplane.core.view import View
from wire.errors import InvalidParameterException


def list_tags_for_resource(view: View, call: Call) -> Answer:
    """ListTagsForResource: of a task, a service, a task definition, a container instance or a cluster."""
    arn = call.body["resourceArn"]
    instance = view.instance(arn)
    if instance is not None:
        return {"tags": list(instance.tags)}
    record: Task | Service | TaskDefinition | Cluster | None = (
        view.task(arn)
        or view.service(arn)
        or view.task_definition(arn)
        or next((cluster for cluster in view.records(Cluster) if cluster.arn == arn), None)
    )
    if record is None:
        raise InvalidParameterException("The specified resource was not found.")
    return {"tags": record.body.get("tags", [])}
