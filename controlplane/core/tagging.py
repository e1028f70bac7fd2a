"""Which tags a new task gets: its own, propagated ones below them, and those that ECS manages.

Source: API reference, `propagateTags` and `enableECSManagedTags` of RunTask and CreateService; ECS Developer Guide,
"Tagging Amazon ECS resources". That a task's own tags win over propagated ones is assumed.
"""

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from controlplane.core.model import Service, TaskDefinition

Tag = Mapping[str, str]

_OF_REQUEST = frozenset({"tags", "propagateTags", "enableECSManagedTags"})


def merged(*layers: Iterable[Tag]) -> list[dict[str, str]]:
    """Tags laid over each other, the later ones on top."""
    return list({tag["key"]: dict(tag) for tag in chain(*layers)}.values())


def of_task(request: Mapping[str, Any], definition: TaskDefinition, cluster: str) -> list[dict[str, str]]:
    """Tags of a task that a RunTask or StartTask `request` starts in a cluster (name)."""
    if _OF_REQUEST.isdisjoint(request):
        return []
    propagated = definition.body.get("tags", ()) if request.get("propagateTags") == "TASK_DEFINITION" else ()
    return merged(propagated, request.get("tags", ()), _managed(request, cluster, None))


def of_service_task(service: Service, definition: TaskDefinition) -> list[dict[str, str]]:
    """Tags of a task that a service starts."""
    sources = {"TASK_DEFINITION": definition.body, "SERVICE": service.body}
    propagated = sources.get(service.body.get("propagateTags", "NONE"), {}).get("tags", ())
    own = [tag for tag in propagated if not tag["key"].lower().startswith("aws:")]
    return merged(own, _managed(service.body, service.cluster, service.name))


def _managed(body: Mapping[str, Any], cluster: str, service: str | None) -> list[dict[str, str]]:
    if not body.get("enableECSManagedTags", False):
        return []
    values = {"aws:ecs:clusterName": cluster, "aws:ecs:serviceName": service}
    return [{"key": key, "value": value} for key, value in values.items() if value is not None]
