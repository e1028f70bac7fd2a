"""A tie: those of a cell who are equally good for the next copy. It knows their hashes, and not why they are equal."""

from controlplane.core.placement.field import Hashes, ranked
from controlplane.core.roster import Integers


class Tie:
    """Places ascend; both arrays are its own, and it keeps them dense as places leave."""

    def __init__(self, places: Integers, hashes: Hashes) -> None:
        self.places = places
        """All of them, not to be written to."""
        self._hashes = hashes
        self._last = 0
        """Where the last `first` stood: it is the likeliest to leave."""

    def __len__(self) -> int:
        return len(self.places)

    def first(self, draw: int) -> tuple[int, int]:
        """The least rank by `draw`, and whose it is."""
        ranks = ranked(self._hashes, draw)
        nth = self._last = int(ranks.argmin())
        return int(ranks[nth]), int(self.places[nth])

    def leave(self, place: int) -> None:
        """The instance at `place`, one of them, is no longer as good."""
        nth = self._last
        if nth >= len(self) or self.places[nth] != place:
            nth = int(self.places.searchsorted(place))
        for column in (self.places, self._hashes):
            column[nth:-1] = column[nth + 1 :]
        self.places, self._hashes = self.places[:-1], self._hashes[:-1]
