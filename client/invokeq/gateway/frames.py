"""The frames in which Dify's platform streams answers to its plugin daemon.

| offset | bytes | what |
|---|---|---|
| 0 | 1 | 0x0F |
| 1 | 1 | 0 |
| 2 | 2 | 10, the length of what follows up to the data; little endian like all numbers here |
| 4 | 4 | the length of the data |
| 8 | 6 | 0 |
| 14 | | the data, JSON |
"""

import struct
from typing import Final

from invokeq.protocol.errors import ProtocolError

MAX_DATA: Final = 31_457_280
"""Bytes of data that the daemon reads in one frame, as it is set up by default."""

_PREFIX: Final = struct.Struct("<BBHI6x")
_MAGIC: Final = 0x0F
_HEADER: Final = 10


def frame(data: bytes) -> bytes:
    """Put the prefix before `data`; ProtocolError if the daemon would not read that much."""
    if len(data) > MAX_DATA:
        raise ProtocolError(
            where="answer", problem=f"has a piece of {len(data)} bytes; the limit is {MAX_DATA}"
        )
    return _PREFIX.pack(_MAGIC, 0, _HEADER, len(data)) + data
