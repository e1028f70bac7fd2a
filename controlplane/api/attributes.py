"""Custom attributes of container instances: put, delete, list. Placement sees them like what an agent says of itself.

Source: API reference, `PutAttributes`, `DeleteAttributes`, `ListAttributes`, `Attribute`; ECS Developer Guide, "Service
quotas" (10 custom attributes). Error texts as AWS gives them where known, else in its style (assumed).
"""

import re
from collections.abc import Mapping

import msgspec

from controlplane.api.call import Answer, Call
from controlplane.api.clusters import cluster_of
from controlplane.api.container_instances import find
from controlplane.api.paging import page
from controlplane.core.model import Cluster, Instance
from controlplane.core.view import Draft, View
from wire.arn import parse
from wire.errors import AwsError, InvalidParameterException
from wire.status import InstanceStatus

CUSTOM_MAX = 10
"""Custom attributes of an instance, and attributes in one call."""
TARGET_TYPE = "container-instance"

_NAME = re.compile(r"[A-Za-z0-9_.\-/\\]{1,128}")
_VALUE = re.compile(r"(?! )[A-Za-z0-9_.\-@/\\: ]{1,128}(?<! )")
_RESERVED = ("ecs.", "com.amazonaws.ecs.", "berth.")
"""How the names begin of what an agent says of itself; other names are custom, whoever gave them."""

Attribute = Mapping[str, str]


def put_attributes(draft: Draft, call: Call) -> Answer:
    """PutAttributes: all of them or none."""
    cluster = cluster_of(draft, call)
    for attribute in _given(call):
        _check(attribute)
        instance = _target(draft, call, cluster, attribute)
        own = {member: attribute[member] for member in ("name", "value") if attribute.get(member)}
        changed = (*_without(instance, attribute["name"]), own)
        if sum(not known["name"].startswith(_RESERVED) for known in changed) > CUSTOM_MAX:
            raise AwsError(
                f"You can apply up to {CUSTOM_MAX} custom attributes for each resource.",
                code="AttributeLimitExceededException",
            )
        draft.put(msgspec.structs.replace(instance, attributes=changed))
    return {"attributes": call.body["attributes"]}


def delete_attributes(draft: Draft, call: Call) -> Answer:
    """DeleteAttributes: custom ones only; one that is not there is no error."""
    cluster = cluster_of(draft, call)
    for attribute in _given(call):
        instance = _target(draft, call, cluster, attribute)
        name = attribute["name"]
        if name.startswith(_RESERVED):
            raise InvalidParameterException(f"The attribute {name} is reserved by ECS and cannot be deleted.")
        if attribute.get("value") in (None, "", instance.attribute(name)) and instance.attribute(name) is not None:
            draft.put(msgspec.structs.replace(instance, attributes=_without(instance, name)))
    return {"attributes": call.body["attributes"]}


def list_attributes(view: View, call: Call) -> Answer:
    """ListAttributes: every attribute of every instance, the agents' own included."""
    cluster = cluster_of(view, call)
    name, value = call.text("attributeName"), call.text("attributeValue")
    if value and not name:
        raise InvalidParameterException("attributeName is required to filter by attributeValue.")
    found = [
        {**attribute, "targetId": instance.arn, "targetType": TARGET_TYPE}
        for instance in view.instances(cluster.name)
        if instance.status is not InstanceStatus.INACTIVE
        for attribute in instance.attributes
        if name in ("", attribute["name"]) and value in ("", attribute.get("value", ""))
    ]
    shown, more = page(found, call.body, key=lambda attribute: (attribute["targetId"], attribute["name"]))
    return {"attributes": shown, **more}


def _given(call: Call) -> list[dict[str, str]]:
    attributes: list[dict[str, str]] = call.body["attributes"]
    if not attributes:
        raise InvalidParameterException("attributes can not be empty")
    if len(attributes) > CUSTOM_MAX:
        raise InvalidParameterException(f"attributes cannot have more than {CUSTOM_MAX} elements.")
    return attributes


def _check(attribute: Attribute) -> None:
    if not _NAME.fullmatch(attribute["name"]):
        raise InvalidParameterException(
            "The attribute name should be 1 to 128 letters (uppercase and lowercase), numbers, hyphens, underscores, "
            "forward slashes, back slashes, or periods."
        )
    if attribute["name"].startswith(_RESERVED):
        raise InvalidParameterException(f"The attribute name {attribute['name']} is reserved by ECS.")
    if attribute.get("value") and not _VALUE.fullmatch(attribute["value"]):
        raise InvalidParameterException(
            "The attribute value should be 1 to 128 letters, numbers, hyphens, underscores, periods, at signs, "
            "slashes, colons, or spaces, with no space at either end."
        )


def _target(draft: Draft, call: Call, cluster: Cluster, attribute: Attribute) -> Instance:
    target = attribute.get("targetId", "")
    if not target:
        raise InvalidParameterException("targetId can not be empty")
    if parse(target) is None and not attribute.get("targetType"):
        raise InvalidParameterException("targetType is required where targetId is the short form of an ID.")
    instance = find(draft, call, cluster, target)
    if instance is None or instance.status is InstanceStatus.INACTIVE:
        raise AwsError(f"Could not find {target}", code="TargetNotFoundException")
    return instance


def _without(instance: Instance, name: str) -> tuple[dict[str, str], ...]:
    return tuple(known for known in instance.attributes if known["name"] != name)
