"""Pages of a list. A token holds the key of the last item that was given out, so it stays valid while things change.

Items that come or go between two pages neither shift the rest nor repeat it. Source: API reference, `nextToken`.
"""

import base64
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from wire.errors import InvalidParameterException

T = TypeVar("T")

PAGE_SIZE_MAX = 100
Key = tuple[str | int | float, ...]


def page(
    items: Iterable[T],
    request: dict[str, Any],
    *,
    key: Callable[[T], Key],
    size: int = PAGE_SIZE_MAX,
    descending: bool = False,
) -> tuple[list[T], dict[str, str]]:
    """The page that `maxResults` and `nextToken` ask for, and `{"nextToken": ...}` where there is more.

    Raises:
        InvalidParameterException: the token is none of ours, or the page size is out of range.
    """
    limit = request.get("maxResults", size)
    if not 1 <= limit <= PAGE_SIZE_MAX:
        raise InvalidParameterException(f"maxResults should be between 1 and {PAGE_SIZE_MAX}.")
    ordered = sorted(items, key=key, reverse=descending)
    if request.get("nextToken"):
        last = _read_token(request["nextToken"])
        try:
            ordered = [item for item in ordered if (key(item) < last if descending else key(item) > last)]
        except TypeError:
            raise _bad_token() from None
    shown = ordered[:limit]
    return shown, {"nextToken": _token(key(shown[-1]))} if len(ordered) > limit else {}


def _token(key: Key) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode()


def _read_token(token: str) -> Key:
    try:
        return tuple(msgspec.json.decode(base64.urlsafe_b64decode(token.encode()), type=list[str | int | float]))
    except (ValueError, msgspec.MsgspecError):
        raise _bad_token() from None


def _bad_token() -> InvalidParameterException:
    return InvalidParameterException("Invalid token.")
