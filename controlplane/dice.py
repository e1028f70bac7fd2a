"""The dice of a running control plane: the system's randomness, fetched a page at a time.

Ids of credentials are made with them, so they must stay unguessable; what is fetched is used once.
"""

import os
from itertools import chain, repeat, starmap
from random import SystemRandom
from struct import Struct

PAGE_BYTES = 4096
_NUMBER = Struct("16s")
_NUMBER_BITS = 8 * _NUMBER.size
_FEW = 1 << 64


class Dice(SystemRandom):
    """`SystemRandom` with one call of the system for hundreds of numbers. Use it from one thread."""

    def __init__(self) -> None:
        super().__init__()
        pages = map(os.urandom, repeat(PAGE_BYTES))
        self._numbers = starmap(int.from_bytes, chain.from_iterable(map(_NUMBER.iter_unpack, pages)))

    def getrandbits(self, k: int, /) -> int:
        """An integer of `k` random bits."""
        return next(self._numbers) >> (_NUMBER_BITS - k) if k <= _NUMBER_BITS else super().getrandbits(k)

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        """As of any `Random`. One draw does where 128 bits are spread over few: even, but for one in 2 ** 64."""
        if stop is None and 0 < start <= _FEW:
            return next(self._numbers) * start >> _NUMBER_BITS
        return super().randrange(start, stop, step)
