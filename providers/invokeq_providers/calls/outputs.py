"""The outputs of serving a call. The worker turns each output into an event."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from invokeq.protocol.usage import Usage
from invokeq_providers.base import Provider
from invokeq_providers.chunks import LLMChunk


def _nothing(provider: str, model: str, parameters: Sequence[str]) -> None:
    """Discard the report."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One audio segment that plays alone."""

    audio: bytes
    mime_type: str


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors of consecutive texts, from index `start` on, all of one length and array type."""

    start: int
    rows: Sequence["array[float]"]


@dataclass(frozen=True, slots=True)
class Scores:
    """Consecutive ranks, from rank `start` on: pairs of document index and score."""

    start: int
    ranked: Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Usage of a call without a final result, such as speech."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Result:
    """The final output of a call: the JSON of the entity, without parts emitted earlier.

    `usage` is the usage of the whole call, None if unknown.
    """

    value: Mapping[str, Any]
    usage: Usage | None = None


Output: TypeAlias = LLMChunk | Segment | Vectors | Scores | UsageReport | Result


@dataclass(frozen=True, slots=True)
class Services:
    """Everything serving a call may use: providers, the caller's file, the operator's choices.

    `summary_model` is `provider/model` of the tenant's LLM for summaries, or None. Call `heartbeat`
    for every sign of life of a vendor without an output: each heartbeat restarts the bound on the
    vendor's silence. `ignored` takes provider, model, and the names of dropped parameters.
    """

    request_id: str
    user: str | None
    provider: Callable[[str], Provider]
    file: bytes | None
    summary_model: str | None
    heartbeat: Callable[[], None]
    ignored: Callable[[str, str, Sequence[str]], None] = _nothing
