"""What serving a call gives, piece by piece; the worker turns each piece into an event."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from invokeq.protocol.entities import EmbeddingUsage, LLMResultChunk, LLMUsage
from invokeq_providers.base import Provider


@dataclass(frozen=True, slots=True)
class Segment:
    """One audio segment that plays alone."""

    audio: bytes
    mime_type: str


@dataclass(frozen=True, slots=True)
class Vectors:
    """The vectors of the texts `start` and on, all of one length and type."""

    start: int
    rows: Sequence["array[float]"]


Usage: TypeAlias = LLMUsage | EmbeddingUsage


@dataclass(frozen=True, slots=True)
class Result:
    """What a call gives at its end: the JSON of its entity, without what was said before.

    `usage` is what the whole call used, where that is known.
    """

    value: Mapping[str, Any]
    usage: Usage | None = None


Said: TypeAlias = LLMResultChunk | Segment | Vectors | Result


@dataclass(frozen=True, slots=True)
class Services:
    """What serving a call may use: the providers, the caller's file, and the operator's choices.

    `summary_model` is `provider/model` of the LLM that summarises for this tenant, or None.
    `heard` is to be called whenever a vendor shows a sign of life that is not said: it restarts the
    bound on the vendor's silence.
    """

    request_id: str
    user: str | None
    provider: Callable[[str], Provider]
    file: bytes | None
    summary_model: str | None
    heard: Callable[[], None]
