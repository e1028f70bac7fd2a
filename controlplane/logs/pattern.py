"""Filter patterns of CloudWatch Logs, as far as they are words: all of them, any of the `?`, none of the `-`.

Source: CloudWatch Logs User Guide, "Filter pattern syntax" (unstructured log events). Case counts.
"""

import re
from collections.abc import Callable

_TERM = re.compile(r'([?-]?)(?:"([^"]*)"|(\S+))')


def matcher(pattern: str) -> Callable[[str], bool]:
    """What a message must say.

    Raises:
        ValueError: the pattern looks into JSON or columns, which is not served here.
    """
    if pattern.strip()[:1] in ("{", "[", "%"):
        raise ValueError("Filter patterns for JSON, columns and regular expressions are not served here.")
    terms: dict[str, list[str]] = {"": [], "?": [], "-": []}
    for sign, phrase, word in _TERM.findall(pattern):
        terms[sign].append(phrase or word)

    def matches(message: str) -> bool:
        if any(term in message for term in terms["-"]) or not all(term in message for term in terms[""]):
            return False
        return not terms["?"] or bool(terms[""]) or any(term in message for term in terms["?"])

    return matches
