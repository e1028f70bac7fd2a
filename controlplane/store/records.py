"""Records as bytes and back: JSON by msgspec, so that a file can be read with any tool.

A record's members may grow; a member that this program does not know is passed over, a missing one has its default.
"""

from collections.abc import Callable

import msgspec

from controlplane.core.record import Record
from controlplane.core.tables import BY_TABLE

encode: Callable[[Record], bytes] = msgspec.json.Encoder().encode
"""A record as JSON."""
_decoders = {table: msgspec.json.Decoder(kind) for table, kind in BY_TABLE.items()}


def decode(table: str, body: bytes) -> Record:
    """A record of `table` from JSON."""
    return _decoders[table].decode(body)
