"""Task definitions: register, describe, list, deregister, delete. A revision never changes and is never given twice.

Source: API reference, `RegisterTaskDefinition`, `TaskDefinition`; error texts as AWS gives them where they are known.
"""

from typing import Any

import msgspec

from controlplane.api.call import Answer, Call
from controlplane.api.clusters import NAME
from controlplane.api.definition_checks import check_rest
from controlplane.api.paging import page
from controlplane.api.references import short_name
from controlplane.api.tag_rules import check_tags
from controlplane.core import capabilities
from controlplane.core.cost import cpu_units, mebibytes, task_amounts
from controlplane.core.model import Family, TaskDefinition
from controlplane.core.view import Draft, View
from wire.errors import ClientException, InvalidParameterException
from wire.numerals import whole
from wire.resources import PORT_MAX

CONTAINER_MEMORY_MIB_MIN = 6
"""Docker Engine 20.10's floor. Source: API reference, `ContainerDefinition.memory`."""
CONTAINERS_MAX = 10
"""Source: ECS Developer Guide, "Service quotas" (containers per task definition)."""

DELETE_MAX = 10
DEFINITION_BYTES_MAX = 64 * 1024
"""Source: ECS Developer Guide, "Service quotas" (task definition size)."""


def register_task_definition(draft: Draft, call: Call) -> Answer:
    """RegisterTaskDefinition: always a new revision, ACTIVE at once."""
    body = dict(call.body)
    tags = body.pop("tags", [])
    check_tags(tags)
    check(body)
    revision = _newest(draft, body["family"]) + 1
    definition = TaskDefinition(
        arn=call.arns.task_definition(body["family"], revision),
        family=body["family"],
        revision=revision,
        amounts=task_amounts(body),
        body={
            **_with_defaults(body),
            "requiresAttributes": capabilities.required(body),
            "registeredBy": call.account.user_arn,
            "tags": tags,
        },
        registered_at=call.now,
    )
    draft.put(definition)
    return {"taskDefinition": render(definition), "tags": tags}


def describe_task_definition(view: View, call: Call) -> Answer:
    """DescribeTaskDefinition: any revision; a bare family is its latest ACTIVE one."""
    definition = find(view, call, call.text("taskDefinition"))
    if definition is None:
        raise ClientException("Unable to describe task definition.")
    tags = definition.body.get("tags", []) if "TAGS" in call.body.get("include", ()) else []
    return {"taskDefinition": render(definition), "tags": tags}


def deregister_task_definition(draft: Draft, call: Call) -> Answer:
    """DeregisterTaskDefinition: INACTIVE. What runs it goes on, nothing new may use it."""
    reference = _named(call, call.text("taskDefinition"))
    if ":" not in reference:
        raise ClientException("Revision is missing.")
    definition = find(draft, call, call.text("taskDefinition"))
    if definition is None:
        raise ClientException("Unable to describe task definition.")
    if definition.status == "ACTIVE":
        definition = msgspec.structs.replace(definition, status="INACTIVE", deregistered_at=call.now)
        draft.put(definition)
    return {"taskDefinition": render(definition)}


def delete_task_definitions(draft: Draft, call: Call) -> Answer:
    """DeleteTaskDefinitions: INACTIVE ones go DELETE_IN_PROGRESS, and are gone once nothing refers to them."""
    references = call.body["taskDefinitions"]
    if not references:
        raise InvalidParameterException("size of TaskDefinition references list must be greater than 0")
    if len(references) > DELETE_MAX:
        raise InvalidParameterException(f"Size of TaskDefinition references list cannot exceed {DELETE_MAX}")
    deleted, failures = [], []
    for reference in references:
        definition, reason = _deletable(draft, call, reference)
        if definition is None or reason:
            failures.append({"arn": definition.arn if definition else reference, "reason": reason})
            continue
        if definition.status == "INACTIVE":
            definition = msgspec.structs.replace(definition, status="DELETE_IN_PROGRESS", delete_requested_at=call.now)
            draft.put(definition)
        deleted.append(render(definition))
    return {"taskDefinitions": deleted, "failures": failures}


def list_task_definitions(view: View, call: Call) -> Answer:
    """ListTaskDefinitions. `familyPrefix` is a whole family name; status ACTIVE unless said otherwise."""
    family, status = call.text("familyPrefix"), call.text("status", "ACTIVE")
    chosen = [
        definition
        for definition in view.records(TaskDefinition)
        if definition.status == status and family in ("", definition.family)
    ]
    shown, more = page(
        chosen,
        call.body,
        key=lambda definition: (definition.family, definition.revision),
        descending=call.text("sort", "ASC") == "DESC",
    )
    return {"taskDefinitionArns": [definition.arn for definition in shown], **more}


