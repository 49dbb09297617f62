"""Plans: what a client says to Redis and what it makes of the replies, without doing any I/O.

A plan is a generator that yields batches of commands and is sent the replies; each `yield` is one
round trip. The sync and the async shell differ only in how they carry a batch out (see
`invokeq.connection`).
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

Command: TypeAlias = tuple[str | bytes | int | float, ...]
Reply: TypeAlias = Any

T = TypeVar("T")

Plan: TypeAlias = Generator["Batch", list[Reply], T]


@dataclass(frozen=True, slots=True)
class Batch:
    """Commands that are sent together and bear being sent again.

    `patience` is how many seconds the shell keeps trying when the connection breaks; 0 means one
    second try at once, for a pooled connection that the server closed meanwhile.
    """

    commands: list[Command]
    patience: float = 0.0
