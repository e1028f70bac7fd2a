"""Tags of a resource, by its ARN: tag, untag, list. What tags must keep to stands in `tag_rules`.

Source: API reference, `TagResource`, `UntagResource`, `ListTagsForResource`; texts in AWS's style (assumed).
"""

import msgspec

from controlplane.api.call import Answer, Call
from controlplane.api.references import require_ours
from controlplane.api.tag_rules import TAGS_MAX, check_tags, is_reserved
from controlplane.core.capacity.model import CapacityProvider
from controlplane.core.model import Cluster, Instance, Service, Task, TaskDefinition
from controlplane.core.record import Record
from controlplane.core.tagging import merged
from controlplane.core.view import Draft, View
from wire.arn import Arn, parse
from wire.errors import AwsError, InvalidParameterException

KINDS: dict[str, type[Record]] = {
    "cluster": Cluster,
    "capacity-provider": CapacityProvider,
    "container-instance": Instance,
    "service": Service,
    "task": Task,
    "task-definition": TaskDefinition,
}
"""The record behind each kind of ARN whose resource takes tags; all but instances keep them in their `body`."""
_BY_NAME = (Cluster, CapacityProvider)
_GONE = ("INACTIVE", "STOPPED")


def tag_resource(draft: Draft, call: Call) -> Answer:
    """TagResource: a key that is there gets the new value."""
    record = _record(draft, call)
    new = call.body["tags"]
    if not new:
        raise InvalidParameterException("tags can not be empty")
    check_tags(new)
    tags = merged(tags_of(record), new)
    if sum(not is_reserved(tag["key"]) for tag in tags) > TAGS_MAX:
        raise AwsError(f"The limit of {TAGS_MAX} tags for a resource is exceeded.", code="LimitExceededException")
    _put(draft, record, tags)
    return {}


def untag_resource(draft: Draft, call: Call) -> Answer:
    """UntagResource: a key that is not there is no error."""
    record = _record(draft, call)
    keys = call.body["tagKeys"]
    if not keys:
        raise InvalidParameterException("tagKeys can not be empty")
    if any(map(is_reserved, keys)):
        raise InvalidParameterException("'aws:' prefixed tags are reserved for AWS and cannot be removed.")
    _put(draft, record, [tag for tag in tags_of(record) if tag["key"] not in keys])
    return {}


def list_tags_for_resource(view: View, call: Call) -> Answer:
    """ListTagsForResource. Its model has no ResourceNotFoundException."""
    try:
        return {"tags": tags_of(_record(view, call))}
    except AwsError as error:
        raise InvalidParameterException(error.message) from None


def tags_of(record: Record) -> list[dict[str, str]]:
    """Tags of any record that takes them."""
    if isinstance(record, Instance):
        return list(record.tags)
    return list(getattr(record, "body", {}).get("tags", ()))


def _record(view: View, call: Call) -> Record:
    arn = parse(call.body["resourceArn"])
    kind = KINDS.get(arn.kind) if arn is not None else None
    if arn is None or kind is None:
        raise InvalidParameterException("The ARN provided is invalid.")
    require_ours(call, arn)
    record = view.record(kind, arn.id if kind in _BY_NAME else str(arn))
    if record is None or _names_another(arn, record):
        raise AwsError("The specified resource was not found.", code="ResourceNotFoundException")
    if isinstance(view, Draft) and str(getattr(record, "status", "")) in _GONE:
        raise InvalidParameterException("The specified resource is inactive. Specify an active resource and try again.")
    return record


def _names_another(arn: Arn, record: Record) -> bool:
    return getattr(record, "arn", "") != str(arn)


def _put(draft: Draft, record: Record, tags: list[dict[str, str]]) -> None:
    if tags == tags_of(record):
        return
    if isinstance(record, Instance):
        draft.put(msgspec.structs.replace(record, tags=tuple(tags)))
    else:
        draft.put(msgspec.structs.replace(record, body={**getattr(record, "body", {}), "tags": tags}))
