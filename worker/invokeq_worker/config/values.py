"""Value types shared by settings and other parts of the worker: bounds, times, model names.

No code here reads a file or talks to Redis.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from invokeq.protocol.names import canonical_provider

REDIS_RETENTION: Final = 30.0
"""Seconds for which events are kept in memory while Redis is unavailable."""


class Window(NamedTuple):
    """Bounds of one stream, for backpressure.

    `events` and `bytes` bound how far a reader may be behind. `detached_bytes` bounds the length of
    a stream without a reader.
    """

    events: int = 10_000
    bytes: int = 8 * 1024 * 1024
    detached_bytes: int = 256 * 1024 * 1024


LEAST_WINDOW: Final = Window(256, 256 * 1024, 1024 * 1024)
"""Readers report every quarter of this window; in a smaller one a run would wait forever."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Seconds for which a job and the stream are kept: after the end, and while queued."""

    result_ttl: int
    failure_ttl: int
    queue_ttl: int


class ModelRef(NamedTuple):
    """A model: the canonical name of the provider, and the name of the model."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


Fallbacks: TypeAlias = Mapping[ModelRef, Sequence[ModelRef]]
"""The fallback models of each model, in order."""


def split_model(name: str, providers: Mapping[str, object]) -> ModelRef | None:
    """Split `provider/model`, or return None if no provider of `providers` begins the name.

    Both halves may contain slashes, so only the names of `providers` show where the first one ends.
    """
    for at, character in enumerate(name):
        provider = canonical_provider(name[:at])
        if character == "/" and provider in providers:
            return ModelRef(provider, name[at + 1 :])
    return None
