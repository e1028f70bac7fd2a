"""An index: the keys of records under what they have in common, in the order of their coming."""

from collections.abc import Hashable


class Index:
    """Keys by anything hashable; what has no keys any more takes no room."""

    def __init__(self) -> None:
        self._keys: dict[Hashable, dict[str, None]] = {}

    def under(self, common: Hashable) -> dict[str, None]:
        """The keys under `common`, oldest first; not to be changed."""
        return self._keys.get(common, {})

    def add(self, common: Hashable, key: str) -> None:
        """Put `key` under `common`; one that is there keeps its place."""
        self._keys.setdefault(common, {})[key] = None

    def drop(self, common: Hashable, key: str) -> None:
        """Take `key` away; one that is not there is no mistake."""
        keys = self._keys.get(common)
        if keys is not None:
            keys.pop(key, None)
            if not keys:
                del self._keys[common]
