"""What a provider is: the code that talks to one vendor or one local model.

A provider never sees Redis or RQ. It gets a call whose parameters, tools and stop words already
obey the facts of the model (see `prepare`), and yields protocol entities. It promises:

* closing the generator that it returned closes the connection to the vendor at once;
* every fault comes out as an `InvokeqError`, with `retry_after` where the vendor said it;
* nothing blocks the event loop: blocking code runs in threads or processes.

It does not retry, does not count attempts, and keeps nothing between calls that one call could see
of another.
"""

from abc import ABC
from array import array
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar, cast

from invokeq.protocol.entities import (
    AIModelEntity,
    EmbeddingInputType,
    ModelType,
    MultiModalContent,
    PromptMessage,
    PromptMessageTool,
)
from invokeq.protocol.errors import InvalidRequestError, MissingExtraError, ModelNotFoundError
from invokeq.protocol.usage import BillingUnit
from invokeq_providers.call_methods import streaming_call, unary_call
from invokeq_providers.chunks import LLMChunk
from invokeq_providers.options import Batch


def _nothing() -> None:
    """Nobody wants to know."""


def _free(amount: float | Decimal, unit: BillingUnit) -> None:
    """Nobody pays."""


RecordUsage: TypeAlias = Callable[[float | Decimal, BillingUnit], None]
"""Takes what the vendor says a call has used; called by the provider where the vendor says it."""


@dataclass(frozen=True, slots=True)
class LLMCall:
    """One LLM call as a provider gets it.

    `parameters` are validated against `facts`; `tools` is empty when the model has no tool-call
    feature; `stream=False` is a hint that nobody waits for partial output. `ignored_parameters`
    names what the caller sent and the model has no rule for; it does not reach the vendor. Call
    `heartbeat` while there is nothing to emit yet and the call makes progress: while it waits for
    its turn, or a local model computes. Every kind of call has a heartbeat.
    """

    request_id: str
    model: str
    facts: AIModelEntity
    prompt_messages: Sequence[PromptMessage]
    parameters: Mapping[str, Any]
    tools: Sequence[PromptMessageTool]
    stop: Sequence[str]
    stream: bool
    user: str | None
    ignored_parameters: Sequence[str] = ()
    heartbeat: Callable[[], None] = _nothing


@dataclass(frozen=True, slots=True)
class EmbeddingCall:
    """One batch of texts, or of multimodal documents, that fits the model's `max_chunks`.

    Exactly one of `texts` and `documents` is not empty; none of the texts is.
    """

    request_id: str
    model: str
    facts: AIModelEntity
    texts: Sequence[str]
    documents: Sequence[MultiModalContent]
    input_type: EmbeddingInputType
    user: str | None
    heartbeat: Callable[[], None] = _nothing


@dataclass(frozen=True, slots=True)
class Embedded:
    """One row a text, in order: `array("f")` where 32 bits are exact, else `array("d")`."""

    rows: Sequence["array[float]"]
    tokens: int


@dataclass(frozen=True, slots=True)
class RerankCall:
    """Texts, or multimodal documents, to score against a query; never without documents."""

    request_id: str
    model: str
    facts: AIModelEntity
    query: str | MultiModalContent
    docs: Sequence[str] | Sequence[MultiModalContent]
    top_n: int | None
    user: str | None
    heartbeat: Callable[[], None] = _nothing
    record_usage: RecordUsage = _free


@dataclass(frozen=True, slots=True)
class Score:
    """How well the document at `index` of the call fits the query; the vendor's own scale."""

    index: int
    score: float


@dataclass(frozen=True, slots=True)
class SpeechCall:
    """A piece of text to speak, one sentence or a few, within the model's word limit.

    `voice` is one of the facts' voices.
    """

    request_id: str
    model: str
    facts: AIModelEntity
    text: str
    voice: str
    user: str | None
    heartbeat: Callable[[], None] = _nothing
    record_usage: RecordUsage = _free


@dataclass(frozen=True, slots=True)
class Speech:
    """One audio segment that plays alone; segments of one answer may be joined byte by byte."""

    audio: bytes
    mime_type: str