def list_task_definition_families(view: View, call: Call) -> Answer:
    """ListTaskDefinitionFamilies. A family is ACTIVE as long as one of its revisions is."""
    statuses: dict[str, set[str]] = {}
    for definition in view.records(TaskDefinition):
        if definition.family.startswith(call.text("familyPrefix")):
            statuses.setdefault(definition.family, set()).add(definition.status)
    wanted = call.text("status", "ALL")
    chosen = [
        family for family, seen in statuses.items() if wanted == "ALL" or ("ACTIVE" in seen) == (wanted == "ACTIVE")
    ]
    shown, more = page(chosen, call.body, key=lambda family: (family,))
    return {"families": shown, **more}


def _deletable(draft: Draft, call: Call, reference: str) -> tuple[TaskDefinition | None, str]:
    """The task definition that a reference names, and AWS's reason why it is not deleted; "" where it is."""
    family, _, number = _named(call, reference).partition(":")
    if not NAME.fullmatch(family) or whole(number) is None:
        return None, ("The specified task definition identifier is invalid. Specify a valid name or ARN and try again.")
    definition = find(draft, call, reference)
    if definition is None:
        return None, (
            "The specified task definition does not exist. Specify a valid account, family, revision and try again."
        )
    if definition.status == "ACTIVE":
        return definition, (
            "The specified task definition is still in ACTIVE status. Please deregister the target and try again."
        )
    return definition, ""


def find(view: View, call: Call, reference: str) -> TaskDefinition | None:
    """A task definition by ARN, `family:revision`, or family (its latest ACTIVE revision).

    Raises:
        InvalidParameterException: the revision is no number.
    """
    family, colon, number = _named(call, reference).partition(":")
    if not colon:
        return view.active_task_definition(family)
    revision = whole(number)
    if revision is None:
        raise InvalidParameterException(f"Invalid revision number. Number: {number[:100]}")
    return view.task_definition(call.arns.task_definition(family, revision))


def _named(call: Call, reference: str) -> str:
    return short_name(call, "task-definition", reference)


def find_active(draft: Draft, call: Call, reference: str) -> TaskDefinition:
    """The task definition that something new is to use; it must still be ACTIVE at the commit.

    Raises:
        ClientException: it is not there; or it is INACTIVE, for a service.
        InvalidParameterException: it is INACTIVE, for RunTask and StartTask (as reported from the field).
    """
    definition = find(draft, call, reference)
    if definition is None:
        raise ClientException("TaskDefinition not found.")
    if definition.status != "ACTIVE":
        refused = InvalidParameterException if call.operation in ("RunTask", "StartTask") else ClientException
        raise refused("TaskDefinition is inactive")
    draft.expect(definition)
    return definition


def check(body: dict[str, Any]) -> None:
    """Refuse what AWS or Docker would refuse, before anything is registered.

    Raises:
        ClientException: one sentence.
    """
    if not NAME.fullmatch(body["family"]):
        raise ClientException(
            "Family should be 1 to 255 letters (uppercase and lowercase), numbers, hyphens, and underscores."
        )
    containers = body["containerDefinitions"]
    if not 1 <= len(containers) <= CONTAINERS_MAX:
        raise ClientException(f"A task definition has 1 to {CONTAINERS_MAX} container definitions.")
    for container in containers:
        _check_container(container, body)
    names = [container["name"] for container in containers]
    for name in names:
        if names.count(name) > 1:
            raise ClientException(f"Container names must be unique: {name!r} is used {names.count(name)} times.")
    if not any(container.get("essential", True) for container in containers):
        raise ClientException("A task definition must have at least one essential container.")
    _check_sizes(containers, body)
    check_rest(body)
    length = len(msgspec.json.encode(body))
    if length > DEFINITION_BYTES_MAX:
        raise ClientException(f"Actual length: '{length}'. Max allowed length is '{DEFINITION_BYTES_MAX}' bytes.")


