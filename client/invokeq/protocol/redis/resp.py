"""Commands to Redis as bytes, packed in C."""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias, cast

import hiredis

Command: TypeAlias = tuple[str | bytes | int | float, ...]
Reply: TypeAlias = Any

# hiredis declares a tuple of one item, but accepts tuples of any length.
_pack: Final = cast(Callable[[Command], bytes], hiredis.pack_command)


def pack_commands(commands: Iterable[Command]) -> bytes:
    """Pack commands into one write; the server replies to each command, in order."""
    return b"".join([_pack(command) for command in commands])


def pack_writes(commands: Iterable[Command], size: int) -> list[bytes]:
    """Pack commands into one write of up to `size` bytes, else into writes of at least `size`."""
    # Between two writes the caller lets other tasks run: one write of many megabytes would not.
    packed = [_pack(command) for command in commands]
    if sum(map(len, packed)) <= size:
        return [b"".join(packed)]
    writes: list[bytes] = []
    start = filled = 0
    for end, command in enumerate(packed, 1):
        filled += len(command)
        if filled >= size or end == len(packed):
            writes.append(b"".join(packed[start:end]))
            start, filled = end, 0
    return writes