@dataclass(frozen=True, slots=True)
class TranscriptionCall:
    """A whole audio file; `mime_type` was recognised from its bytes, `filename` fits it."""

    request_id: str
    model: str
    facts: AIModelEntity
    audio: bytes
    mime_type: str
    filename: str
    user: str | None
    heartbeat: Callable[[], None] = _nothing
    record_usage: RecordUsage = _free


@dataclass(frozen=True, slots=True)
class ModerationCall:
    """A text to judge, within the model's limit of characters."""

    request_id: str
    model: str
    facts: AIModelEntity
    text: str
    user: str | None
    heartbeat: Callable[[], None] = _nothing
    record_usage: RecordUsage = _free


class Provider(ABC):
    """One configured provider; the worker holds one instance for its whole life.

    `name` is the name in invokeq.toml and in model configs (`openai`), `options` the table
    `[providers.<name>]` without `type`, as plain Python values. The constructor must be cheap and
    must not talk to anybody; it raises `CredentialsError` or `InvalidConfigurationError` for wrong
    options, and `MissingExtraError` where a package is missing.
    """

    model_types: frozenset[ModelType] = frozenset()
    """What it serves; part of it may depend on which packages are installed."""

    missing: Mapping[ModelType, MissingExtraError] = MappingProxyType({})
    """What it would serve too, and which package each of these lacks."""

    any_model: bool = False
    """Whether it takes model names that `models()` does not list."""

    batch: Batch | None = None
    """How embedding calls of several callers may share one; `build_providers` sees to it."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.name = name
        self.options = options

    @property
    def unwrapped(self) -> "Provider":
        """Return the provider itself, also from behind wrappers."""
        return self

    def models(self) -> Sequence[AIModelEntity]:
        """List the models with their facts, all model types."""
        raise NotImplementedError

    def facts(self, model_type: ModelType, model: str) -> AIModelEntity:
        """Look up the facts of one model, or raise `ModelNotFoundError` listing those there are."""
        known = [entity for entity in self.models() if entity.model_type == model_type]
        for entity in known:
            if entity.model == model:
                return entity
        raise ModelNotFoundError(
            provider=self.name,
            model=model,
            model_type=model_type.value,
            known=", ".join(entity.model for entity in known) or "none",
        )

    async def start(self, model_types: Collection[ModelType] | None = None) -> None:
        """Load what the first call should not wait for; called once, before the first call.

        `model_types` are those that this process serves, None where that is not known.
        """

    async def close(self) -> None:
        """Close connections, threads and processes; called once when the worker ends."""

    @streaming_call
    def llm(self, call: LLMCall) -> AsyncGenerator[LLMChunk, None]:
        """Answer with chunks as the model makes them; the last one with usage and finish_reason."""
        raise NotImplementedError

    async def count_tokens(self, model: str, texts: Sequence[str]) -> Sequence[int] | None:
        """Count the tokens of each text as the LLM would; None where that is not known.

        Texts may be many and long, so it must not block the loop. Nothing is sent to a vendor.
        """
        del model, texts
        return None

    @unary_call
    async def text_embedding(self, call: EmbeddingCall) -> Embedded:
        """Embed one batch; batches of one invocation run side by side."""
        raise NotImplementedError

    @unary_call
    async def rerank(self, call: RerankCall) -> Sequence[Score]:
        """Score the documents, in any order; untouched scores, no threshold applied."""
        raise NotImplementedError

    @unary_call
    async def tts(self, call: SpeechCall) -> Speech:
        """Speak one piece of text; pieces of one invocation may run side by side."""
        raise NotImplementedError

    @unary_call
    async def speech2text(self, call: TranscriptionCall) -> str:
        """Write down what is said."""
        raise NotImplementedError

    @unary_call
    async def moderation(self, call: ModerationCall) -> bool:
        """Tell whether the text is sensitive; a fault is an error, never False."""
        raise NotImplementedError


ProviderT = TypeVar("ProviderT", bound=Provider)


def provider_as(provider: Provider, cls: type[ProviderT]) -> ProviderT:
    """Return a provider, wrapped as it is, as one of a class that has call methods of its own.

    Raises InvalidRequestError for a provider that is no such one.
    """
    if not isinstance(provider.unwrapped, cls):
        problem = f"{provider.name} serves no calls of this kind"
        raise InvalidRequestError(provider=provider.name, field="provider", problem=problem)
    return cast(ProviderT, provider)  # wrappers forward what the class has beyond `Provider`