def _check_container(container: dict[str, Any], body: dict[str, Any]) -> None:
    for member in ("name", "image"):
        if not container.get(member):
            raise ClientException(f"Container.{member} should not be null or empty.")
    name = container["name"]
    if not NAME.fullmatch(name):
        raise ClientException(
            f"Invalid container name {name!r}: 1 to 255 letters (uppercase and lowercase), numbers, hyphens, and "
            "underscores are allowed."
        )
    if not (container.get("memory") or container.get("memoryReservation") or body.get("memory")):
        raise ClientException(
            f"Invalid setting for container '{name}'. "
            "At least one of 'memory' or 'memoryReservation' must be specified."
        )
    for member in ("cpu", "memory", "memoryReservation", "stopTimeout", "startTimeout"):
        if container.get(member, 0) < 0:
            raise ClientException(f"Invalid setting for container '{name}'. '{member}' must not be negative.")
    memory, reservation = container.get("memory", 0), container.get("memoryReservation", 0)
    if 0 < memory < CONTAINER_MEMORY_MIB_MIN:
        raise ClientException(
            f"Invalid setting for container '{name}'. 'memory' must be at least {CONTAINER_MEMORY_MIB_MIN} MiB."
        )
    if memory and reservation > memory:
        raise ClientException(f"Invalid setting for container '{name}'. 'memory' must cover 'memoryReservation'.")
    _check_ports(container, name)


def _check_ports(container: dict[str, Any], name: str) -> None:
    for mapping in container.get("portMappings", ()):
        if "containerPort" not in mapping and "containerPortRange" not in mapping:
            raise ClientException(f"Invalid setting for container '{name}'. A port mapping needs a 'containerPort'.")
        for member in ("containerPort", "hostPort"):
            if not 0 <= mapping.get(member, 0) <= PORT_MAX:
                raise ClientException(
                    f"Invalid setting for container '{name}'. '{member}' must be between 0 and {PORT_MAX}."
                )


def _check_sizes(containers: list[dict[str, Any]], body: dict[str, Any]) -> None:
    try:
        cpu = cpu_units(body["cpu"]) if body.get("cpu") else None
        limit = mebibytes(body["memory"]) if body.get("memory") else None
    except ValueError as error:
        raise ClientException(str(error)) from None
    if (cpu is not None and cpu <= 0) or (limit is not None and limit <= 0):
        raise ClientException("Invalid setting for task: cpu and memory must be more than 0.")
    if limit is None:
        return
    for container in containers:
        if max(container.get("memory", 0), container.get("memoryReservation", 0)) > limit:
            raise ClientException(
                f"Invalid setting for container '{container['name']}'. The task's memory is {limit} MiB, less than the "
                "container's."
            )


def _with_defaults(body: dict[str, Any]) -> dict[str, Any]:
    """The registration with the members that AWS fills in."""
    mode = body.get("networkMode") or "bridge"
    containers = []
    for container in body["containerDefinitions"]:
        mappings = [
            {**mapping, "hostPort": _host_port(mapping, mode), "protocol": mapping.get("protocol", "tcp")}
            if "containerPort" in mapping
            else mapping
            for mapping in container.get("portMappings", ())
        ]
        containers.append({**_CONTAINER_DEFAULTS, **container, "portMappings": mappings})
    return {"volumes": [], "placementConstraints": [], **body, "containerDefinitions": containers}


def _host_port(mapping: dict[str, Any], mode: str) -> int:
    """0 is for Docker to choose; on the host's or its own network a container has no other port than its own."""
    return int(mapping.get("hostPort") or (mapping["containerPort"] if mode in ("host", "awsvpc") else 0))


def _newest(view: View, family: str) -> int:
    """The highest revision that was ever given in a family; 0: none."""
    gone = view.record(Family, family)
    return max(gone.newest_revision if gone else 0, *(known.revision for known in view.task_definitions_of(family)), 0)


def render(definition: TaskDefinition) -> Answer:
    """A task definition in Amazon's shape, every member of the registration given back."""
    shape = {
        **{member: value for member, value in definition.body.items() if member != "tags"},
        "taskDefinitionArn": definition.arn,
        "revision": definition.revision,
        "status": definition.status,
        "compatibilities": _compatibilities(definition.body),
        "registeredAt": definition.registered_at,
    }
    if definition.deregistered_at is not None:
        shape["deregisteredAt"] = definition.deregistered_at
    if definition.delete_requested_at is not None:
        shape["deleteRequestedAt"] = definition.delete_requested_at
    return shape


def _compatibilities(body: dict[str, Any]) -> list[str]:
    """Launch types that could run it. Source: ECS Developer Guide, "Amazon ECS task definition differences"."""
    is_awsvpc = body.get("networkMode") == "awsvpc"
    is_sized = bool(body.get("cpu") and body.get("memory"))
    return ["EC2", *(["FARGATE"] if is_awsvpc and is_sized else []), *([] if is_awsvpc else ["EXTERNAL"])]


_CONTAINER_DEFAULTS: dict[str, Any] = {
    "cpu": 0,
    "essential": True,
    "environment": [],
    "mountPoints": [],
    "volumesFrom": [],
    "systemControls": [],
}
