"""The dice of a running control plane: the system's randomness, fetched a page at a time.

Ids of credentials are made with them, so they must stay unguessable; what is fetched is used once.
"""

import os
from random import SystemRandom

PAGE_BYTES = 4096


class Dice(SystemRandom):
    """`SystemRandom` with one call of the system for hundreds of numbers. Use it from one thread."""

    def __init__(self) -> None:
        super().__init__()
        self._page, self._used = b"", 0

    def getrandbits(self, k: int, /) -> int:
        """An integer of `k` random bits, at most a page of them."""
        size = (k + 7) // 8
        if self._used + size > len(self._page):
            self._page, self._used = os.urandom(PAGE_BYTES), 0
        self._used += size
        return int.from_bytes(self._page[self._used - size : self._used]) >> (8 * size - k)
