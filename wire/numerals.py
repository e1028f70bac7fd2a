"""Whole numbers in texts from outside: revisions, page tokens, counts. What is longer than any of ours is no number."""

import re

_WHOLE = re.compile(r"[0-9]{1,18}")
"""Fits into 63 bits, so every store takes it."""


def whole(text: str) -> int | None:
    """The number that `text` is, in ASCII digits; None where it is none."""
    return int(text) if _WHOLE.fullmatch(text) else None
