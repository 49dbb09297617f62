"""The binary frames in which Dify's platform streams answers to the plugin daemon.

| offset | bytes | content |
|---|---|---|
| 0 | 1 | 0x0F |
| 1 | 1 | 0 |
| 2 | 2 | 10, the length of the header from offset 4 to the data; all numbers are little endian |
| 4 | 4 | the length of the data |
| 8 | 6 | 0 |
| 14 | | the data, JSON |
"""

import struct
from typing import Final

from invokeq.protocol.errors import ProtocolError

MAX_DATA: Final = 31_457_280
"""The daemon's default limit of bytes of data in one frame."""

_PREFIX: Final = struct.Struct("<BBHI6x")
_MAGIC: Final = 0x0F
_HEADER: Final = 10


def frame(data: bytes) -> bytes:
    """Return `data` behind a frame's prefix; ProtocolError for more data than the daemon reads."""
    if len(data) > MAX_DATA:
        raise ProtocolError(
            where="answer", problem=f"has a piece of {len(data)} bytes; the limit is {MAX_DATA}"
        )
    return _PREFIX.pack(_MAGIC, 0, _HEADER, len(data)) + data
