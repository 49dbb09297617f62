"""Packs vectors into the bytes of an event: little-endian floats, row after row."""

import sys
from array import array

from invokeq.protocol import events
from invokeq_providers.calls import Vectors


def vectors_payload(piece: Vectors) -> tuple[bytes, bytes]:
    """Give the JSON and the bytes of a `vectors` event; bit-exact."""
    first = piece.rows[0]
    packed = b"".join(piece.rows)
    if sys.byteorder == "big":
        numbers = array(first.typecode, packed)
        numbers.byteswap()
        packed = numbers.tobytes()
    dtype = f"<f{first.itemsize}"
    return events.vectors(piece.start, len(piece.rows), len(first), dtype), packed
