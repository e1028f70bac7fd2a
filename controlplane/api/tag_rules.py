"""What tags must keep to, whatever carries them; their lengths and characters the model has already checked.

Source: API reference, `Tag`, `TagResource`. The texts are in AWS's style (assumed).
"""

from collections.abc import Iterable, Mapping

from wire.errors import InvalidParameterException

TAGS_MAX = 50
"""For a resource; those that ECS itself gives do not count. Source: ECS Developer Guide, "Tagging restrictions"."""
RESERVED = "aws:"

Tags = Iterable[Mapping[str, str]]


def check_tags(tags: Tags) -> None:
    """Refuse tags that nobody may give.

    Raises:
        InvalidParameterException: one sentence.
    """
    keys = [tag.get("key", "") for tag in tags]
    for key in keys:
        if not key:
            raise InvalidParameterException("Tag key cannot be null or empty.")
        if keys.count(key) > 1:
            raise InvalidParameterException(f"Duplicate tag keys found: '{key}'. Tag keys must be unique.")
    for tag in tags:
        if is_reserved(tag["key"]) or tag.get("value", "").lower().startswith(RESERVED):
            raise InvalidParameterException(
                "'aws:' prefixed tag key names and values are reserved for AWS and not allowed for external use."
            )


def is_reserved(key: str) -> bool:
    """Whether only ECS itself gives such tags."""
    return key.lower().startswith(RESERVED)
