"""What serving a call gives, piece by piece; the worker turns each piece into an event."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from invokeq.protocol.usage import Usage
from invokeq_providers.base import Provider
from invokeq_providers.chunks import LLMChunk


def _nothing(provider: str, model: str, parameters: Sequence[str]) -> None:
    """Nobody wants to know."""


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


@dataclass(frozen=True, slots=True)
class Scores:
    """The ranks `start` and on: the index of each document, and its score."""

    start: int
    ranked: Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What a call used that has no result at its end."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Result:
    """What a call gives at its end: the JSON of its entity, without what was said before.

    `usage` is what the whole call used, where that is known.
    """

    value: Mapping[str, Any]
    usage: Usage | None = None


Output: TypeAlias = LLMChunk | Segment | Vectors | Scores | UsageReport | Result


@dataclass(frozen=True, slots=True)
class Services:
    """What serving a call may use: the providers, the caller's file, and the operator's choices.

    `summary_model` is `provider/model` of the LLM that summarises for this tenant, or None.
    Call `heartbeat` for every sign of life of a vendor that is not emitted as an output: each
    heartbeat restarts the bound on the vendor's silence. `ignored` takes provider, model, and the
    names of the parameters that the caller sent and the model does not have.
    """

    request_id: str
    user: str | None
    provider: Callable[[str], Provider]
    file: bytes | None
    summary_model: str | None
    heartbeat: Callable[[], None]
    ignored: Callable[[str, str, Sequence[str]], None] = _nothing
